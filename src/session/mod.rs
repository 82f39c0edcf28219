//! Layer 3: the sessions of people with browsers, and what keeps them.
//!
//! ```text
//! cookie ─▶ SessionId ─SHA-256─▶ SessionKey ─store─▶ StoredSession ─Seals─▶ Session ─▶ LiveSession
//! ```
//!
//! The cookie holds 256 random bits and nothing else. The store knows their
//! hash, and a record that is sealed with a key made of those bits and of a
//! secret of the service: neither a leaked store nor a leaked secret opens
//! one. Nothing here reads a clock, a file or the network; the store is a port.

mod cookie;
mod ending;
mod id;
mod index;
mod known;
mod login_attempt;
mod moving;
mod record;
mod sealing;
mod sessions;
mod source;
mod store;
mod touches;

pub use cookie::{
    BrowserCookies, COOKIE_PREFIX, LOGIN_SLOTS, LoginCookie, SESSION_COOKIE, SessionCookie, SetCookie, without_own,
};
pub use id::{OpaqueId, SessionId, SessionKey};
pub use index::IndexKey;
pub use known::KnownSessions;
pub use login_attempt::LoginAttempt;
pub use record::{Authority, Session, SessionCard};
pub use sealing::{Seals, Unsealable};
pub use sessions::{Found, Lifetimes, Opened, SessionError, SessionListing, SessionPorts, Sessions};
pub use source::{LiveSession, NoSession, SessionSource};
pub use store::{Lease, OnceKey, SessionStore, StoreError, StoreFuture, StoredSession};

#[cfg(test)]
pub(crate) mod fixture;
