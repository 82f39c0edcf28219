//! How a message travels: one byte that says whether it is compressed, four of
//! length, the message; then, on the way back, the status as trailers.
//! ("gRPC over HTTP/2", `Length-Prefixed-Message`)

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body::Frame;
use tonic::Status;

/// The largest request that is read: Envoy sends headers here, no bodies.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// One flag and the length, before each message.
pub(super) const HEADER_BYTES: usize = 5;
/// How long a message may take to arrive.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// What all messages that are still to arrive may hold together: their bytes are
/// taken out of the windows of HTTP/2 as they come, so those bound nothing.
static ARRIVING: Arriving = Arriving { held: AtomicUsize::new(0), most: 64 * 1024 * 1024 };

/// The bytes of messages that are still to arrive.
struct Arriving {
    held: AtomicUsize,
    most: usize,
}

/// What came is not one whole message of an acceptable size, within the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Reads the one message of a unary call. Mostly it is there already, in one
/// piece; no clock runs before it has to be waited for.
pub(super) async fn read<B>(body: B) -> Result<Bytes, Unreadable>
where
    B: http_body::Body<Data = Bytes>,
{
    read_within(body, MESSAGE_TIMEOUT).await
}

pub(super) async fn read_within<B>(body: B, limit: Duration) -> Result<Bytes, Unreadable>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut gathered = Gathered { first: Bytes::new(), joined: BytesMut::new(), held: Held::nothing_of(&ARRIVING) };
    let mut deadline: Option<Pin<Box<tokio::time::Sleep>>> = None;
    poll_fn(|context| match gathered.poll(body.as_mut(), context) {
        Poll::Ready(read) => Poll::Ready(read),
        Poll::Pending => {
            gathered.hold()?;
            let deadline = deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            deadline.as_mut().poll(context).map(|()| Err(Unreadable))
        }
    })
    .await?;
    gathered.message()
}

/// The pieces of a body.
struct Gathered {
    first: Bytes,
    /// All pieces, where there are several.
    joined: BytesMut,
    held: Held,
}

/// The share of one message in what all that arrive hold.
struct Held {
    of: &'static Arriving,
    bytes: usize,
}

impl Held {
    const fn nothing_of(of: &'static Arriving) -> Self {
        Self { of, bytes: 0 }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Unreadable> {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes = self.bytes.saturating_add(more);
        let all = self.of.held.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        if all > self.of.most { Err(Unreadable) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Gathered {
    fn poll<B>(&mut self, mut body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<(), Unreadable>>
    where
        B: http_body::Body<Data = Bytes>,
    {
        while !body.is_end_stream() {
            match ready!(body.as_mut().poll_frame(context)) {
                // Trailers say nothing about a request.
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        self.put(piece)?;
                    }
                }
                Some(Err(_)) => return Poll::Ready(Err(Unreadable)),
                None => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Counts what is there among what all messages hold.
    fn hold(&mut self) -> Result<(), Unreadable> {
        self.held.grow(self.first.len().max(self.joined.len()))
    }

    fn put(&mut self, piece: Bytes) -> Result<(), Unreadable> {
        let held = self.first.len().max(self.joined.len());
        if held + piece.len() > MAX_MESSAGE_BYTES + HEADER_BYTES {
            return Err(Unreadable);
        }
        if held == 0 {
            self.first = piece;
        } else {
            if self.joined.is_empty() {
                self.joined.put_slice(&self.first);
            }
            self.joined.put_slice(&piece);
        }
        Ok(())
    }

    /// The message without what stands before it. Nothing is compressed here: no
    /// encoding was offered.
    fn message(self) -> Result<Bytes, Unreadable> {
        let Self { first, joined, held: _ } = self;
        let mut whole = if joined.is_empty() { first } else { joined.freeze() };
        match *whole {
            [0, a, b, c, d, ref message @ ..]
                if usize::try_from(u32::from_be_bytes([a, b, c, d])).is_ok_and(|length| length == message.len()) =>
            {
                Ok(whole.split_off(HEADER_BYTES))
            }
            _ => Err(Unreadable),
        }
    }
}

/// A message with room for the header before it, which [`Self::response`] fills in.
pub(super) struct Framed(Vec<u8>);

impl Framed {
    /// Room for a message of about `size` bytes.
    pub(super) fn with_capacity(size: usize) -> Self {
        let mut frame = Vec::with_capacity(HEADER_BYTES + size);
        frame.extend_from_slice(&[0; HEADER_BYTES]);
        Self(frame)
    }

    /// The message, to write to its end.
    pub(super) fn message(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The answer to a unary call that went well.
    pub(super) fn response(self) -> http::Response<Body> {
        let Self(mut frame) = self;
        // Four bytes of length are more than any answer has.
        let length = u32::try_from(frame.len() - HEADER_BYTES).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(header) = frame.get_mut(1..HEADER_BYTES) {
            header.copy_from_slice(&length);
        }
        let mut response = http::Response::new(Body(Part::Message(Bytes::from(frame))));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

/// `h2` copies frames of less than 1024 bytes behind each other into the buffer
/// that goes out, and hands each larger one to the connection by itself.
const PIECE_BYTES: usize = 1023;
/// What is larger, a page say, is worth a write of its own.
const MOST_IN_PIECES: usize = 8 * PIECE_BYTES;

/// The body of an answer.
pub struct Body(Part);

enum Part {
    /// A message is to come, then the trailers.
    Message(Bytes),
    Trailers,
    End,
    /// An answer of the gRPC library.
    Other(tonic::body::Body),
}

impl From<tonic::body::Body> for Body {
    fn from(body: tonic::body::Body) -> Self {
        Self(Part::Other(body))
    }
}

/// `grpc-status: 0`.
static WENT_WELL: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
});

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self(part) = &mut *self;
        Poll::Ready(match part {
            Part::Message(message) => {
                let piece = if (PIECE_BYTES + 1..=MOST_IN_PIECES).contains(&message.len()) {
                    message.split_to(PIECE_BYTES)
                } else {
                    std::mem::take(message)
                };
                if message.is_empty() {
                    *part = Part::Trailers;
                }
                Some(Ok(Frame::data(piece)))
            }
            Part::Trailers => {
                *part = Part::End;
                Some(Ok(Frame::trailers(WENT_WELL.clone())))
            }
            Part::End => None,
            Part::Other(body) => return Pin::new(body).poll_frame(context),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Part::Message(_) | Part::Trailers => false,
            Part::End => true,
            Part::Other(body) => body.is_end_stream(),
        }
    }

    // The size stays unknown, so that no `content-length` is made of it.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_together_is_bounded_and_given_back() {
        static FEW: Arriving = Arriving { held: AtomicUsize::new(0), most: 100 };
        let (mut one, mut other) = (Held::nothing_of(&FEW), Held::nothing_of(&FEW));
        assert_eq!((one.grow(60), one.grow(60), other.grow(40)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(other.grow(41), Err(Unreadable));
        drop(other);
        assert_eq!(one.grow(100), Ok(()));
        drop(one);
        assert_eq!(FEW.held.load(Ordering::Relaxed), 0);
    }
}
