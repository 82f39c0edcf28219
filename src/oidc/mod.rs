//! Layer 4: the relying party (OIDC Core 1.0): signs people in and out at
//! their provider. Messages only; the exchange itself is a port.
//!
//! ```text
//! begin      provider ─▶ authorize          the browser goes to the provider
//! complete   query ─▶ callback ─▶ exchange ─▶ vouch ─▶ userinfo ─▶ Session
//! renew      renew ─▶ exchange ─▶ vouch     new tokens for a session
//! sign_out   logout                         here, and at the provider
//! ```
//!
//! What a provider sends is read by `openidconnect` where it is a message of
//! OAuth, and judged by [`crate::token`] where it is a token: there is one gate
//! for tokens, whoever brings them.

mod attempt_limit;
mod authorize;
mod callback;
mod client;
mod client_auth;
mod error;
mod exchange;
mod flights;
mod http_client;
mod introspection;
mod live_sessions;
mod logout;
mod people;
mod principal;
mod provider;
mod query;
mod relying_party;
mod renew;
mod return_target;
mod userinfo;
mod vouch;

pub use attempt_limit::Busy;
pub use client::{AssertionAudience, ClientAuth, ClientSettings};
pub use client_auth::{NoSigningKey, SigningKey};
pub use error::{CallbackError, CallbackFailure, LogoutTokenError, ProviderRefusal, RenewError, SignInError};
pub use http_client::{HttpClient, HttpError};
pub use introspection::{Asked, Introspection, IntrospectionPorts, IntrospectionSettings, IntrospectionWatch};
pub use live_sessions::{LivePorts, LiveSessions, RefreshWatch, Refreshed, Vouch};
pub use provider::MetadataError;
pub use relying_party::{LoginProvider, Redirect, RelyingParty, RelyingPartyPorts, SetupError};
pub use return_target::{ReturnTarget, ReturnTargetError};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod provider_shapes;
