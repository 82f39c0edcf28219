//! Layer 0: the values every other layer speaks in.
//!
//! Hostile input becomes one of these types once, at its constructor, and can
//! then no longer be wrong. Nothing here reads a clock, the environment or a
//! file: time and randomness are ports ([`ports`]).

mod fetch_url;
mod host;
pub mod ports;
pub mod principal;
pub mod reason;
pub mod request;
pub mod resource;
pub mod secret;
mod target_error;
pub mod tier;
pub mod time;

pub use fetch_url::{FetchUrl, FetchUrlError, is_loopback_authority, is_loopback_name};
pub use host::Host;
pub use ports::{Clock, Random, Tasks};
pub use principal::{Email, NameSet, Principal, ProviderId, TierSource};
pub use reason::Reason;
pub use request::{Protocol, RequestView};
pub use resource::{CanonicalPath, EncodedSet};
pub use secret::Secret;
pub use target_error::TargetError;
pub use tier::{TierIndex, TierSet};
pub use time::{Monotonic, UnixTime};
