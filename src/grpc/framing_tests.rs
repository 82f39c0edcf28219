use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt as _;
use prost::Message as _;

use super::framing::{Unreadable, read_within};
use super::server::GrpcServer;
use crate::check::CheckService;
use crate::check::fixture::{panicking_service, service};

/// A body that comes in these pieces, then ends, or not.
struct Pieces {
    pieces: VecDeque<Frame<Bytes>>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// The end is known with the last piece.
    End,
    /// The end has to be asked for.
    None,
    Wait,
    Panic,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match (self.pieces.pop_front(), self.then) {
            (Some(piece), _) => Poll::Ready(Some(Ok(piece))),
            (None, Then::End | Then::None) => Poll::Ready(None),
            (None, Then::Wait) => Poll::Pending,
            (None, Then::Panic) => panic!("the body broke"),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.then == Then::End
    }
}

fn body(pieces: &[&[u8]], then: Then) -> Pieces {
    let pieces = pieces.iter().map(|piece| Frame::data(Bytes::copy_from_slice(piece))).collect();
    Pieces { pieces, then }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

fn read(body: Pieces) -> Result<Vec<u8>, Unreadable> {
    block_on(read_within(body, Duration::from_millis(20))).map(|message| message.to_vec())
}

#[test]
fn a_message_comes_in_any_pieces() {
    let whole = [0, 0, 0, 0, 3, b'a', b'b', b'c'];
    for then in [Then::End, Then::None] {
        assert_eq!(read(body(&[&whole], then)), Ok(b"abc".to_vec()));
        for cut in 0..=whole.len() {
            let (head, tail) = whole.split_at(cut);
            assert_eq!(read(body(&[head, tail], then)), Ok(b"abc".to_vec()), "{cut}");
        }
        let bytes: Vec<&[u8]> = whole.iter().map(std::slice::from_ref).collect();
        assert_eq!(read(body(&bytes, then)), Ok(b"abc".to_vec()));
        assert_eq!(read(body(&[&[0; 5]], then)), Ok(Vec::new()));
    }
    let mut trailed = body(&[&whole], Then::None);
    trailed.pieces.push_back(Frame::trailers(HeaderMap::new()));
    assert_eq!(read(trailed), Ok(b"abc".to_vec()));
}

#[test]
fn what_is_not_one_whole_message_is_unreadable() {
    let most = 256 * 1024;
    let sized = |size: usize| [&[0], &u32::try_from(size).expect("a size").to_be_bytes()[..], &vec![0; size]].concat();
    let bodies: [(&str, &[u8]); 7] = [
        ("nothing", &[]),
        ("half a header", &[0, 0, 0]),
        ("compressed", &[1, 0, 0, 0, 0]),
        ("no flag", &[2, 0, 0, 0, 0]),
        ("too short", &[0, 0, 0, 0, 2, 1]),
        ("too long", &[0, 0, 0, 0, 0, 1]),
        ("two messages", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (what, bytes) in bodies {
        for then in [Then::End, Then::None] {
            assert_eq!(read(body(&[bytes], then)), Err(Unreadable), "{what}");
        }
    }
    assert_eq!(read(body(&[&sized(most)], Then::End)).map(|message| message.len()), Ok(most));
    assert_eq!(read(body(&[&sized(most + 1)], Then::End)), Err(Unreadable));
    // Nobody has to wait for the end of what is too large.
    let half = vec![0; most / 2 + 3];
    assert_eq!(read(body(&[&half, &half], Then::Panic)), Err(Unreadable));
    for pieces in [&[][..], &[&[0, 0][..]], &[&[0, 0, 0, 0, 0][..]]] {
        assert_eq!(read(body(pieces, Then::Wait)), Err(Unreadable));
    }
}

/// What a call gets: the one message and the trailers.
fn call(check: CheckService, path: &str, body: Pieces) -> (http::response::Parts, Bytes, HeaderMap) {
    let (_, health) = tonic_health::server::health_reporter();
    let request = http::Request::post(path).body(body).expect("a request");
    block_on(async {
        let (head, body) = GrpcServer::new(check, health).answer(request).await.into_parts();
        let whole = body.collect().await.expect("a whole answer");
        let trailers = whole.trailers().cloned().unwrap_or_default();
        (head, whole.to_bytes(), trailers)
    })
}

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

fn refusal(check: CheckService, body: Pieces) -> (i32, i32) {
    let (head, answer, trailers) = call(check, CHECK, body);
    assert_eq!((head.status.as_u16(), &head.headers["content-type"]), (200, &"application/grpc".parse().expect("it")));
    assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &"0".parse().expect("it")));
    let (header, message) = answer.split_at(5);
    assert_eq!(header, [&[0], &u32::try_from(message.len()).expect("a size").to_be_bytes()[..]].concat());
    let answer = CheckResponse::decode(message).expect("a response");
    let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else { panic!("not denied") };
    (answer.status.expect("a status").code, denied.status.expect("an HTTP status").code)
}

#[test]
fn every_failure_is_a_refusal_in_band() {
    for bytes in [&[][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 0xff]] {
        assert_eq!(refusal(service().0, body(&[bytes], Then::End)), (7, 400), "{bytes:?}");
    }
    assert_eq!(refusal(service().0, body(&[], Then::Panic)), (7, 503));
    let http =
        [b"\x12\x03GET\x22\x0e/apps/stable/x\x2a\x01h" as &[u8], b"\x1a\x1e\x0a\x0dauthorization\x12\x0dBearer a.b.cc"];
    let http = http.concat();
    let within = |number: u8, content: &[u8]| {
        [&[number << 3 | 2, u8::try_from(content.len()).expect("short")], content].concat()
    };
    let message = within(1, &within(4, &within(2, &http)));
    let framed = [&[0, 0, 0, 0, u8::try_from(message.len()).expect("short")], &message[..]].concat();
    assert_eq!(refusal(panicking_service().0, body(&[&framed], Then::End)), (7, 503));
}

#[test]
fn health_is_answered_beside_it_and_nothing_else() {
    let ask = |path| {
        let (head, _, trailers) = call(service().0, path, body(&[&[0; 5]], Then::End));
        let status = trailers.get("grpc-status").or(head.headers.get("grpc-status")).cloned();
        status.map(|status| status.to_str().expect("a number").to_owned())
    };
    assert_eq!(ask("/grpc.health.v1.Health/Check").as_deref(), Some("0"));
    for path in ["/grpc.health.v1.HealthX/Check", "/grpc.health.v1.Health", "/", "/envoy.service.auth.v3.Authorization"]
    {
        assert_eq!(ask(path).as_deref(), Some("12"), "{path}");
    }
}
