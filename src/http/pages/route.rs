//! Which page a path names.

use super::PageSettings;
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
    /// Who is signed in, as oauth2-proxy says it.
    UserInfo,
    Sessions,
    Revoke,
    Tokens,
    RevokeToken,
    Jwks,
    /// What is below the path of an area, by the place of the area; the rest of the path.
    Area(usize, &'a str),
}

impl Route<'_> {
    /// What it answers, for `Allow`.
    pub(super) const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Portal | Self::Login | Self::Me | Self::UserInfo | Self::Sessions | Self::Jwks => &["GET", "HEAD"],
            // Whoever only looks must not use an attempt up, nor end a session.
            Self::Callback(_) | Self::FrontChannel => &["GET"],
            Self::Logout | Self::Tokens => &["GET", "HEAD", "POST"],
            Self::BackChannel | Self::Revoke | Self::RevokeToken => &["POST"],
            // It says itself what it answers.
            Self::Area(..) => &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        }
    }
}

/// The paths of the service.
#[derive(Debug)]
pub(super) struct Routes {
    base_path: String,
    seed_paths: bool,
    oauth2_proxy: bool,
    /// Where else the portal is.
    portal_path: Option<String>,
    /// Where each provider sends browsers back to, as the config says.
    callbacks: Vec<(String, ProviderId)>,
    /// Below which paths other parts of the service answer for themselves.
    areas: Vec<String>,
    /// Whether there are pages of the administrator.
    admin: bool,
    /// Whether there are personal access tokens.
    access_tokens: bool,
}

impl Routes {
    pub(super) fn new(settings: &PageSettings, providers: &[LoginProvider]) -> Self {
        let PageSettings { base_path, seed_paths, oauth2_proxy, portal_path, public_origin: _, trusted_proxies: _ } =
            settings;
        let callbacks =
            providers.iter().map(|provider| (provider.callback_path.clone(), provider.id.clone())).collect();
        Self {
            base_path: base_path.clone(),
            seed_paths: *seed_paths,
            oauth2_proxy: *oauth2_proxy,
            portal_path: portal_path.clone(),
            callbacks,
            areas: Vec::new(),
            admin: false,
            access_tokens: false,
        }
    }

    /// Lets browsers come back to the administrator's pages.
    pub(super) fn add_admin(&mut self) {
        self.admin = true;
    }

    /// Whether a browser that has signed in may not be sent to this path of the
    /// service: looking at a page of the administrator changes nothing.
    pub(super) fn is_no_target(&self, path: &str) -> bool {
        let below = self.below(path).and_then(|below| below.strip_prefix("/admin")).filter(|_| self.admin);
        let is_page = below.is_some_and(|below| below.is_empty() || below.starts_with('/'));
        let is_api = below.is_some_and(|below| below == "/api" || below.starts_with("/api/"));
        self.owns(path) && (!is_page || is_api)
    }

    /// Gives everything below `path` to an area; its place.
    pub(super) fn add_area(&mut self, path: String) -> usize {
        self.areas.push(path);
        self.areas.len().saturating_sub(1)
    }

    /// Has a page for personal access tokens.
    pub(super) const fn add_access_tokens(&mut self) {
        self.access_tokens = true;
    }

    /// The page of personal access tokens, where there is one.
    pub(super) fn tokens(&self) -> Option<String> {
        self.access_tokens.then(|| self.to("/tokens"))
    }

    /// The page that a canonical path names.
    pub(super) fn find<'p>(&'p self, path: &'p str) -> Option<Route<'p>> {
        if let Some(area) = self.area(path) {
            return Some(area);
        }
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
                "/tokens" if self.access_tokens => Some(Route::Tokens),
                "/tokens/revoke" if self.access_tokens => Some(Route::RevokeToken),
                "/jwks.json" => Some(Route::Jwks),
                "/callback" => self.only_callback(),
                _ => self.callback_of(below.strip_prefix("/callback/")?),
            };
        }
        match path {
            "/login" if self.seed_paths => Some(Route::Login),
            "/logout" if self.seed_paths => Some(Route::Logout),
            "/dashboard" if self.seed_paths => Some(Route::Portal),
            _ if self.portal_path.as_deref() == Some(path) => Some(Route::Portal),
            "/oauth2/start" | "/oauth2/sign_in" if self.oauth2_proxy => Some(Route::Login),
            "/oauth2/callback" if self.oauth2_proxy => self.only_callback(),
            "/oauth2/sign_out" if self.oauth2_proxy => Some(Route::Logout),
            "/oauth2/userinfo" if self.oauth2_proxy => Some(Route::UserInfo),
            _ => None,
        }
    }

    /// Whether a canonical path is the service's own, with a page or without.
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

    fn area<'p>(&self, path: &'p str) -> Option<Route<'p>> {
        self.areas.iter().enumerate().find_map(|(place, area)| {
            let below = path.strip_prefix(area.as_str()).filter(|below| below.is_empty() || below.starts_with('/'));
            below.map(|below| Route::Area(place, below))
        })
    }

    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&self.base_path).filter(|below| below.is_empty() || below.starts_with('/'))
    }

    /// Where it need not be said which provider it is.
    fn only_callback(&self) -> Option<Route<'_>> {
        match self.callbacks.as_slice() {
            [(_, provider)] => Some(Route::Callback(provider)),
            _ => None,
        }
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

    fn settings(seed_paths: bool, oauth2_proxy: bool) -> PageSettings {
        PageSettings {
            base_path: "/_auth".to_owned(),
            seed_paths,
            oauth2_proxy,
            portal_path: None,
            public_origin: None,
            trusted_proxies: Vec::new(),
        }
    }

    #[test]
    fn each_path_names_its_page() {
        let main = ProviderId::new("main");
        let one = Routes::new(&settings(true, false), &[provider("main", "/callback")]);
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
            &settings(false, true),
            &[provider("main", "/_auth/callback/main"), provider("other", "/back")],
        );
        assert_eq!(two.find("/_auth/callback"), None);
        assert_eq!(two.find("/back"), Some(Route::Callback(&other)));
        assert_eq!(two.find("/_auth/callback/other"), Some(Route::Callback(&other)));
        assert!(!two.owns("/login") && !two.owns("/dashboard"));
        assert!(two.owns("/oauth2/start") && !two.owns("/oauth2/callback"));
    }

    #[test]
    fn the_paths_of_oauth2_proxy_are_ours_only_when_asked_for() {
        let main = ProviderId::new("main");
        let routes =
            |oauth2_proxy, callback| Routes::new(&settings(false, oauth2_proxy), &[provider("main", callback)]);
        let (on, off) = (routes(true, "/_auth/callback/main"), routes(false, "/_auth/callback/main"));
        for (path, route) in [
            ("/oauth2/start", Some(Route::Login)),
            ("/oauth2/sign_in", Some(Route::Login)),
            ("/oauth2/callback", Some(Route::Callback(&main))),
            ("/oauth2/sign_out", Some(Route::Logout)),
            ("/oauth2/userinfo", Some(Route::UserInfo)),
            // The decision endpoint is no page.
            ("/oauth2/auth", None),
            ("/oauth2", None),
            ("/oauth2/", None),
            ("/oauth2/start/", None),
            ("/oauth2/static/x", None),
            ("/apps/oauth2/start", None),
        ] {
            assert_eq!(on.find(path), route, "{path}");
            assert_eq!((on.owns(path), off.owns(path)), (route.is_some(), false), "{path}");
        }
        // A redirect URI that the provider knows from before counts without the rest.
        assert_eq!(routes(false, "/oauth2/callback").find("/oauth2/callback"), Some(Route::Callback(&main)));
        assert!(!routes(false, "/oauth2/callback").owns("/oauth2/start"));
    }
}
