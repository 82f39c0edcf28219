//! Whether the quick way reads a message as the complete way does; for the
//! fuzz target `walk` and the tests.

use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use prost::Message as _;

use super::convert::WireRequest;
use super::walk::walk;
use crate::types::RequestView;

/// How a message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// By both ways, with the same result.
    Same,
    /// By the complete way alone, or by none.
    Odd,
}

/// Reads `message` both ways.
///
/// # Errors
/// Says what differs where the quick way reads it and the complete way reads
/// something else or nothing.
pub fn compare(message: &[u8]) -> Result<Reading, String> {
    let Ok(walked) = walk(message) else { return Ok(Reading::Odd) };
    let decoded = CheckRequest::decode(message).map_err(|error| format!("it does not decode: {error}"))?;
    let wire = WireRequest::try_from(decoded).map_err(|malformed| malformed.to_string())?;
    let headers = wire.headers();
    let (quick, complete) = (in_order(&walked.view()), in_order(&wire.view(&headers)));
    if quick == complete { Ok(Reading::Same) } else { Err(format!("{quick} in place of {complete}")) }
}

/// Everything in a request. Those of a map come in any order: headers are
/// sorted by name, those of one name stay as they came.
fn in_order(view: &RequestView<'_>) -> String {
    let RequestView { protocol, method, target, host, headers, route_tier, route_app, request_id } = *view;
    let mut headers = headers.to_vec();
    headers.sort_by_key(|(name, _)| *name);
    format!("{protocol:?} {method:?} {target:?} {host:?} {route_tier:?} {route_app:?} {request_id:?} {headers:?}")
}
