//! The paths that the service keeps for itself.

use super::identity_provider::IdentityProvider;
use crate::apps::AppPath;

/// Where SCIM clients call, besides a path under `base_path`.
const SCIM: &str = "/scim/v2";

/// The paths of the service itself, where no app is reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnPaths {
    /// Everything from here on down, by the key that says so.
    below: Vec<(&'static str, String)>,
    /// This very path.
    exact: Vec<(&'static str, String)>,
}

impl OwnPaths {
    pub(crate) fn new(base_path: &str, portal: Option<&str>, providers: &[IdentityProvider], has_scim: bool) -> Self {
        let scim = has_scim.then(|| ("directory.scim", SCIM.to_owned()));
        let callbacks = providers.iter().filter_map(|provider| provider.login.as_ref());
        let callbacks = callbacks.map(|login| ("login.callback_path", login.callback_path.clone()));
        let portal = portal.map(|path| ("portal.path", path.to_owned()));
        Self {
            below: std::iter::once(("base_path", base_path.to_owned())).chain(scim).collect(),
            exact: callbacks.chain(portal).collect(),
        }
    }

    /// The key whose pages would stand in the place of the app's front page.
    pub(super) fn key_at(&self, path: &AppPath) -> Option<&'static str> {
        let is_below = |own: &str| {
            let rest = path.prefix().strip_prefix(own).filter(|_| !own.is_empty());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let below = self.below.iter().find(|(_, own)| is_below(own));
        let exact = || self.exact.iter().find(|(_, own)| own.trim_end_matches('/') == path.prefix());
        below.or_else(exact).map(|(key, _)| *key)
    }
}
