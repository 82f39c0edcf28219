//! Layer 4: the relying party (OIDC Core 1.0): signs people in and out at
//! their provider. Messages only; the exchange itself is a port.

mod flights;
mod http_client;
mod live_sessions;
mod relying_party;

pub use http_client::{HttpClient, HttpError};
pub use live_sessions::{LivePorts, LiveSessions, RefreshWatch, Refreshed, Vouch};
pub use relying_party::{
    CallbackError, LoginProvider, LogoutTokenError, Redirect, RelyingParty, RenewError, SignInError,
};
