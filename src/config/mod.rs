//! Layer 6: the config, from text and variables to values that are right.
//!
//! ```text
//! text ──yaml──▶ Node tree ──interpolate, overlay──▶ Node tree     every node knows its place
//!      ──structure──▶ ConfigFile ──sections──▶ Config              every fault at once
//! ```
//!
//! Nothing here opens a file or reads the environment: [`Sources`] brings the
//! text, the variables and a way to read secret files.

mod app_rules;
mod apps;
mod apps_file;
mod check;
mod directory;
mod directory_file;
mod dotenv;
mod duration;
mod environment;
mod fault;
mod file;
mod identity_headers;
mod identity_provider;
mod interpolate;
mod listen;
mod login;
mod management;
mod node;
mod overlay;
mod own_paths;
mod policy;
mod portal;
mod restart;
mod routes;
mod schema;
mod sections;
mod sessions;
mod structure;
mod tier_edit;
mod url;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

pub use apps::{AppPlace, AppText};
use apps_file::AppsDefaultsFile;
use check::Check;
pub use check::ReadSecret;
pub use directory::{AccessTokens, Admin, Directory, DirectoryAddress, Hook, Scim, ScimSubject};
pub use dotenv::with_dotenv;
use fault::Fault;
pub use fault::{ConfigError, ConfigErrors, Place};
use file::{ConfigFile, SessionsFile};
pub use identity_provider::{IdentityProvider, Jwks, JwksSource};
pub use listen::{Listen, ListenAddress, PublicUrl};
pub use login::Login;
pub use management::{Introspection, Management, ManagementKind};
use node::Node;
use own_paths::OwnPaths;
pub use portal::{NoFiles, Portal, ReadFiles};
pub use routes::{NginxRoutes, Routes};
pub use schema::schema;
pub use sections::{Compat, Limits, Log, LogFormat, LogLevel};
pub use sessions::{RedisTopology, SessionStoreAddress, Sessions};

pub use tier_edit::{TierEditError, check_names_no_tier, with_tier};

use crate::apps::Entry;
use crate::check::{AssertionSettings, ErrorTemplate, IdentityHeaders};
use crate::policy::Policy;
use crate::policy::document::PolicyDocument;
use crate::types::ProviderId;

/// A config in which every value is valid.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the service listens.
    pub listen: Listen,
    /// What browsers see; always there when a provider has a `login`.
    pub public_url: Option<PublicUrl>,
    /// The path of the service's own browser pages, without a trailing `/`.
    pub base_path: String,
    /// Whether `/login`, `/logout` and `/dashboard` lead to the pages too, as in
    /// a service that `AUTH0_*` variables alone make.
    pub seed_paths: bool,
    /// The peers whose target headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// Who signs the tokens.
    pub identity_providers: Vec<IdentityProvider>,
    /// Tiers and rules, compiled.
    pub policy: Policy,
    /// Tiers and rules as written.
    pub policy_document: PolicyDocument,
    /// The operator's own JSON body for refusals.
    pub error_template: Option<ErrorTemplate>,
    /// What the upstream is told about the caller.
    pub identity_headers: IdentityHeaders,
    /// Present: the upstream gets a signed statement about the caller.
    pub assertion: Option<AssertionSettings>,
    /// Other programs whose endpoint paths are served too.
    pub compat: Compat,
    /// Upper bounds.
    pub limits: Limits,
    /// The service's own log.
    pub log: Log,
    /// Browser sessions; always there when a provider has a `login`.
    pub sessions: Option<Sessions>,
    /// The user directory.
    pub directory: Option<Directory>,
    /// The administrator's pages.
    pub admin: Admin,
    /// The portal and the pages around it.
    pub portal: Portal,
    /// The directories with the apps' files and folders.
    pub apps_dirs: Vec<PathBuf>,
    /// What apps have where they say nothing themselves.
    apps_defaults: AppsDefaultsFile,
    /// Where no app is reached.
    own_paths: OwnPaths,
    /// Apps written in the config itself.
    pub apps: Vec<Arc<Entry>>,
    /// What the proxies' configs need besides the apps, and the files of routes.
    pub routes: Routes,
    /// What the operator should know though nothing is wrong; one sentence each.
    pub notices: Vec<String>,
}

/// What a config is made from.
pub struct Sources<'a> {
    /// The config file, its name for messages and its text; without one, the
    /// variables alone make the config.
    pub file: Option<(&'a str, &'a str)>,
    /// The environment, with `.env` already in it ([`with_dotenv`]).
    pub environment: BTreeMap<String, String>,
    /// Reads the files that `*_file` keys name.
    pub read_secret: ReadSecret<'a>,
    /// Reads the logo, the messages and the templates of `portal`.
    pub files: &'a dyn ReadFiles,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every fault with its place, in the order of their places.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigErrors> {
        let variables = &sources.environment;
        let mut faults = Vec::new();
        let (name, mut tree) = match sources.file {
            Some((name, text)) => {
                let mut tree = yaml::parse(text, &mut faults)
                    .map_err(|error| ConfigErrors::single(name, error.place, error.message, error.hint))?;
                interpolate::interpolate(&mut tree, variables, &mut faults);
                (name, tree)
            }
            None if environment::is_enough(variables) => ("environment", environment::tree(variables, &mut faults)),
            None if overlay::is_used(variables) => ("environment", Node::empty()),
            None => return Err(nothing_given()),
        };
        environment::directory(&mut tree, variables, &mut faults);
        let schema = schema::structure();
        overlay::overlay(&mut tree, variables, &schema, &mut faults);
        overlay::coerce(&mut tree, schema::View::new(&schema));

        let written = tree.to_json();
        let structural = structure::check(&written, &schema);
        let broken: BTreeSet<String> = structural.iter().filter_map(Fault::section).collect();
        let is_a_map = written.is_object();
        let declared = policy::Declarations::find(&written, &faults);
        let (sound, taken_out) = structure::sound_part(written, &structural, &schema);
        add_new(&mut faults, structural);
        let mut check = Check::new(&broken, sources.read_secret);
        let config =
            is_a_map.then_some(sound).and_then(|sound| Self::read(sound, &declared, sources.files, &mut check));
        let notices = std::mem::take(&mut check.notices);
        let semantic =
            check.faults.into_iter().map(|fault| fault.moved(|pointer| taken_out.original(pointer))).collect();
        add_new(&mut faults, semantic);
        match config {
            Some(config) if faults.is_empty() => {
                let of_variables = sources.file.is_none() && environment::is_enough(variables);
                Ok(Self { notices, seed_paths: of_variables && config.signs_in(), ..config })
            }
            _ => Err(ConfigErrors::locate(name, &tree, &faults)),
        }
    }

    fn signs_in(&self) -> bool {
        self.identity_providers.iter().any(|provider| provider.login.is_some())
    }

    fn read(
        written: Value,
        declared: &policy::Declarations,
        files: &dyn ReadFiles,
        check: &mut Check<'_>,
    ) -> Option<Self> {
        let Ok(file) = ConfigFile::deserialize(written) else {
            // The structure was checked; serde's own words could repeat a secret.
            check.fault(Fault::new("", "the config does not have the form that its schema describes"));
            return None;
        };
        let listen = Listen::read(&file.listen, check);
        let public_url = listen::read_public_url(&file, check);
        let base_path = listen::read_base_path(&file, check);
        let trusted_proxies = listen::read_trusted_proxies(&file, check);
        let limits = Limits::read(&file.limits, check);
        let identity_providers =
            identity_provider::read_all(&file.identity_providers, limits.max_token_lifetime, &base_path, check);
        check_login_has_a_place(&file, check);
        let error_template = sections::read_error_template(&file.errors, check);
        let identity_headers = identity_headers::read(&file.identity_headers, check);
        let assertion = identity_headers::read_assertion(&file, public_url.as_ref(), check);
        // Whoever signs in needs a session, also one that nobody configured.
        let signs_in = file.identity_providers.iter().any(|provider| provider.login.is_some());
        let sessions = file.sessions.clone().or_else(|| signs_in.then(SessionsFile::default));
        let sessions = sessions.map(|sessions| Sessions::read(&sessions, check));
        let ids: Vec<ProviderId> = identity_providers.iter().map(|provider| provider.id().clone()).collect();
        let directory = file.directory.as_ref().and_then(|directory| Directory::read(directory, &ids, check));
        if directory.is_none() && file.directory.is_none() && identity_headers.reads_directory() {
            check.notice(
                "`identity_headers.claims` reads `/directory/…`, and there is no `directory`: these headers stay empty",
            );
        }
        let portal = portal::read(&file, &base_path, files, check);
        let apps_dirs = apps::read_dirs(file.apps_dir.as_ref(), check);
        let routes = Routes::read(&file.routes, check);
        let policy_document = PolicyDocument { tiers: file.tiers, rules: file.rules };
        if policy_document.rules.is_empty() && file.apps.is_empty() && apps_dirs.is_empty() && check.is_sound("rules") {
            check.notice("there are no `rules` and no apps: every request is refused");
        }
        let policy = policy::read(&policy_document, declared, check);
        let admin = Admin::read(&file.admin, policy.as_ref(), check);
        let apps_defaults = file.apps_defaults;
        let has_scim = directory.as_ref().is_some_and(|directory| directory.scim.is_some());
        let own_paths = OwnPaths::new(&base_path, portal.path.as_deref(), &identity_providers, has_scim);
        let context = apps::Context { policy: policy.as_ref(), own: &own_paths, defaults: &apps_defaults };
        apps::check_defaults(&apps_defaults, check);
        let apps = apps::read_inline(&file.apps, &context, check);
        if let (Some(policy), Some(public_url)) = (&policy, &public_url) {
            login::say_what_is_covered(&identity_providers, policy, public_url, check);
        }
        Some(Self {
            listen,
            public_url,
            base_path,
            seed_paths: false,
            trusted_proxies,
            identity_providers,
            policy: policy?,
            policy_document,
            error_template,
            identity_headers,
            assertion,
            compat: Compat::read(&file.compat),
            limits,
            log: Log::read(&file.log),
            sessions,
            directory,
            admin,
            portal,
            apps_dirs,
            apps_defaults,
            own_paths,
            apps,
            routes,
            notices: Vec::new(),
        })
    }
}

fn nothing_given() -> ConfigErrors {
    let hint = "name a file with `-c FILE`, write `tiergate.yaml`, or set `AUTH0_DOMAIN` and `AUTH0_AUDIENCE`";
    ConfigErrors::single("environment", Place::Nowhere, "there is no config".to_owned(), Some(hint.to_owned()))
}

/// Adds to `faults` what does not merely follow from one of them.
fn add_new(faults: &mut Vec<Fault>, more: Vec<Fault>) {
    let fresh: Vec<Fault> = more.into_iter().filter(|fault| !faults.iter().any(|told| fault.touches(told))).collect();
    faults.extend(fresh);
}

fn check_login_has_a_place(file: &ConfigFile, check: &mut Check<'_>) {
    if file.public_url.is_some() || !check.is_sound("public_url") {
        return;
    }
    for (position, _) in file.identity_providers.iter().enumerate().filter(|(_, provider)| provider.login.is_some()) {
        let pointer = format!("/identity_providers/{position}/login");
        let fault = Fault::new(pointer, "`login` needs `public_url`, to which browsers come back").at_key();
        check.fault(fault.hint("add `public_url: https://…`"));
    }
}

#[cfg(test)]
mod tests;
