use envoy_types::pb::envoy::config::core::v3::address::Address as Place;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, HeaderMap, HeaderValue, Metadata, SocketAddress};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request, TlsSession};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Any, ListValue, Struct, Timestamp, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::oracle::{Reading, compare};
use super::walk::walk;

/// A delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

fn text(number: u8, content: &str) -> Vec<u8> {
    field(number, content.as_bytes())
}

/// A map entry of texts.
fn entry(number: u8, key: &str, value: &str) -> Vec<u8> {
    field(number, &[text(1, key), text(2, value)].concat())
}

/// A message around these fields of `AttributeContext`, and these of its `HttpRequest`.
fn message(attributes: &[Vec<u8>], http: &[Vec<u8>]) -> Vec<u8> {
    let request = field(4, &field(2, &http.concat()));
    field(1, &[request, attributes.concat()].concat())
}

fn reads_as(message: &[u8], expected: Reading) {
    assert_eq!(compare(message), Ok(expected), "{}", message.escape_ascii());
}

#[test]
fn of_a_field_that_stands_twice_the_last_counts() {
    let twice = [
        text(1, "first"),
        text(1, "last"),
        text(2, "PUT"),
        text(2, "GET"),
        text(4, "/first"),
        text(4, "/last"),
        text(5, "first.example"),
        text(5, "last.example"),
    ];
    let extensions =
        ["stable", "devel"].map(|tier| entry(10, "tiergate.tier", tier)).into_iter().chain([entry(10, "other", "x")]);
    let extensions: Vec<_> = extensions.chain(["a", "b"].map(|app| entry(10, "tiergate.app", app))).collect();
    let bytes = message(&extensions, &twice);
    reads_as(&bytes, Reading::Same);
    let walked = walk(&bytes).expect("read");
    let view = walked.view();
    assert_eq!((view.method, view.target, view.host), ("GET", b"/last" as &[u8], Some(b"last.example" as &[u8])));
    assert_eq!((view.route_tier, view.route_app, view.request_id), (Some("devel"), Some("b"), Some("last")));

    let within = field(3, &[text(1, "a"), text(1, "b"), text(2, "1"), text(2, "2")].concat());
    let raw = field(13, &field(1, &[text(1, "a"), text(3, "1"), text(1, "b"), text(3, "2"), text(2, "3")].concat()));
    for headers in [within, raw] {
        let bytes = message(&[], &[headers]);
        reads_as(&bytes, Reading::Same);
        assert_eq!(walk(&bytes).expect("read").view().headers, [("b", b"2" as &[u8])]);
    }
}

#[test]
fn what_is_missing_is_empty() {
    reads_as(&message(&[], &[]), Reading::Same);
    let halves = [field(3, &[]), field(3, &text(1, "a")), field(10, &[])];
    let [empty, no_value, extension] = halves;
    reads_as(&message(&[extension, field(10, &text(1, "tiergate.tier"))], &[empty, no_value]), Reading::Same);
    let raw = field(13, &[field(1, &[]), field(1, &text(3, "x")), field(1, &text(2, "y"))].concat());
    reads_as(&message(&[], &[raw]), Reading::Same);
    // Empty headers of one kind leave those of the other.
    reads_as(&message(&[], &[field(13, &[]), entry(3, "a", "1")]), Reading::Same);
    let emptied = [entry(10, "tiergate.tier", "devel"), entry(10, "tiergate.tier", "")];
    let bytes = message(&emptied, &[text(5, "x"), text(5, "")]);
    reads_as(&bytes, Reading::Same);
    let walked = walk(&bytes).expect("read");
    assert_eq!((walked.view().route_tier, walked.view().host), (Some(""), None));
}

#[test]
fn raw_headers_keep_their_order_and_their_bytes() {
    let header = |name, raw: &[u8]| field(1, &[text(1, name), text(2, "text"), field(3, raw)].concat());
    let headers = [header("x-b", b"1"), header("x-a", b"\xff"), header("x-b", b"2"), header("x-c", b"")];
    let bytes = message(&[], &[field(13, &headers.concat())]);
    reads_as(&bytes, Reading::Same);
    let expected: [(&str, &[u8]); 4] = [("x-b", b"1"), ("x-a", b"\xff"), ("x-b", b"2"), ("x-c", b"text")];
    assert_eq!(walk(&bytes).expect("read").view().headers, expected);
}

/// All of these are for the complete way, which refuses some and reads the others.
#[test]
fn what_is_unusual_is_odd() {
    let http = [text(2, "GET"), text(4, "/a"), text(5, "h")];
    let with = |more: &[Vec<u8>]| message(&[], &[http.concat(), more.concat()]);
    let beside = |more: &[Vec<u8>]| message(more, &http);
    reads_as(&with(&[]), Reading::Same);
    let whole = with(&[]);
    let odd = [
        ("nothing", Vec::new()),
        ("no request", field(1, &[])),
        ("no HTTP request", field(1, &field(4, &[]))),
        ("two attributes", [whole.clone(), whole.clone()].concat()),
        ("two requests", beside(&[field(4, &[])])),
        ("two HTTP requests", field(1, &field(4, &[field(2, &http.concat()), field(2, &[])].concat()))),
        ("two header maps", with(&[field(13, &[]), field(13, &[])])),
        ("headers of both kinds", with(&[entry(3, "a", "1"), field(13, &entry(1, "b", "2"))])),
        ("a key twice", with(&[entry(3, "a", "1"), entry(3, "b", "1"), entry(3, "a", "2")])),
        ("upper case", with(&[entry(3, "Accept", "x")])),
        ("another path", with(&[entry(3, ":path", "/b")])),
        ("another method", with(&[entry(3, ":method", "POST")])),
        ("another authority", with(&[entry(3, ":authority", "x")])),
        ("another host", with(&[entry(3, "host", "x")])),
        ("a group", with(&[vec![0x0b, 0x0c]])),
        ("an unknown group", with(&[vec![0x73, 0x74]])),
        ("no wire type", with(&[vec![0x0e]])),
        ("field 0", with(&[vec![0x02, 0x00]])),
        ("a long key", with(&[vec![0x8a, 0x01, 0x00]])),
        ("a long length", with(&[vec![0x0a, 0x80, 0x80, 0x80, 0x00]])),
        ("a number for a text", with(&[vec![0x08, 0x01]])),
        ("a text for a number", with(&[text(9, "x")])),
        ("a text that is none", with(&[field(6, b"\xff")])),
        ("a name that is none", with(&[field(3, &field(1, b"\xff"))])),
        ("a length beyond the end", with(&[vec![0x0a, 0x01]])),
        ("half a number", with(&[vec![0x48, 0x80]])),
        ("a number of 65 bits", with(&[vec![0x48, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]])),
        ("half of 64 bits", with(&[vec![0x71, 0x00]])),
        ("half of 32 bits", with(&[vec![0x75, 0x00]])),
        ("a service that is no text", beside(&[field(1, &field(2, b"\xff"))])),
        ("a port that is a text", beside(&[field(2, &field(1, &field(1, &text(3, "80"))))])),
        ("metadata that is no text", beside(&[field(11, &entry(1, "a", "\u{1}"))])),
        ("a server name that is no text", beside(&[field(12, &field(1, b"\xff"))])),
    ];
    for (what, bytes) in odd {
        assert_eq!(compare(&bytes), Ok(Reading::Odd), "{what}");
    }
    let many = (0..129).map(|number| entry(3, &format!("x-{number}"), "")).collect::<Vec<_>>();
    reads_as(&with(&many), Reading::Odd);
    reads_as(&with(&many[..128]), Reading::Same);
    for end in 0..whole.len() {
        reads_as(&whole[..end], Reading::Odd);
    }
}

#[test]
fn unknown_fields_pass() {
    let unknown = [text(14, "x"), vec![0x78, 0xff, 0x01], [&[0x71][..], &[0; 8]].concat(), vec![0x7d, 0, 0, 0, 0]];
    reads_as(&message(&unknown, &[unknown.concat(), text(2, "GET")]), Reading::Same);
    reads_as(&[message(&[], &[]), unknown.concat()].concat(), Reading::Same);
    let header = field(3, &[text(1, "a"), unknown.concat(), text(2, "1")].concat());
    let raw = field(13, &[unknown.concat(), field(1, &[unknown.concat(), text(1, "a")].concat())].concat());
    for headers in [header, raw] {
        reads_as(&message(&[], &[headers]), Reading::Same);
    }
    // A request whose size is unknown, and lengths written longer than need be.
    let minus_one = vec![0x48, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let longer = [vec![0x12, 0x83, 0x00], b"GET".to_vec(), vec![0x22, 0x82, 0x80, 0x00], b"/a".to_vec()].concat();
    let bytes = message(&[], &[minus_one, longer]);
    reads_as(&bytes, Reading::Same);
    assert_eq!(walk(&bytes).expect("read").view().target, b"/a");
}

#[test]
fn deep_metadata_is_read_or_odd_and_never_overflows() {
    let nested = |depth: usize| {
        let list = |inner: Vec<u8>| field(6, &field(1, &inner));
        let value = (0..depth).fold(Vec::new(), |inner, _| list(inner));
        field(11, &field(1, &field(2, &field(1, &field(2, &value)))))
    };
    reads_as(&message(&[nested(3)], &[]), Reading::Same);
    for depth in 4..200 {
        assert!(compare(&message(&[nested(depth)], &[])).is_ok(), "{depth}");
    }
    reads_as(&message(&[nested(10_000)], &[]), Reading::Odd);
}

#[test]
fn what_envoy_sent_is_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/check_requests");
    let mut read = 0;
    for file in std::fs::read_dir(folder).expect("the recorded requests") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            assert_eq!(compare(&std::fs::read(&path).expect("bytes")), Ok(Reading::Same), "{}", path.display());
            read += 1;
        }
    }
    assert!(read >= 4, "{read} recorded requests");
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z/:.-]{0,12}", 1 => "\\PC{0,8}", 1 => "[ -~]{100,400}"]
}

fn texts() -> impl Strategy<Value = std::collections::HashMap<String, String>> {
    let key = prop_oneof![Just("tiergate.tier".to_owned()), Just("tiergate.app".to_owned()), "[a-z]{0,3}"];
    proptest::collection::hash_map(key, word(), 0..4)
}

fn name() -> impl Strategy<Value = String> {
    let known = ["accept", "cookie", "authorization", "x-request-id", "x-auth-user", "x_auth_user", ":scheme", ""];
    prop_oneof![3 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 2 => "[a-z][a-z_-]{0,6}"]
}

fn peer() -> impl Strategy<Value = Peer> {
    (word(), word(), texts(), any::<u32>()).prop_map(|(address, service, labels, port)| Peer {
        address: Some(Address {
            address: Some(Place::SocketAddress(SocketAddress {
                address,
                port_specifier: Some(PortSpecifier::PortValue(port)),
                ..SocketAddress::default()
            })),
        }),
        principal: service.clone(),
        certificate: service.repeat(20),
        service,
        labels,
    })
}

fn value() -> impl Strategy<Value = Value> {
    let kind = |kind| Value { kind: Some(kind) };
    let leaf = prop_oneof![
        word().prop_map(Kind::StringValue),
        any::<f64>().prop_map(Kind::NumberValue),
        any::<bool>().prop_map(Kind::BoolValue),
        Just(Kind::NullValue(0))
    ];
    leaf.prop_map(kind).prop_recursive(4, 12, 3, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(move |values| kind(Kind::ListValue(ListValue { values }))),
            proptest::collection::hash_map("[a-z]{0,3}", inner, 0..3)
                .prop_map(move |fields| kind(Kind::StructValue(Struct { fields })))
        ]
    })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    (proptest::collection::hash_map("[a-z.]{0,8}", value(), 0..3), word(), vec(any::<u8>(), 0..9)).prop_map(
        |(fields, type_url, value)| Metadata {
            filter_metadata: [("envoy.filters.http.jwt_authn".to_owned(), Struct { fields })].into(),
            typed_filter_metadata: [("typed".to_owned(), Any { type_url, value })].into(),
        },
    )
}

fn headers() -> impl Strategy<Value = (std::collections::HashMap<String, String>, Option<HeaderMap>)> {
    let value = (name(), word(), vec(any::<u8>(), 0..20));
    let raw = value.prop_map(|(key, value, raw_value)| HeaderValue { key, value, raw_value });
    prop_oneof![
        proptest::collection::hash_map(name(), word(), 0..12).prop_map(|joined| (joined, None)),
        vec(raw, 0..12).prop_map(|headers| ((<_>::default()), Some(HeaderMap { headers })))
    ]
}

/// What Envoy could send: headers of one kind, which say the same as the fields.
fn check_request() -> impl Strategy<Value = CheckRequest> {
    let http = (headers(), word(), word(), any::<i64>(), vec(any::<u8>(), 0..9)).prop_map(
        |((mut headers, header_map), path, host, size, raw_body)| {
            if header_map.is_none() {
                for (name, value) in [(":path", &path), (":authority", &host), (":method", &"get".to_owned())] {
                    headers.insert(name.to_owned(), value.clone());
                }
            }
            HttpRequest {
                id: host.clone(),
                method: "GET".to_owned(),
                headers,
                header_map,
                path,
                scheme: host.clone(),
                query: host.clone(),
                fragment: host.clone(),
                protocol: "HTTP/1.1".to_owned(),
                body: host.clone(),
                host,
                size,
                raw_body,
            }
        },
    );
    let option = proptest::option::of::<BoxedStrategy<Metadata>>;
    let around = (option(metadata().boxed()), option(metadata().boxed()), proptest::option::of(word()));
    (http, peer(), proptest::option::of(peer()), texts(), around, any::<(i64, i32)>()).prop_map(
        |(http, source, destination, context_extensions, around, (seconds, nanos))| CheckRequest {
            attributes: Some(AttributeContext {
                source: Some(source),
                destination,
                request: Some(Request { time: Some(Timestamp { seconds, nanos }), http: Some(http) }),
                context_extensions,
                metadata_context: around.0,
                route_metadata_context: around.1,
                tls_session: around.2.map(|sni| TlsSession { sni }),
            }),
        },
    )
}

/// Any fields at all, in messages within messages.
fn fields(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let number = prop_oneof![6 => 1..14u8, 1 => 0..16u8];
    let scalar = prop_oneof![
        3 => word().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..6),
        1 => name().prop_map(String::into_bytes),
        1 => (name(), word()).prop_map(|(key, value)| [text(1, &key), text(2, &value)].concat()),
    ];
    let content = if depth == 0 { scalar.boxed() } else { prop_oneof![scalar, fields(depth - 1)].boxed() };
    let delimited = (number.clone(), content).prop_map(|(number, content)| field(number, &content));
    let varint = (number.clone(), any::<u64>()).prop_map(|(number, value)| {
        let mut out = vec![number << 3];
        prost::encoding::encode_varint(value, &mut out);
        out
    });
    let fixed = (number, any::<[u8; 8]>(), 0..8u8).prop_map(|(number, value, wire)| {
        let width = if wire == 1 { 8 } else { 4 };
        [&[number << 3 | wire], &value[..width]].concat()
    });
    vec(prop_oneof![12 => delimited, 1 => varint, 1 => fixed], 0..6).prop_map(|fields| fields.concat()).boxed()
}

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(usize, u8),
    Cut(usize),
    Copy { from: usize, length: usize, to: usize },
    Drop { from: usize, length: usize },
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let size = bytes.len();
        let at = |place: usize| if size == 0 { 0 } else { place % size };
        let range = |from: usize, length: usize| at(from)..(at(from) + length).min(size);
        match *self {
            Self::Set(place, byte) => {
                if let Some(held) = bytes.get_mut(at(place)) {
                    *held = byte;
                }
            }
            Self::Cut(place) => bytes.truncate(at(place)),
            Self::Copy { from, length, to } => {
                let piece = bytes[range(from, length)].to_vec();
                let to = at(to);
                bytes.splice(to..to, piece);
            }
            Self::Drop { from, length } => {
                bytes.drain(range(from, length));
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>;
    prop_oneof![
        6 => (place(), any::<u8>()).prop_map(|(place, byte)| Change::Set(place, byte)),
        1 => place().prop_map(Change::Cut),
        2 => (place(), 0..40usize, place()).prop_map(|(from, length, to)| Change::Copy { from, length, to }),
        2 => (place(), 0..9usize).prop_map(|(from, length)| Change::Drop { from, length }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_envoy_could_send_is_read_as_the_complete_way_reads_it(request in check_request()) {
        prop_assert_eq!(compare(&request.encode_to_vec()), Ok(Reading::Same));
    }

    #[test]
    fn no_change_of_bytes_makes_the_ways_differ(request in check_request(), changes in vec(change(), 1..4)) {
        let mut bytes = request.encode_to_vec();
        for change in &changes {
            change.apply(&mut bytes);
        }
        compare(&bytes).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn no_fields_in_any_order_make_the_ways_differ(
        top in fields(1), attributes in fields(3), request in fields(2), http in fields(2), header in fields(0),
    ) {
        let http = [http, field(3, &header), field(13, &field(1, &header))].concat();
        let bytes = [field(1, &[attributes, field(4, &[request, field(2, &http)].concat())].concat()), top].concat();
        compare(&bytes).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn two_messages_in_a_row_are_merged_or_odd(first in check_request(), second in check_request()) {
        let both = [first.encode_to_vec(), second.encode_to_vec()].concat();
        prop_assert_eq!(compare(&both), Ok(Reading::Odd));
    }
}
