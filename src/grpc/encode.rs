//! The bytes of a `CheckResponse`. An allow is written straight into the frame
//! that goes out; every other answer is built by [`super::convert`], which
//! also builds allows, for the tests to compare with.

use std::cell::RefCell;

use prost::Message as _;

use super::convert;
use super::framing::Framed;
use crate::check::{Allow, Answer, CheckOutcome, DecisionRecord, PerCaller};

/// Enough for most allows.
const USUAL_BYTES: usize = 1024;
/// Callers whose headers a worker keeps written.
const KEPT: usize = 256;

thread_local! {
    static KNOWN: RefCell<PerCaller<Box<[u8]>>> = RefCell::new(PerCaller::new(KEPT));
}

/// The answer that says this outcome.
pub(super) fn response(outcome: CheckOutcome) -> Framed {
    match &outcome.answer {
        Answer::Allow(allow) => {
            let mut framed = Framed::with_capacity(USUAL_BYTES);
            write_allow(allow, &outcome.record, framed.message());
            framed
        }
        Answer::Deny(_) | Answer::Respond(_) => whole(&convert::response(outcome)),
    }
}

/// The refusal for a request whose answer could not even be written.
pub(super) fn unavailable() -> Framed {
    whole(&convert::unavailable())
}

fn whole(response: &envoy_types::pb::envoy::service::auth::v3::CheckResponse) -> Framed {
    let message = response.encode_to_vec();
    let mut framed = Framed::with_capacity(message.len());
    framed.message().extend_from_slice(&message);
    framed
}

/// The key of a delimited field.
const fn key(number: u8) -> u8 {
    number << 3 | 2
}

/// `CheckResponse { status = 1, ok_response = 3, dynamic_metadata = 4 }`
fn write_allow(allow: &Allow, record: &DecisionRecord, out: &mut Vec<u8>) {
    // A status with no field set is OK.
    out.extend_from_slice(&[key(1), 0]);
    nested(out, key(3), |out| write_ok(allow, out));
    nested(out, key(4), |out| write_metadata(record, out));
}

/// `OkHttpResponse { headers = 2, headers_to_remove = 5, response_headers_to_add = 6,
/// query_parameters_to_remove = 8 }`
fn write_ok(allow: &Allow, out: &mut Vec<u8>) {
    let Allow {
        query: _,
        query_cut,
        websocket_protocol,
        websocket_protocol_cut,
        cookie,
        cookie_cut,
        set_cookies,
        cors_origin,
        ..
    } = allow;
    // Envoy removes after it sets: a name is in one of the two lists only.
    let kept = KNOWN.with_borrow_mut(|known| {
        let written = known.of(allow, || written_of_caller(allow));
        written.map(|written| out.extend_from_slice(written)).is_some()
    });
    if !kept {
        write_of_caller(allow, out);
    }
    allow.each_of_request(|name, value| set_or_remove(out, name.as_str(), value));
    for name in allow.removed_here() {
        set_or_remove(out, name, "");
    }
    if *websocket_protocol_cut {
        set_or_remove(out, "sec-websocket-protocol", websocket_protocol);
    }
    if *cookie_cut {
        set_or_remove(out, "cookie", cookie);
    }
    let mut answer = |name, value: &str, when_there| write_header(out, key(6), name, value, when_there);
    if let Some(origin) = cors_origin {
        answer("access-control-allow-origin", origin, WhenThere::Overwrite);
        answer("vary", "Origin", WhenThere::Overwrite);
    }
    if !set_cookies.is_empty() {
        // The app's own answer may be cacheable; with somebody's session on it, it is not.
        answer("cache-control", "no-store", WhenThere::Overwrite);
    }
    for cookie in set_cookies {
        answer("set-cookie", &cookie.header_value(), WhenThere::Append);
    }
    for name in query_cut {
        delimited(out, key(8), name);
    }
}

/// What stands in every allow of one caller.
fn write_of_caller(allow: &Allow, out: &mut Vec<u8>) {
    allow.each_of_caller(|name, value| set_or_remove(out, name.as_str(), value));
    for name in allow.removed_always() {
        set_or_remove(out, name.as_str(), "");
    }
}

fn written_of_caller(allow: &Allow) -> Box<[u8]> {
    let mut written = Vec::with_capacity(USUAL_BYTES);
    write_of_caller(allow, &mut written);
    written.into_boxed_slice()
}

fn set_or_remove(out: &mut Vec<u8>, name: &str, value: &str) {
    if value.is_empty() {
        delimited(out, key(5), name);
    } else {
        write_header(out, key(2), name, value, WhenThere::Overwrite);
    }
}

/// What becomes of a header of the same name.
#[derive(Clone, Copy)]
enum WhenThere {
    Overwrite,
    /// Only for the answer of an upstream: Envoy drops it from a refusal.
    Append,
}

impl WhenThere {
    /// `HeaderValueOption { append = 2, append_action = 3 }`. Older Envoys read
    /// `append`, newer ones `append_action`; the default of both is to append,
    /// but a `false` has to be there to be one.
    const fn fields(self) -> &'static [u8] {
        const OVERWRITE: [u8; 4] = [key(2), 0, 3 << 3, 2];
        const APPEND: [u8; 4] = [key(2), 2, 1 << 3, 1];
        match self {
            Self::Overwrite => &OVERWRITE,
            Self::Append => &APPEND,
        }
    }
}

/// `HeaderValueOption { header = 1: HeaderValue { key = 1, value = 2 }, … }`
fn write_header(out: &mut Vec<u8>, field: u8, name: &str, value: &str, when_there: WhenThere) {
    let fields = when_there.fields();
    let header = delimited_length(name.len()) + delimited_length(value.len());
    start(out, field, delimited_length(header) + fields.len());
    start(out, key(1), header);
    delimited(out, key(1), name);
    delimited(out, key(2), value);
    out.extend_from_slice(fields);
}

/// `Struct { fields = 1: map of Value }`
fn write_metadata(record: &DecisionRecord, out: &mut Vec<u8>) {
    write_text_entry(out, "subject", record.subject().unwrap_or_default());
    write_text_entry(out, "tier", record.tier().unwrap_or_default());
    write_text_entry(out, "rule", record.rule().unwrap_or_default());
    write_text_entry(out, "decision_id", record.decision_id.digits().as_str());
    // `Value { list_value = 6: ListValue { values = 1: Value } }`
    let list = record.tiers().map(|tier| delimited_length(delimited_length(tier.len()))).sum();
    start_entry(out, "tiers", delimited_length(list));
    start(out, key(6), list);
    for tier in record.tiers() {
        start(out, key(1), delimited_length(tier.len()));
        delimited(out, STRING_VALUE, tier);
    }
}

/// Of `Value`.
const STRING_VALUE: u8 = key(3);

fn write_text_entry(out: &mut Vec<u8>, name: &str, value: &str) {
    start_entry(out, name, delimited_length(value.len()));
    delimited(out, STRING_VALUE, value);
}

/// An entry of `Struct.fields` up to its value, which takes `value` bytes.
fn start_entry(out: &mut Vec<u8>, name: &str, value: usize) {
    start(out, key(1), delimited_length(name.len()) + delimited_length(value));
    delimited(out, key(1), name);
    start(out, key(2), value);
}

/// A whole delimited field.
fn delimited(out: &mut Vec<u8>, field: u8, content: &str) {
    start(out, field, content.len());
    out.extend_from_slice(content.as_bytes());
}

/// Bytes of a delimited field whose content takes `content` bytes.
const fn delimited_length(content: usize) -> usize {
    1 + varint_length(content) + content
}

const fn varint_length(value: usize) -> usize {
    let mut length = 1;
    let mut rest = value >> 7;
    while rest > 0 {
        length += 1;
        rest >>= 7;
    }
    length
}

/// A delimited field up to its content, which takes `content` bytes.
#[inline]
fn start(out: &mut Vec<u8>, field: u8, content: usize) {
    match u8::try_from(content) {
        Ok(short) if short < 0x80 => out.extend_from_slice(&[field, short]),
        Ok(_) | Err(_) => {
            out.push(field);
            varint(out, content);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time are what is wanted")]
fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A delimited field whose length is known when it is written. There is room
/// for two bytes of length; what turns out shorter or longer is moved.
pub(super) fn nested(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[field, 0, 0]);
    let begin = out.len();
    write(out);
    let content = out.len() - begin;
    let mut length = Vec::new();
    match out.get_mut(begin - 2..begin) {
        Some([low, high]) if (0x80..0x4000).contains(&content) => {
            (*low, *high) = split(content);
        }
        _ => {
            varint(&mut length, content);
            out.splice(begin - 2..begin, length);
        }
    }
}

/// The two bytes of a length of 8 to 14 bits.
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time are what is wanted")]
const fn split(length: usize) -> (u8, u8) {
    (length as u8 | 0x80, (length >> 7) as u8)
}
