//! One app.

use super::names::AppId;
use super::path::AppPath;
use super::upstream::Upstream;
use crate::policy::document::RuleFile;
use crate::types::Host;

/// One app of the catalogue, every value valid.
#[derive(Debug, Clone)]
pub struct App {
    /// Its tier and its name.
    pub id: AppId,
    /// The host it is served on; `None` for every host.
    pub host: Option<Host>,
    /// The path it is served below.
    pub path: AppPath,
    /// Where the proxy finds it.
    pub upstream: Upstream,
    /// What the proxy does with the app's path before it hands a request on.
    pub prefix: Prefix,
    /// What people read in place of the name.
    pub title: Option<String>,
    /// One or two sentences about it.
    pub description: Option<String>,
    /// A small picture.
    pub icon: Option<Icon>,
    /// Whom to ask about it.
    pub owner: Option<String>,
    /// Its version, as people read it.
    pub version: Option<String>,
    /// Whether the portal leaves it out; it can be opened all the same.
    pub hidden: bool,
    /// The path at the upstream that answers with success while all is well.
    pub health: Option<String>,
    /// Where it was written: a file name, or the config's key.
    pub source: String,
    /// The rule for all of the app, which asks for its tier; none where one of the
    /// app's own rules is for all of it.
    pub implied_rule: Option<RuleFile>,
    /// Its own rules, with whole paths.
    pub rules: Vec<RuleFile>,
}

/// What becomes of the app's path on the way to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// The upstream sees what stands behind it, and `X-Forwarded-Prefix`.
    Strip,
    /// The upstream sees all of it.
    Keep,
}

/// A small picture for the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Icon {
    /// A few characters, such as an emoji.
    Text(String),
    /// A path below the app's own, such as `/static/icon.svg`.
    Path(String),
}

impl App {
    /// What people read.
    #[must_use]
    pub fn shown_title(&self) -> &str {
        self.title.as_deref().unwrap_or_else(|| self.id.name.as_str())
    }

    /// The host it is served on, as text.
    #[must_use]
    pub fn host_text(&self) -> Option<&str> {
        self.host.as_ref().map(Host::as_str)
    }

    /// The URL path of its front page.
    #[must_use]
    pub fn front(&self) -> &str {
        self.path.front().as_str()
    }
}
