//! The apps, and what the proxies' configs need besides them, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration::DurationText;
use crate::policy::document::RuleFile;

/// Where the apps are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum AppsDirFile {
    /// One directory.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// What apps have where they say nothing themselves.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppsDefaultsFile {
    /// Where the proxy finds an app, such as `http://{name}:8000`; `{name}` and `{tier}` stand for the app's own.
    pub(crate) upstream: Option<String>,
    /// Whom to ask about an app.
    pub(crate) owner: Option<String>,
    /// The path at the upstream that answers with success while all is well, such as `/healthz`.
    pub(crate) health: Option<String>,
}

/// One app of the catalogue, here or in a file of its own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppFile {
    /// Its short name, unique in its tier: lower-case letters, digits and `-`. That of the file or the folder when absent.
    #[schemars(regex(pattern = "^[a-z0-9-]+$"))]
    pub(crate) name: Option<String>,
    /// The tier that opens it. In a folder `<tier>/<app>/` that of the place when absent.
    pub(crate) tier: Option<String>,
    /// Where the proxy finds it, such as `http://127.0.0.1:3000`; `apps_defaults.upstream` when absent.
    pub(crate) upstream: Option<String>,
    /// The path it is served below; `/apps/<tier>/<name>` when absent. `{tier}` and `{name}` stand for the app's own.
    pub(crate) path: Option<String>,
    /// The host it is served on; every host when absent.
    pub(crate) host: Option<String>,
    /// Whether the proxy takes the path off before it hands a request on; `strip` when absent.
    pub(crate) prefix: Option<PrefixFile>,
    /// What people read in place of the name.
    pub(crate) title: Option<String>,
    /// One or two sentences about it.
    pub(crate) description: Option<String>,
    /// A small picture: an emoji, or a path below the app's own such as `/static/icon.svg`.
    pub(crate) icon: Option<String>,
    /// Whom to ask about it: a name, a team, an e-mail address.
    pub(crate) owner: Option<String>,
    /// Its version.
    pub(crate) version: Option<String>,
    /// Whether the portal leaves it out; it can be opened all the same.
    pub(crate) hidden: Option<bool>,
    /// The path at the upstream that answers with success while all is well, such as `/healthz`.
    pub(crate) health: Option<String>,
    /// Further rules, their paths relative to the app's. Each asks for the app's tier too, unless it names a tier.
    #[serde(default)]
    pub(crate) rules: Vec<RuleFile>,
}

/// What becomes of an app's path on the way to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrefixFile {
    /// The upstream sees what stands behind it, and the header `X-Forwarded-Prefix`.
    Strip,
    /// The upstream sees all of it.
    Keep,
}

/// What `proxy-config` writes besides the apps, and the files of routes that the service keeps up to date.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesFile {
    /// What serves that no app does, such as `http://127.0.0.1:5000`; nobody (404) when absent.
    pub(crate) site: Option<String>,
    /// The file with the certificates by which upstreams with https are known;
    /// `/etc/ssl/certs/ca-certificates.crt` when absent.
    pub(crate) trusted_ca: Option<String>,
    /// Present: Envoy's routes and clusters are kept up to date in a directory.
    pub(crate) envoy: Option<EnvoyRoutesFile>,
    /// Present: nginx's routes are kept up to date in a file.
    pub(crate) nginx: Option<NginxRoutesFile>,
}

/// Where Envoy finds its routes and clusters.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvoyRoutesFile {
    /// The directory; made when it is not there.
    pub(crate) dir: String,
}

/// Where nginx finds its routes, and how it is told of new ones.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NginxRoutesFile {
    /// The file that its config includes; its directory is made when it is not there.
    pub(crate) file: String,
    /// The command that makes nginx read the file again, such as `nginx -s reload`; no shell reads it.
    pub(crate) reload: Option<String>,
    /// A command that judges the new file before the reload, such as `nginx -t`.
    pub(crate) test: Option<String>,
    /// How long each command may take; `10s` when absent, at most `60s`.
    pub(crate) timeout: Option<DurationText>,
}
