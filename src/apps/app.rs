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
    /// The rule for all of the app, which asks for its tier.
    pub implied_rule: RuleFile,
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

impl Prefix {
    /// The word for it in configs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strip => "strip",
            Self::Keep => "keep",
        }
    }
}

/// A route's own words about where it leads, as [`App::route_tag`] writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteTag<'a> {
    /// `<tier>/<name>`
    pub id: &'a str,
    /// The path of the app.
    pub path: &'a str,
    /// `strip` or `keep`.
    pub prefix: &'a str,
    /// The upstream.
    pub upstream: &'a str,
}

impl<'a> RouteTag<'a> {
    /// The tag of a route that leads to no app.
    pub const NO_APP: &'static str = "-";

    /// Reads a tag; `None` when it is none.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut words = text.split(' ');
        let tag = Self { id: words.next()?, path: words.next()?, prefix: words.next()?, upstream: words.next()? };
        words.next().is_none().then_some(tag)
    }

    /// What of a canonical path stands behind the path of the app.
    #[must_use]
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let below = path.strip_prefix(if self.path == "/" { "" } else { self.path })?;
        (below.is_empty() || below.starts_with('/')).then_some(below)
    }
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

    /// What a proxy's route to the app says of itself: which app, what the route
    /// takes off the path, and where it leads.
    #[must_use]
    pub fn route_tag(&self) -> String {
        let Self { id, path, prefix, upstream, .. } = self;
        format!("{id} {path} {} {upstream}", prefix.as_str())
    }

    /// Whether a route with this tag leads where one to this app would.
    #[must_use]
    pub fn is_led_to(&self, tag: &RouteTag<'_>) -> bool {
        self.path.to_string() == tag.path
            && self.prefix.as_str() == tag.prefix
            && self.upstream.to_string() == tag.upstream
    }

    /// The URL path of its front page.
    #[must_use]
    pub fn front(&self) -> &str {
        self.path.front().as_str()
    }
}
