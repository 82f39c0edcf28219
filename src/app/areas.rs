//! The areas of the service's own paths: hooks, SCIM, what administrators see,
//! personal access tokens. Each of them is registered here.

use std::sync::Arc;

use super::admin::AdminParts;
use crate::backend::http_client::HttpClient;
use crate::check::Checker;
use crate::config::Config;
use crate::directory::Directory;
use crate::http::pages::{AccessTokenPage, Pages};
use crate::session::Sessions;
use crate::types::{Clock, Random};

/// What areas are made of.
pub(super) struct AreaParts<'a> {
    /// The config of the start.
    pub(super) config: &'a Config,
    /// Says who visits.
    pub(super) checker: &'a Arc<Checker>,
    /// The people; `None` where the config has no `directory`.
    pub(super) directory: Option<&'a Arc<Directory>>,
    /// The sessions; `None` where nobody signs in.
    pub(super) sessions: Option<&'a Sessions>,
    /// Speaks HTTP with others.
    pub(super) http: &'a HttpClient,
    /// Both clocks.
    pub(super) clock: &'a Arc<dyn Clock>,
    /// For ids, tokens and keys.
    pub(super) random: &'a Arc<dyn Random>,
    /// What administrators see beside.
    pub(super) admin: &'a AdminParts,
}

impl AreaParts<'_> {
    /// `pages`, with every area that the config asks for.
    pub(super) fn register(&self, pages: Pages) -> Pages {
        let base = &self.config.base_path;
        let pages = match self.user_hook() {
            Some(hook) => pages.with_area(format!("{base}/hooks/users"), Arc::new(hook)),
            None => pages,
        };
        let pages = self.with_scim(pages);
        let pages = match self.access_tokens() {
            Some(tokens) => pages.with_access_tokens(tokens),
            None => pages,
        };
        match self.admin() {
            Some(admin) => {
                let tier = self.config.admin.tier.clone().unwrap_or_default();
                pages.with_area(format!("{base}/admin"), Arc::new(admin)).with_admin(tier)
            }
            None => pages,
        }
    }

    /// The page of personal access tokens, where people sign in and may have some.
    fn access_tokens(&self) -> Option<AccessTokenPage> {
        let settings = self.config.directory.as_ref()?.access_tokens;
        let directory = self.directory.filter(|_| settings.max_per_user > 0)?;
        Some(AccessTokenPage {
            directory: Arc::clone(directory),
            random: Arc::clone(self.random),
            max_lifetime: settings.max_lifetime,
            max_per_user: settings.max_per_user,
        })
    }
}
