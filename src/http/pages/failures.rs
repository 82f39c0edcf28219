//! What people are told when signing in fails.

use super::Why;
use super::content::Notice;
use crate::oidc::CallbackError;
use crate::types::Reason;

/// The word for metrics.
pub(super) fn result_of(error: &CallbackError) -> &'static str {
    match error {
        CallbackError::Store => "store",
    }
}

/// The page for a browser that came back from its provider in vain.
pub(super) fn callback(error: &CallbackError) -> Notice {
    match error {
        CallbackError::Store => Notice::new(
            503,
            "You are not signed in",
            "Your sign-in cannot be finished, because sessions cannot be kept right now. Try again in a moment.",
        )
        .reason(Reason::Unavailable),
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
        Why::NoCookie => notice.and("The session cookie that was set did not come back.").causes(&[
            "Your browser blocks cookies of this site, or an extension removes them.",
            "A proxy in front of this site drops the Cookie or Set-Cookie header.",
            "This site is open under another name, or by http in place of https, than the one it was set up for.",
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
