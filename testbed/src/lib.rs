//! The test bed: real proxies, a development identity provider, the service
//! itself and small applications, run as child processes or threads on
//! loopback, for the integration tests and for `tiergate-demo`.
//!
//! Everything here is synchronous. The servers that live in this process
//! ([`Provider`], [`Upstream`]) run on threads of their own, so a test may be a
//! plain `#[test]` or a `#[tokio::test]`, and a fixture may outlive the test
//! that started it. Children end when their value is dropped, and also when
//! this process ends in any other way (see [`component`]).
//!
//! ```text
//! component  one child process: spawn, wait until ready, stop      guard  ends what a dying process leaves behind
//! provider   the OpenID provider       tiergate  the service       upstream  the echo upstream
//! gateway    the six proxies, from the shipped configs             apps      the Flask applications
//! oidc_provider, glewlwyd  providers of others                     example  the examples, each whole
//! browser    Chromium                  user_agent a browser's cookies and redirects, no screen
//! redis      one server, TLS, Sentinels, a Cluster         mariadb, postgres  a server with a database each time
//! raw_http   requests byte by byte     load    requests by a schedule     websocket  a WebSocket client   socketio  the Socket.IO client
//! ```

#![expect(clippy::disallowed_methods, reason = "the test bed is the outside world: processes, files, waiting")]

pub mod apps;
pub mod browser;
pub mod component;
pub mod example;
pub mod gateway;
pub mod glewlwyd;
mod guard;
mod keep_alive;
pub mod load;
pub mod mariadb;
pub mod oidc_provider;
pub mod postgres;
pub mod provider;
pub mod raw_http;
pub mod redis;
mod server;
#[cfg(test)]
mod sign_in_tests;
mod signals;
pub mod socketio;
#[cfg(test)]
mod tests;
pub mod tiergate;
mod tools;
pub mod upstream;
pub mod user_agent;
pub mod websocket;

pub use apps::{App, Apps};
pub use browser::Browser;
pub use component::{Component, Process, Ready};
pub use example::{Example, RunningExample};
pub use gateway::{Backends, Gateway, RunningGateway};
pub use glewlwyd::Glewlwyd;
pub use guard::end_all_children;
pub use keep_alive::KeepAlive;
pub use load::{Load, Observed, Stream};
pub use mariadb::MariaDb;
pub use oidc_provider::{OidcProvider, OidcProviderBuilder};
pub use postgres::Postgres;
pub use provider::{Account, Endpoint, Fault, IssuerInResponse, Key, Person, Provider, TokenSpec};
pub use raw_http::{RawResponse, raw_request, request};
pub use redis::Redis;
pub use signals::on_signal;
pub use socketio::{SocketIoAnswer, SocketIoCall};
pub use tiergate::{Tiergate, TiergateBuilder, TiergatePorts};
pub use tools::{free_port, repo_root, tool};
pub use upstream::{Received, Upstream};
pub use user_agent::{JarCookie, Step, UserAgent, Visit};
pub use websocket::{WebSocketAnswer, WebSocketSession, websocket};

pub(crate) use tools::lock;
