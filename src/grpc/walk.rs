//! The quick way from the bytes of a `CheckRequest` to the request it describes:
//! read in place, nothing copied, what nobody looks at only checked.
//!
//! It reads what Envoy sends. On anything else it says [`Odd`], and the message
//! is decoded and converted whole ([`super::convert`]). Where it reads a
//! message, it reads the same as that way does; `walk_tests` and the fuzz
//! target `walk` hold the two together.

use super::wire::{Content, Fields, Kind, Odd, bytes_of_text, conforms, text, usual_entry};
use crate::types::{Protocol, RequestView};

/// More headers than a proxy lets through. Each name is looked for among the
/// others, which has to stay cheap.
const MAX_HEADERS: usize = 128;

/// The parts of a `CheckRequest` that a decision is made from, where they stand.
#[derive(Debug)]
pub(super) struct Walked<'a> {
    method: &'a str,
    path: &'a str,
    host: &'a str,
    route_tier: Option<&'a str>,
    route_app: Option<&'a str>,
    request_id: Option<&'a str>,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl Walked<'_> {
    /// The request as the check reads it.
    pub(super) fn view(&self) -> RequestView<'_> {
        let Self { method, path, host, route_tier, route_app, request_id, ref headers } = *self;
        RequestView {
            protocol: Protocol::Grpc,
            method,
            target: path.as_bytes(),
            host: (!host.is_empty()).then_some(host.as_bytes()),
            headers,
            route_tier,
            route_app,
            request_id,
        }
    }
}

/// Reads `CheckRequest { attributes = 1 }`.
pub(super) fn walk(message: &[u8]) -> Result<Walked<'_>, Odd> {
    let mut fields = Fields::of(message);
    let mut attributes = None;
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Content::Delimited(bytes)) => once(&mut attributes, bytes)?,
            (1, _) => return Err(Odd),
            _ => {}
        }
    }
    walk_attributes(attributes.ok_or(Odd)?)
}

/// A message that stands twice is to be merged, which nobody asks for.
fn once<'a>(held: &mut Option<&'a [u8]>, bytes: &'a [u8]) -> Result<(), Odd> {
    match held.replace(bytes) {
        None => Ok(()),
        Some(_) => Err(Odd),
    }
}

/// Reads `AttributeContext`.
fn walk_attributes(message: &[u8]) -> Result<Walked<'_>, Odd> {
    let mut fields = Fields::of(message);
    let mut request = None;
    let (mut route_tier, mut route_app) = (None, None);
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            // source, destination
            (1 | 2, Content::Delimited(bytes)) => conforms(bytes, &PEER)?,
            (4, Content::Delimited(bytes)) => once(&mut request, bytes)?,
            // context_extensions; of one key the last value counts
            (10, Content::Delimited(bytes)) => match entry(bytes)? {
                ("tiergate.tier", value) => route_tier = Some(text(value)?),
                ("tiergate.app", value) => route_app = Some(text(value)?),
                _ => {}
            },
            // metadata_context, route_metadata_context
            (11 | 13, Content::Delimited(bytes)) => conforms(bytes, &METADATA)?,
            // tls_session
            (12, Content::Delimited(bytes)) => conforms(bytes, &TLS_SESSION)?,
            (1 | 2 | 4 | 10..=13, _) => return Err(Odd),
            _ => {}
        }
    }
    let mut fields = Fields::of(request.ok_or(Odd)?);
    let mut http = None;
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            // time
            (1, Content::Delimited(bytes)) => conforms(bytes, &TIMESTAMP)?,
            (2, Content::Delimited(bytes)) => once(&mut http, bytes)?,
            (1 | 2, _) => return Err(Odd),
            _ => {}
        }
    }
    let http = walk_http(http.ok_or(Odd)?)?;
    Ok(Walked { route_tier, route_app, ..http })
}

/// Reads `HttpRequest`. Of a field that stands twice the last counts.
fn walk_http(message: &[u8]) -> Result<Walked<'_>, Odd> {
    let mut fields = Fields::of(message);
    let mut header_map = None;
    let mut headers = Headers::new();
    let (mut id, mut method, mut path, mut host) = ("", "", "", "");
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Content::Delimited(bytes)) => id = text(bytes)?,
            (2, Content::Delimited(bytes)) => method = text(bytes)?,
            (3, Content::Delimited(bytes)) => {
                let (name, value) = entry(bytes)?;
                headers.put_once(name, value)?;
            }
            (4, Content::Delimited(bytes)) => path = text(bytes)?,
            (5, Content::Delimited(bytes)) => host = text(bytes)?,
            // scheme, query, fragment, protocol, body
            (6..=8 | 10 | 11, Content::Delimited(bytes)) => {
                bytes_of_text(bytes)?;
            }
            // size, raw_body
            (9, Content::Varint) | (12, Content::Delimited(_)) => {}
            (13, Content::Delimited(bytes)) => once(&mut header_map, bytes)?,
            (1..=13, _) => return Err(Odd),
            _ => {}
        }
    }
    if let Some(header_map) = header_map {
        walk_header_map(header_map, &mut headers)?;
    }
    let headers = headers.all;
    let request_id = read_special(&headers, method, path, host)?.or((!id.is_empty()).then_some(id));
    Ok(Walked { method, path, host, route_tier: None, route_app: None, request_id, headers })
}

/// Reads `HeaderMap { headers = 1 }`, in which a name may stand more than once.
/// Envoy fills either these or the map of texts.
fn walk_header_map<'a>(message: &'a [u8], headers: &mut Headers<'a>) -> Result<(), Odd> {
    let mut fields = Fields::of(message);
    let joined = headers.all.len();
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Content::Delimited(_)) if joined > 0 => return Err(Odd),
            (1, Content::Delimited(bytes)) => {
                let (name, value) = header_value(bytes)?;
                headers.put(name, value)?;
            }
            (1, _) => return Err(Odd),
            _ => {}
        }
    }
    Ok(())
}

/// Reads `HeaderValue { key = 1, value = 2, raw_value = 3 }`.
fn header_value(message: &[u8]) -> Result<(&str, &[u8]), Odd> {
    let mut fields = Fields::of(message);
    let (mut name, mut value, mut raw): (_, &[u8], &[u8]) = ("", &[], &[]);
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Content::Delimited(bytes)) => name = text(bytes)?,
            (2, Content::Delimited(bytes)) => value = bytes_of_text(bytes)?,
            (3, Content::Delimited(bytes)) => raw = bytes,
            (1..=3, _) => return Err(Odd),
            _ => {}
        }
    }
    Ok((name, if raw.is_empty() { value } else { raw }))
}

/// Reads one entry of a map of texts. What is missing is empty.
fn entry(message: &[u8]) -> Result<(&str, &[u8]), Odd> {
    if let Some((key, value)) = usual_entry(message) {
        return Ok((text(key)?, bytes_of_text(value)?));
    }
    let mut fields = Fields::of(message);
    let (mut key, mut value): (_, &[u8]) = ("", &[]);
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Content::Delimited(bytes)) => key = text(bytes)?,
            (2, Content::Delimited(bytes)) => value = bytes_of_text(bytes)?,
            (1 | 2, _) => return Err(Odd),
            _ => {}
        }
    }
    Ok((key, value))
}

/// Headers as they come in.
struct Headers<'a> {
    all: Vec<(&'a str, &'a [u8])>,
    /// A bit for each name, which others may share.
    seen: u64,
}

impl<'a> Headers<'a> {
    fn new() -> Self {
        Self { all: Vec::with_capacity(32), seen: 0 }
    }

    /// Takes one; a name in upper case is odd, as it would have to be copied.
    fn put(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), Odd> {
        if self.all.len() == MAX_HEADERS || name.bytes().fold(false, |found, byte| found | byte.is_ascii_uppercase()) {
            return Err(Odd);
        }
        self.all.push((name, value));
        Ok(())
    }

    /// Takes an entry of a map, of which one with the same key would take the place.
    fn put_once(&mut self, name: &'a str, value: &'a [u8]) -> Result<(), Odd> {
        let (first, last) = (name.bytes().next().unwrap_or_default(), name.bytes().next_back().unwrap_or_default());
        let mark = 1 << ((name.len() * 7 + usize::from(first) + usize::from(last) * 3) & 63);
        if self.seen & mark != 0 && self.all.iter().any(|(held, _)| *held == name) {
            return Err(Odd);
        }
        self.seen |= mark;
        self.put(name, value)
    }
}

/// The id that the proxy gave the request, if it stands among the headers.
/// Pseudo-headers that say something else than the fields are odd.
fn read_special<'a>(
    headers: &[(&'a str, &'a [u8])],
    method: &str,
    path: &str,
    host: &str,
) -> Result<Option<&'a str>, Odd> {
    let mut request_id = None;
    for (name, value) in headers {
        let agrees = match *name {
            ":path" => *value == path.as_bytes(),
            ":method" => value.eq_ignore_ascii_case(method.as_bytes()),
            ":authority" | "host" => value.eq_ignore_ascii_case(host.as_bytes()),
            "x-request-id" => {
                request_id = request_id.or(Some(*value));
                true
            }
            _ => true,
        };
        if !agrees {
            return Err(Odd);
        }
    }
    Ok(request_id.and_then(|value| std::str::from_utf8(value).ok()))
}

// The messages that nothing is read from, field by field.

/// `AttributeContext.Peer`: address, service, labels, principal, certificate.
static PEER: [Kind; 5] = [Kind::Message(&ADDRESS), Kind::Text, Kind::Message(&TEXTS), Kind::Text, Kind::Text];
/// `Address`: a socket, a pipe, a listener of Envoy's own.
static ADDRESS: [Kind; 3] =
    [Kind::Message(&SOCKET_ADDRESS), Kind::Message(&[Kind::Text, Kind::Varint]), Kind::Message(&TEXTS)];
/// `SocketAddress`: protocol, address, port, named port, resolver, whether IPv4
/// fits, network namespace.
static SOCKET_ADDRESS: [Kind; 7] =
    [Kind::Varint, Kind::Text, Kind::Varint, Kind::Text, Kind::Text, Kind::Varint, Kind::Text];
/// An entry of a map of texts, and `EnvoyInternalAddress`.
static TEXTS: [Kind; 2] = [Kind::Text, Kind::Text];
/// `google.protobuf.Timestamp`: seconds, nanoseconds.
static TIMESTAMP: [Kind; 2] = [Kind::Varint, Kind::Varint];
/// `AttributeContext.TLSSession`: the name asked for.
static TLS_SESSION: [Kind; 1] = [Kind::Text];
/// `Metadata`: maps of structs and of typed messages.
static METADATA: [Kind; 2] = [
    Kind::Message(&[Kind::Text, Kind::Message(&STRUCT)]),
    Kind::Message(&[Kind::Text, Kind::Message(&[Kind::Text, Kind::Bytes])]),
];
/// `google.protobuf.Struct`: a map of values.
static STRUCT: [Kind; 1] = [Kind::Message(&[Kind::Text, Kind::Message(&VALUE)])];
/// `google.protobuf.Value`: nothing, a number, a text, a truth, a struct, a list.
static VALUE: [Kind; 6] = [
    Kind::Varint,
    Kind::Fixed64,
    Kind::Text,
    Kind::Varint,
    Kind::Message(&STRUCT),
    Kind::Message(&[Kind::Message(&VALUE)]),
];
