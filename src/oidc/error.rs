//! What can go wrong while people sign in and out, one variant a cause.

use super::attempt_limit::Busy;
use super::provider::MetadataError;
use crate::session::SetCookie;
use crate::token::{IdTokenRejection, Rejection};

/// Why a sign-in does not begin, or a sign-out does not end.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No such provider.
    #[error("no such provider")]
    UnknownProvider,
    /// The provider's own description cannot be had, or is not acceptable.
    #[error("the provider cannot be asked")]
    Provider(#[source] MetadataError),
    /// Too many sign-ins begin at once.
    #[error("too many sign-ins begin")]
    Busy(Busy),
    /// The attempt cannot be kept, or the session not be ended.
    #[error("the session store does not answer")]
    Store,
}

/// A browser that came back and is not signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CallbackFailure {
    /// Why not.
    #[source]
    pub error: CallbackError,
    /// The cookies that have to go with the answer, whatever page it is.
    pub set_cookies: Vec<SetCookie>,
    /// Where the attempt wanted to go, path and query on our own origin, when
    /// this browser began it, or its cookie may have made room for newer ones:
    /// what a way to try again leads to.
    pub return_to: Option<String>,
}

/// Why a browser that came back is not signed in. Each cause has a word for
/// metrics and a page for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// No provider signs in at this path.
    #[error("no such provider")]
    UnknownProvider,
    /// The query is not one that a provider sends.
    #[error("the query is malformed")]
    MalformedQuery,
    /// A parameter stands there twice.
    #[error("the query holds a parameter twice")]
    RepeatedParameter,
    /// A parameter is longer than 2 KiB, or there are too many.
    #[error("the query is too long")]
    OversizedQuery,
    /// There is no `state`, or none that is ours.
    #[error("the query holds no state of ours")]
    State,
    /// Nothing is known of the attempt: it was used, it is too old, or it
    /// never was.
    #[error("the sign-in is not known, or was finished before")]
    UnknownAttempt,
    /// The attempt is more than 10 minutes old.
    #[error("the sign-in took too long")]
    AttemptExpired,
    /// This browser did not begin the attempt, or its cookie is gone.
    #[error("the sign-in was begun by another browser, or its cookie is gone")]
    OtherBrowser,
    /// The attempt was begun at another provider.
    #[error("the sign-in was begun at another provider")]
    OtherProvider,
    /// The provider names itself in each of its answers, but not in this one
    /// (RFC 9207 section 2.4).
    #[error("the answer does not name its issuer")]
    IssuerMissing,
    /// The answer names another issuer.
    #[error("the answer is of another issuer")]
    IssuerMismatch,
    /// The provider said no.
    #[error("the provider refused: {}", .0.as_str())]
    Refused(ProviderRefusal),
    /// Neither a code nor an error.
    #[error("the answer holds no code")]
    CodeMissing,
    /// The provider did not answer, or with a failure of its own.
    #[error("the provider did not answer")]
    ProviderUnavailable,
    /// What the provider says of itself is not acceptable.
    #[error("the provider's description is not acceptable")]
    ProviderMetadata,
    /// The keys to verify the provider's tokens with are not there.
    #[error("the keys of the provider are not available")]
    KeysUnavailable,
    /// The provider did not take the code: used, too old, or not ours.
    #[error("the provider did not take the code")]
    CodeRefused,
    /// The provider did not take the service for its client.
    #[error("the provider did not take the credentials of the client")]
    ClientRefused,
    /// The answer of the token endpoint is not one.
    #[error("the answer of the token endpoint is malformed")]
    TokenResponse,
    /// There is no ID token.
    #[error("the answer of the token endpoint holds no id token")]
    IdTokenMissing,
    /// The ID token is not accepted.
    #[error("the id token is not accepted: {0}")]
    IdToken(IdTokenRejection),
    /// The access token is for us and is not accepted.
    #[error("the access token is not accepted: {0}")]
    AccessToken(Rejection),
    /// Access token or userinfo speak of somebody else than the ID token.
    #[error("the tokens speak of two people")]
    OtherSubject,
    /// The answer of the userinfo endpoint is not one.
    #[error("the answer of the userinfo endpoint is malformed")]
    UserInfo,
    /// A claim that scopes or groups come from is not of its form.
    #[error("the claims are not acceptable: {0}")]
    Claims(Rejection),
    /// The user directory refuses them.
    #[error("the user directory refuses whoever signs in")]
    Disabled,
    /// The session store does not answer: nothing is known of the attempt.
    #[error("the session store does not answer")]
    Store,
}

impl CallbackError {
    /// The constant word for metrics and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownProvider => "unknown_provider",
            Self::MalformedQuery => "malformed_query",
            Self::RepeatedParameter => "repeated_parameter",
            Self::OversizedQuery => "oversized_query",
            Self::State => "state",
            Self::UnknownAttempt => "unknown_attempt",
            Self::AttemptExpired => "attempt_expired",
            Self::OtherBrowser => "other_browser",
            Self::OtherProvider => "other_provider",
            Self::IssuerMissing => "issuer_missing",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::Refused(refusal) => refusal.as_str(),
            Self::CodeMissing => "code_missing",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ProviderMetadata => "provider_metadata",
            Self::KeysUnavailable => "keys_unavailable",
            Self::CodeRefused => "code_refused",
            Self::ClientRefused => "client_refused",
            Self::TokenResponse => "token_response",
            Self::IdTokenMissing => "id_token_missing",
            Self::IdToken(_) => "id_token",
            Self::AccessToken(_) => "access_token",
            Self::OtherSubject => "other_subject",
            Self::UserInfo => "userinfo",
            Self::Claims(_) => "claims",
            Self::Disabled => "disabled",
            Self::Store => "store",
        }
    }

    /// Whether nothing is wrong with the browser's part, so that it may help to
    /// try again: such an answer is 503, every other one 400.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Store | Self::ProviderUnavailable | Self::KeysUnavailable)
    }
}

/// What a provider answers in place of a code (RFC 6749 section 4.1.2.1, OIDC
/// Core section 3.1.2.6). Its own words are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderRefusal {
    /// The person or the provider's policy said no.
    AccessDenied,
    /// The provider would have to ask the person, and was told not to.
    InteractionRequired,
    /// The request is not one that the provider takes.
    InvalidRequest,
    /// A scope is unknown, or not for this client.
    InvalidScope,
    /// The client may not sign people in this way.
    UnauthorizedClient,
    /// The provider failed, or is too busy.
    ServerError,
    /// Something that no standard names.
    Other,
}

impl ProviderRefusal {
    /// Reads the `error` parameter.
    pub(super) fn parse(error: &str) -> Self {
        match error {
            "access_denied" => Self::AccessDenied,
            "interaction_required" | "login_required" | "account_selection_required" | "consent_required" => {
                Self::InteractionRequired
            }
            "invalid_request"
            | "unsupported_response_type"
            | "invalid_request_uri"
            | "invalid_request_object"
            | "request_not_supported"
            | "request_uri_not_supported"
            | "registration_not_supported"
            | "invalid_target" => Self::InvalidRequest,
            "invalid_scope" => Self::InvalidScope,
            "unauthorized_client" => Self::UnauthorizedClient,
            "server_error" | "temporarily_unavailable" => Self::ServerError,
            _ => Self::Other,
        }
    }

    /// The constant word for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "refused_access_denied",
            Self::InteractionRequired => "refused_interaction_required",
            Self::InvalidRequest => "refused_invalid_request",
            Self::InvalidScope => "refused_invalid_scope",
            Self::UnauthorizedClient => "refused_unauthorized_client",
            Self::ServerError => "refused_server_error",
            Self::Other => "refused_other",
        }
    }
}

/// Why a session has no new tokens.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The provider ended the grant (`invalid_grant`), or what it gave does not
    /// verify: the session is over.
    #[error("the provider ended the grant")]
    Ended,
    /// The provider did not answer, or answered with a failure of its own: the
    /// session stays as it is.
    #[error("the provider could not be asked")]
    Passing,
}

/// Why a logout token ends nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// It is not valid, or was used before (OIDC Back-Channel Logout 1.0 section 2.6).
    #[error("the logout token is not valid: {0}")]
    Invalid(&'static str),
    /// The session store does not answer; the provider should try again.
    #[error("the session store does not answer")]
    Store,
    /// The key that it was signed with is not there, and no fetch of the
    /// provider's keys ended since the token came: within the cooldown that
    /// strangers are held to, while a fetch is under way, or when it failed. The
    /// provider should try again. A key that a fetch did not bring is unknown
    /// for good ([`Self::Invalid`]).
    #[error("the keys of the provider are not available")]
    Keys,
}
