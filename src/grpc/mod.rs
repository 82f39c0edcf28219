//! Layer 6: Envoy's gRPC external authorization, `envoy.service.auth.v3`.
//!
//! Every verdict goes back in band, as a `CheckResponse` with a status and a
//! response: to Envoy a gRPC error is a failure of the filter, and an empty
//! answer an allow.
//!
//! ```text
//! framing   one message in, one message and the trailers out
//! walk      the usual request, read in place      wire    the encoding it is written in
//! convert   any request, decoded whole; any answer, built whole
//! encode    an allow, written in place
//! ```

mod convert;
mod encode;
mod framing;
pub mod oracle;
mod server;
mod walk;
mod wire;

pub use framing::Body;
pub use server::GrpcServer;

#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod framing_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;
