//! The wire of `Check`. A message that does not decode is a value, not a gRPC
//! error, so that it is refused in band like every other bad request.

use bytes::Buf as _;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use prost::Message as _;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The largest request that is decoded: Envoy sends headers here, no bodies.
pub(super) const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// A request message, or the fact that it was none.
#[derive(Debug)]
pub(super) enum Incoming {
    Request(Box<CheckRequest>),
    Malformed,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CheckCodec;

impl Codec for CheckCodec {
    type Encode = CheckResponse;
    type Decode = Incoming;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self
    }
}

impl Encoder for CheckCodec {
    type Item = CheckResponse;
    type Error = Status;

    fn encode(&mut self, item: CheckResponse, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|_| Status::internal("the response does not fit its buffer"))
    }
}

impl Decoder for CheckCodec {
    type Item = Incoming;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Incoming>, Status> {
        if buffer.remaining() > MAX_MESSAGE_BYTES {
            buffer.advance(buffer.remaining());
            return Ok(Some(Incoming::Malformed));
        }
        Ok(Some(match CheckRequest::decode(&mut *buffer) {
            Ok(request) => Incoming::Request(Box::new(request)),
            Err(_) => {
                buffer.advance(buffer.remaining());
                Incoming::Malformed
            }
        }))
    }
}
