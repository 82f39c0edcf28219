//! SCIM at the root and below `base_path`, where a client of it is configured.

use std::sync::Arc;

use super::areas::AreaParts;
use crate::config::ScimSubject;
use crate::http::pages::Pages;
use crate::http::scim::{SCIM_PATH, ScimArea, ScimPorts, ScimSettings};
use crate::scim::SubjectRule;

impl AreaParts<'_> {
    /// `pages`, with the areas of SCIM.
    pub(super) fn with_scim(&self, pages: Pages) -> Pages {
        let scim = self.config.directory.as_ref().and_then(|directory| directory.scim.as_ref());
        let (Some(scim), Some(directory)) = (scim, self.directory) else { return pages };
        let settings = ScimSettings {
            provider: scim.provider.clone(),
            tokens: scim.tokens.clone(),
            subject: match scim.subject {
                ScimSubject::ExternalId => SubjectRule::ExternalId,
                ScimSubject::UserName => SubjectRule::UserName,
            },
        };
        let ports = ScimPorts {
            directory: Arc::clone(directory),
            clock: Arc::clone(self.clock),
            random: Arc::clone(self.random),
        };
        let origin = self.config.public_url.as_ref().map(|url| url.origin().to_owned()).unwrap_or_default();
        let own = format!("{}{SCIM_PATH}", self.config.base_path);
        [SCIM_PATH.to_owned(), own].into_iter().fold(pages, |pages, path| {
            let area = ScimArea::new(&settings, ports.clone(), format!("{origin}{path}"));
            pages.with_area(path, Arc::new(area))
        })
    }
}
