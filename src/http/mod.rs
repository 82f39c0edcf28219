//! Layer 6: the decision endpoints that nginx, Traefik, Caddy, HAProxy and
//! Envoy's HTTP service call, the pages that browsers see, and the listener for
//! operators.

pub mod admin;
pub mod admin_idp;
mod answer;
pub mod hooks;
mod operator;
mod page;
pub mod pages;
pub mod scim;
mod server;
mod target;

pub use operator::{AdminServer, Readiness, Status};
pub use server::{Aliases, HttpServer, Peer};

#[cfg(test)]
mod tests;
