//! What people are told when signing in fails.

use super::Why;
use super::content::Notice;
use crate::oidc::{CallbackError, ProviderRefusal};
use crate::types::Reason;

/// The page for a browser that came back from its provider in vain.
pub(super) fn callback(error: &CallbackError) -> Notice {
    let status = if error.is_outage() { 503 } else { 400 };
    let notice = Notice::new(status, "You are not signed in", cause(error));
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
        | CallbackError::CodeRefused => notice.and("Go to the page that you want to see, and sign in from there."),
        CallbackError::Store | CallbackError::ProviderUnavailable | CallbackError::KeysUnavailable => {
            notice.and("Try again in a moment.")
        }
        CallbackError::Refused(refusal) => match refusal {
            ProviderRefusal::AccessDenied | ProviderRefusal::InteractionRequired => {
                notice.and("If you wanted to sign in, start again, and agree to what you are asked there.")
            }
            ProviderRefusal::ServerError => notice.and("Try again in a moment."),
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
        | CallbackError::Claims(_) => notice.and(TELL),
    }
}

const TELL: &str = "Trying again may not help. Tell whoever runs this site, with the reference below: the log of the service says \
                    more under it.";

/// What happened, in words for whoever wanted to sign in.
fn cause(error: &CallbackError) -> &'static str {
    match error {
        CallbackError::UnknownProvider => "This address belongs to no way of signing in here.",
        CallbackError::MalformedQuery
        | CallbackError::RepeatedParameter
        | CallbackError::OversizedQuery
        | CallbackError::State
        | CallbackError::CodeMissing => {
            "This address is where your sign-in provider sends you back to, but what it should bring along is missing or \
             damaged."
        }
        CallbackError::UnknownAttempt => {
            "This sign-in was finished before, or it is too old. That happens when the page is loaded again, or opened \
             from the history or a bookmark."
        }
        CallbackError::AttemptExpired => "Signing in took more than ten minutes.",
        CallbackError::OtherBrowser => {
            "This sign-in was begun in another browser, or this browser no longer has the cookie it was begun with: \
             because it blocks cookies, or because more than five sign-ins were open at once."
        }
        CallbackError::OtherProvider => "This sign-in was begun at another provider than the one that sent you back.",
        CallbackError::Refused(ProviderRefusal::AccessDenied) => {
            "Your sign-in provider said no: you did not agree, or your account may not use this site."
        }
        CallbackError::Refused(ProviderRefusal::InteractionRequired) => {
            "Your sign-in provider has to ask you something, and could not."
        }
        CallbackError::Refused(ProviderRefusal::ServerError) => "Your sign-in provider has a failure of its own.",
        CallbackError::Refused(ProviderRefusal::InvalidScope) => {
            "Your sign-in provider does not know one of the scopes that this site asks for."
        }
        CallbackError::Refused(
            ProviderRefusal::InvalidRequest | ProviderRefusal::UnauthorizedClient | ProviderRefusal::Other,
        ) => "Your sign-in provider did not accept how this site asks it.",
        CallbackError::ProviderUnavailable => "Your sign-in provider does not answer.",
        CallbackError::KeysUnavailable => {
            "The keys of your sign-in provider cannot be had, so its word cannot be checked."
        }
        CallbackError::IssuerMissing | CallbackError::IssuerMismatch => {
            "The answer does not come from the provider that you were sent to."
        }
        CallbackError::CodeRefused => {
            "Your sign-in provider did not accept the answer it had sent itself: it may be too old."
        }
        CallbackError::ClientRefused => "Your sign-in provider did not recognise this site.",
        CallbackError::ProviderMetadata
        | CallbackError::TokenResponse
        | CallbackError::IdTokenMissing
        | CallbackError::UserInfo => "Your sign-in provider answered something that this site cannot accept.",
        CallbackError::IdToken(_) | CallbackError::AccessToken(_) | CallbackError::OtherSubject => {
            "What your sign-in provider says about you could not be verified. The clocks may differ, or the site may be \
             set up for another client or audience."
        }
        CallbackError::Claims(_) => "What your sign-in provider says about your permissions cannot be understood.",
        CallbackError::Store => "Your sign-in cannot be finished, because sessions cannot be kept right now.",
    }
}

/// The page that ends going round.
pub(super) fn round(why: Why) -> Notice {
    let notice = Notice::new(
        403,
        "Signing in leads nowhere",
        "You signed in three times within a minute, and each time this site did not know you afterwards.",
    );
    match why {
        // The count came back in a cookie: cookies as such work. Of a session
        // cookie that it takes away, the check tells on the way here.
        Why::NoCookie => notice.and("The session cookie did not come back.").causes(&[
            "Your browser, an extension, or a proxy in front of this site removes the session cookie.",
            "Another request of the same page had no session to it, and it was taken away: the log of the service says why.",
        ]),
        Why::Malformed | Why::Several => notice.and("A session cookie came back, and not as it was set.").causes(&[
            "A proxy in front of this site changes or doubles cookies.",
            "An old cookie is in the way: delete the cookies of this site.",
        ]),
        Why::NotThere => notice.and("The session cookie came back, and there is no session to it.").causes(&[
            "Several instances of the service run, each with sessions of its own: they need one session store.",
            "The session store loses what is written to it, or is emptied.",
            "The clocks of the servers differ.",
        ]),
        Why::NotOurs => notice
            .and("The session cookie came back, and nothing opens its session.")
            .causes(&["Several instances of the service run with different secrets: all need the same."]),
        Why::Over => notice.and("The session was over as soon as it had begun.").causes(&[
            "The clock of this server and that of the sign-in provider differ.",
            "The tokens are for another audience than the one that is configured.",
            "The tokens last for too short a time, or the scope for longer sessions (offline_access) is missing.",
        ]),
    }
    .reason(Reason::SessionExpired)
}

/// The page for a session that counts here, and that the check does not see.
pub(super) fn unseen() -> Notice {
    Notice::new(
        403,
        "Signing in leads nowhere",
        "You are signed in, but the page that you want to see sends you back to sign in, again and again.",
    )
    .causes(&[
        "The proxy in front of this site does not hand the Cookie header on when it asks Tiergate about a request.",
        "Several instances of the service run, with session stores or secrets of their own: all need the same.",
    ])
    .reason(Reason::SessionExpired)
}
