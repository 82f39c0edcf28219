//! What people are told when signing in fails.

use super::Why;
use super::content::Notice;
use crate::oidc::{CallbackError, ProviderRefusal};
use crate::types::Reason;

/// The page for a browser that came back from its provider in vain.
pub(super) fn callback(error: &CallbackError) -> Notice {
    if *error == CallbackError::Disabled {
        return disabled();
    }
    let status = if error.is_outage() { 503 } else { 400 };
    let notice = Notice::new(status, if error.is_outage() { "trouble" } else { "key" }, "failed.title", cause(error));
    let notice = if error.is_outage() { notice.reason(Reason::Unavailable) } else { notice };
    match error {
        CallbackError::UnknownProvider
        | CallbackError::MalformedQuery
        | CallbackError::RepeatedParameter
        | CallbackError::OversizedQuery
        | CallbackError::State
        | CallbackError::UnknownAttempt
        | CallbackError::AttemptExpired
        | CallbackError::OtherBrowser
        | CallbackError::OtherProvider
        | CallbackError::CodeMissing
        | CallbackError::CodeRefused => notice.and("failed.from_there"),
        CallbackError::Store | CallbackError::ProviderUnavailable | CallbackError::KeysUnavailable => {
            notice.and("failed.moment")
        }
        CallbackError::Refused(refusal) => match refusal {
            ProviderRefusal::AccessDenied | ProviderRefusal::InteractionRequired => notice.and("failed.agree"),
            ProviderRefusal::ServerError => notice.and("failed.moment"),
            ProviderRefusal::InvalidRequest
            | ProviderRefusal::InvalidScope
            | ProviderRefusal::UnauthorizedClient
            | ProviderRefusal::Other => notice.and(TELL),
        },
        CallbackError::IssuerMissing
        | CallbackError::IssuerMismatch
        | CallbackError::ProviderMetadata
        | CallbackError::ClientRefused
        | CallbackError::TokenResponse
        | CallbackError::IdTokenMissing
        | CallbackError::IdToken(_)
        | CallbackError::AccessToken(_)
        | CallbackError::OtherSubject
        | CallbackError::UserInfo
        | CallbackError::Claims(_)
        | CallbackError::Disabled => notice.and(TELL),
    }
}

const TELL: &str = "failed.tell";

/// What happened, in words for whoever wanted to sign in.
fn cause(error: &CallbackError) -> &'static str {
    match error {
        CallbackError::UnknownProvider => "failed.unknown_provider",
        CallbackError::MalformedQuery
        | CallbackError::RepeatedParameter
        | CallbackError::OversizedQuery
        | CallbackError::State
        | CallbackError::CodeMissing => "failed.damaged",
        CallbackError::UnknownAttempt => "failed.unknown_attempt",
        CallbackError::AttemptExpired => "failed.expired",
        CallbackError::OtherBrowser => "failed.other_browser",
        CallbackError::OtherProvider => "failed.other_provider",
        CallbackError::Refused(ProviderRefusal::AccessDenied) => "failed.denied",
        CallbackError::Refused(ProviderRefusal::InteractionRequired) => "failed.interaction",
        CallbackError::Refused(ProviderRefusal::ServerError) => "failed.server",
        CallbackError::Refused(ProviderRefusal::InvalidScope) => "failed.scope",
        CallbackError::Refused(
            ProviderRefusal::InvalidRequest | ProviderRefusal::UnauthorizedClient | ProviderRefusal::Other,
        ) => "failed.request",
        CallbackError::ProviderUnavailable => "failed.unavailable",
        CallbackError::KeysUnavailable => "failed.keys",
        CallbackError::IssuerMissing | CallbackError::IssuerMismatch => "failed.issuer",
        CallbackError::CodeRefused => "failed.code",
        CallbackError::ClientRefused => "failed.client",
        CallbackError::ProviderMetadata
        | CallbackError::TokenResponse
        | CallbackError::IdTokenMissing
        | CallbackError::UserInfo => "failed.answer",
        CallbackError::IdToken(_) | CallbackError::AccessToken(_) | CallbackError::OtherSubject => "failed.unverified",
        CallbackError::Claims(_) => "failed.claims",
        CallbackError::Store => "failed.store",
        CallbackError::Disabled => "refused.disabled_user",
    }
}

/// The page for somebody whom the directory does not let in.
pub(super) fn disabled() -> Notice {
    Notice::new(403, "lock", "refused.title_403", "refused.disabled_user").and(TELL).reason(Reason::DisabledUser)
}

/// The page that ends going round.
pub(super) fn round(why: Why) -> Notice {
    let notice = Notice::new(403, "round", "round.title", "round.text");
    match why {
        // The count came back in a cookie: cookies as such work. Of a session
        // cookie that it takes away, the check tells on the way here.
        Why::NoCookie => notice.and("round.no_cookie").causes(&["round.no_cookie_browser", "round.no_cookie_log"]),
        Why::Malformed | Why::Several => {
            notice.and("round.changed").causes(&["round.changed_proxy", "round.changed_old"])
        }
        Why::NotThere => notice.and("round.not_there").causes(&[
            "round.not_there_instances",
            "round.not_there_store",
            "round.not_there_clocks",
        ]),
        Why::NotOurs => notice.and("round.not_ours").causes(&["round.not_ours_secrets"]),
        Why::Over => notice.and("round.over").causes(&["round.over_clock", "round.over_audience", "round.over_time"]),
    }
    .reason(Reason::SessionExpired)
}

/// The page for a session that counts here, and that the check does not see.
pub(super) fn unseen() -> Notice {
    Notice::new(403, "round", "round.title", "round.unseen")
        .causes(&["round.unseen_cookie", "round.unseen_instances"])
        .reason(Reason::SessionExpired)
}
