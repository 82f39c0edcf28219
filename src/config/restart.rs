//! What only a restart can apply.

use super::Config;

impl Config {
    /// The keys in which `new` differs and that a running service cannot follow:
    /// listeners, stores and clients were opened by them, and the tokens and
    /// sessions that are kept were judged by them.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let compared = [
            ("listen", self.listen == new.listen),
            ("public_url", self.public_url == new.public_url),
            ("base_path", self.base_path == new.base_path && self.seed_paths == new.seed_paths),
            ("trusted_proxies", self.trusted_proxies == new.trusted_proxies),
            ("identity_providers", self.identity_providers == new.identity_providers),
            ("portal.path", self.portal.path == new.portal.path),
            ("compat", self.compat == new.compat),
            ("limits", self.limits == new.limits),
            ("log", self.log == new.log),
            ("sessions", self.sessions == new.sessions),
            ("directory", self.directory == new.directory),
            ("admin", self.admin == new.admin),
            ("routes", self.routes == new.routes),
        ];
        compared.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
    }
}
