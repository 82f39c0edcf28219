//! Which page a path names.

use crate::directory::UserId;

/// The longest parameter that is searched for, in characters.
pub(super) const MAX_PARAMETER: usize = 500;

/// A page, or a form that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Users,
    User(UserId),
    Disable(UserId),
    Enable(UserId),
    SignOut(UserId),
    Grant(UserId),
    Revoke(UserId),
    EndSessionOf(UserId),
    RevokeToken(UserId),
    Sessions,
    EndSession,
    Apps,
    Policy,
    Decisions,
    Providers,
    Audit,
}

impl Place {
    /// The page at `below` the path of the pages.
    pub(super) fn of(below: &str) -> Option<Self> {
        match below {
            "" | "/" => Some(Self::Overview),
            "/users" | "/users/" => Some(Self::Users),
            "/sessions" => Some(Self::Sessions),
            "/sessions/end" => Some(Self::EndSession),
            "/apps" => Some(Self::Apps),
            "/policy" => Some(Self::Policy),
            "/decisions" => Some(Self::Decisions),
            "/providers" => Some(Self::Providers),
            "/audit" => Some(Self::Audit),
            _ => {
                let rest = below.strip_prefix("/users/")?;
                let (id, form) = rest.split_once('/').map_or((rest, None), |(id, form)| (id, Some(form)));
                let id = UserId::parse(id)?;
                match form {
                    None => Some(Self::User(id)),
                    Some("disable") => Some(Self::Disable(id)),
                    Some("enable") => Some(Self::Enable(id)),
                    Some("sign-out") => Some(Self::SignOut(id)),
                    Some("grant") => Some(Self::Grant(id)),
                    Some("revoke") => Some(Self::Revoke(id)),
                    Some("end-session") => Some(Self::EndSessionOf(id)),
                    Some("revoke-token") => Some(Self::RevokeToken(id)),
                    Some(_) => None,
                }
            }
        }
    }

    /// What it answers, for `Allow`.
    pub(super) const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Overview
            | Self::Users
            | Self::User(_)
            | Self::Sessions
            | Self::Apps
            | Self::Policy
            | Self::Decisions
            | Self::Providers
            | Self::Audit => &["GET", "HEAD"],
            // Asked for once more on a page of their own.
            Self::Disable(_) | Self::SignOut(_) => &["GET", "HEAD", "POST"],
            Self::Enable(_)
            | Self::Grant(_)
            | Self::Revoke(_)
            | Self::EndSessionOf(_)
            | Self::RevokeToken(_)
            | Self::EndSession => &["POST"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_names_its_page() {
        let id = "000102030405060708090a0b0c0d0e0f";
        let user = UserId::parse(id).expect("an id");
        for (below, place) in [
            (String::new(), Some(Place::Overview)),
            ("/".to_owned(), Some(Place::Overview)),
            ("/users".to_owned(), Some(Place::Users)),
            (format!("/users/{id}"), Some(Place::User(user))),
            (format!("/users/{id}/sign-out"), Some(Place::SignOut(user))),
            (format!("/users/{id}/end-session"), Some(Place::EndSessionOf(user))),
            (format!("/users/{id}/"), None),
            (format!("/users/{id}/disable/"), None),
            (format!("/users/{}", id.to_uppercase()), None),
            ("/users/x".to_owned(), None),
            ("/sessions/".to_owned(), None),
            ("/idp".to_owned(), None),
        ] {
            assert_eq!(Place::of(&below), place, "{below}");
        }
    }
}
