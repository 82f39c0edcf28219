//! Layer 4: a provider's own word about its users, as its management API and
//! its events say it (Auth0 Management API v2, Keycloak admin API).
//!
//! ```text
//! walk ─▶ path of a page ─▶ ManagementApi ─▶ answer ─▶ walk ─▶ reports of users
//!                               │
//!                        ServiceToken (client credentials, RFC 6749 section 4.4)
//! ```
//!
//! What is asked next and what an answer means are functions; the exchange
//! itself is a port.

mod api;
mod auth0;
#[cfg(test)]
pub(crate) mod fixture;
mod groups;
mod keycloak;
mod member;
mod pace;
mod path;
mod port;
mod service_token;
mod walk;

use serde_json::{Map, Value};

use crate::directory::UserChange;
use crate::types::UnixTime;

pub use api::{Call, ManagementApi, ManagementError, ManagementPorts, ManagementSettings, TokenEndpoint};
pub use auth0::auth0_user;
pub use groups::{groups_path, read_groups};
pub use keycloak::{admin_event, keycloak_user, user_event};
pub use member::{Fields, Scope, ShapeFault};
pub use pace::{MAX_TRIES, pause};
pub use path::{PathPattern, PathPatternError, encode_segment};
pub use port::{Transport, TransportError, TransportFuture};
pub use service_token::TokenError;
pub use walk::{Found, Walk, WalkError, user_path};

/// Whose management API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Auth0, version 2.
    Auth0,
    /// Keycloak.
    Keycloak,
}

impl Kind {
    /// What the API says of one user whom it was asked for alone.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn read_user(self, answer: &[u8], as_of: UnixTime) -> Result<Told, ShapeFault> {
        let user: Map<String, Value> = serde_json::from_slice(answer).map_err(|_| ShapeFault::Form("user"))?;
        match self {
            Self::Auth0 => auth0_user(&user, Scope::Whole, as_of),
            Self::Keycloak => keycloak_user(&user, Scope::Whole, as_of),
        }
    }
}

/// What a provider says of one user.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The user, as the `sub` of the provider's tokens names them.
    pub subject: Box<str>,
    /// What it says.
    pub change: UserChange,
}
