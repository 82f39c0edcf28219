//! Layer 6: Envoy's gRPC external authorization, `envoy.service.auth.v3`.
//!
//! Every verdict goes back in band, as a `CheckResponse` with a status and a
//! response: to Envoy a gRPC error is a failure of the filter, and an empty
//! answer an allow.

mod codec;
mod convert;
mod server;

pub use server::GrpcServer;

#[cfg(test)]
mod tests;
