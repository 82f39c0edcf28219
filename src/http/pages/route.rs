//! Which page a path names.

use crate::oidc::LoginProvider;
use crate::types::ProviderId;

/// A page, or an endpoint that providers call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Portal,
    Login,
    Callback(&'a ProviderId),
    Logout,
    BackChannel,
    FrontChannel,
    Me,
    Sessions,
    Revoke,
    Jwks,
}

impl Route<'_> {
    /// What it answers, for `Allow`.
    pub(super) const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Portal | Self::Login | Self::Me | Self::Sessions | Self::Jwks => &["GET", "HEAD"],
            // Whoever only looks must not use an attempt up, nor end a session.
            Self::Callback(_) | Self::FrontChannel => &["GET"],
            Self::Logout => &["GET", "HEAD", "POST"],
            Self::BackChannel | Self::Revoke => &["POST"],
        }
    }
}

/// The paths of the service.
#[derive(Debug)]
pub(super) struct Routes {
    base_path: String,
    seed_paths: bool,
    /// Where each provider sends browsers back to, as the config says.
    callbacks: Vec<(String, ProviderId)>,
}

impl Routes {
    pub(super) fn new(base_path: String, seed_paths: bool, providers: &[LoginProvider]) -> Self {
        let callbacks =
            providers.iter().map(|provider| (provider.callback_path.clone(), provider.id.clone())).collect();
        Self { base_path, seed_paths, callbacks }
    }

    /// The page that a canonical path names.
    pub(super) fn find(&self, path: &str) -> Option<Route<'_>> {
        if let Some((_, provider)) = self.callbacks.iter().find(|(callback, _)| callback == path) {
            return Some(Route::Callback(provider));
        }
        if let Some(below) = self.below(path) {
            return match below {
                "" | "/" => Some(Route::Portal),
                "/login" => Some(Route::Login),
                "/logout" => Some(Route::Logout),
                "/backchannel-logout" => Some(Route::BackChannel),
                "/frontchannel-logout" => Some(Route::FrontChannel),
                "/me" => Some(Route::Me),
                "/sessions" => Some(Route::Sessions),
                "/sessions/revoke" => Some(Route::Revoke),
                "/jwks.json" => Some(Route::Jwks),
                "/callback" => match self.callbacks.as_slice() {
                    [(_, provider)] => Some(Route::Callback(provider)),
                    _ => None,
                },
                _ => self.callback_of(below.strip_prefix("/callback/")?),
            };
        }
        match path {
            "/login" if self.seed_paths => Some(Route::Login),
            "/logout" if self.seed_paths => Some(Route::Logout),
            "/dashboard" if self.seed_paths => Some(Route::Portal),
            _ => None,
        }
    }

    /// Whether a canonical path never reaches an upstream.
    pub(super) fn owns(&self, path: &str) -> bool {
        self.below(path).is_some() || self.find(path).is_some()
    }

    pub(super) fn base_path(&self) -> &str {
        &self.base_path
    }

    pub(super) fn portal(&self) -> String {
        format!("{}/", self.base_path)
    }

    pub(super) fn to(&self, page: &str) -> String {
        format!("{}{page}", self.base_path)
    }

    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&self.base_path).filter(|below| below.is_empty() || below.starts_with('/'))
    }

    fn callback_of(&self, id: &str) -> Option<Route<'_>> {
        self.callbacks.iter().find(|(_, provider)| provider.as_str() == id).map(|(_, id)| Route::Callback(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(id: &str, callback_path: &str) -> LoginProvider {
        LoginProvider { id: ProviderId::new(id), label: id.to_owned(), callback_path: callback_path.to_owned() }
    }

    #[test]
    fn each_path_names_its_page() {
        let main = ProviderId::new("main");
        let one = Routes::new("/_auth".to_owned(), true, &[provider("main", "/callback")]);
        for (path, route) in [
            ("/_auth", Some(Route::Portal)),
            ("/_auth/", Some(Route::Portal)),
            ("/dashboard", Some(Route::Portal)),
            ("/login", Some(Route::Login)),
            ("/_auth/logout", Some(Route::Logout)),
            ("/callback", Some(Route::Callback(&main))),
            ("/_auth/callback", Some(Route::Callback(&main))),
            ("/_auth/callback/main", Some(Route::Callback(&main))),
            ("/_auth/callback/other", None),
            ("/_auth/callback/", None),
            ("/_auth/admin/", None),
            ("/_auth/login/", None),
            ("/_authx", None),
            ("/callback/main", None),
            ("/", None),
        ] {
            assert_eq!(one.find(path), route, "{path}");
        }
        assert!(["/_auth/nothing", "/_auth", "/callback", "/dashboard"].iter().all(|path| one.owns(path)));
        assert!(["/_authx", "/", "/callbacks", "/dashboard/", "/apps/_auth/"].iter().all(|path| !one.owns(path)));
    }

    #[test]
    fn with_two_providers_each_has_its_own_callback() {
        let other = ProviderId::new("other");
        let two = Routes::new(
            "/_auth".to_owned(),
            false,
            &[provider("main", "/_auth/callback/main"), provider("other", "/back")],
        );
        assert_eq!(two.find("/_auth/callback"), None);
        assert_eq!(two.find("/back"), Some(Route::Callback(&other)));
        assert_eq!(two.find("/_auth/callback/other"), Some(Route::Callback(&other)));
        assert!(!two.owns("/login") && !two.owns("/dashboard"));
    }
}
