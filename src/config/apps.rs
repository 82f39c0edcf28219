//! Apps as they are written, in the config or in files of their own, to valid
//! values with compiled rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::apps_file::{AppFile, AppsDefaultsFile, AppsDirFile, PrefixFile};
use super::check::Check;
use super::fault::{ConfigErrors, Fault, quoted};
use super::node::{Node, push};
use super::own_paths::OwnPaths;
use super::{Config, interpolate, schema, structure, yaml};
use crate::apps::{App, AppId, AppName, AppPath, Assembled, Catalogue, Entry, Icon, Prefix, Upstream};
use crate::policy::{Policy, nearest};
use crate::types::Host;

/// Where an app's text was found, which says what the text leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppPlace<'a> {
    /// A file in a directory of apps; its name without the extension.
    File {
        /// The name that the app has when its text says none.
        stem: &'a str,
    },
    /// A folder `<tier>/<name>/`.
    Folder {
        /// The tier.
        tier: &'a str,
        /// The name.
        name: &'a str,
    },
}

/// The text of one app.
#[derive(Debug, Clone, Copy)]
pub struct AppText<'a> {
    /// Its name for messages.
    pub file: &'a str,
    /// What is written; nothing in a folder without a file.
    pub text: &'a str,
    /// Where it was found.
    pub place: AppPlace<'a>,
}

/// What an app is read against.
pub(crate) struct Context<'a> {
    /// `None` when the policy itself is faulty, so that rules cannot be judged.
    pub(crate) policy: Option<&'a Policy>,
    pub(crate) own: &'a OwnPaths,
    pub(crate) defaults: &'a AppsDefaultsFile,
}

impl Config {
    /// Reads an app that stands in a file of its own. Of `variables`, those that the
    /// config was read with, it sees the ones that are meant for apps: whoever may
    /// write an app's file need not know the secrets of the service.
    ///
    /// # Errors
    /// Every fault with its place.
    pub fn read_app(&self, text: &AppText<'_>, variables: &BTreeMap<String, String>) -> Result<Entry, ConfigErrors> {
        let mut faults = Vec::new();
        let mut tree = yaml::parse(text.text, &mut faults)
            .map_err(|error| ConfigErrors::single(text.file, error.place, error.message, error.hint))?;
        let for_apps: BTreeMap<String, String> = variables
            .iter()
            .filter(|(name, _)| name.starts_with(VARIABLES))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut slips = Vec::new();
        interpolate::interpolate(&mut tree, &for_apps, &mut slips);
        faults.extend(slips.into_iter().map(|slip| {
            let hidden = variables.keys().any(|name| slip.message().contains(&format!("`{name}`")));
            let message = format!("the file of an app sees only variables whose names begin with `{VARIABLES}`");
            if hidden {
                Fault::new(slip.pointer(), message).hint("write the value itself, or rename the variable")
            } else {
                slip
            }
        }));
        let context = Context { policy: Some(&self.policy), own: &self.own_paths, defaults: &self.apps_defaults };
        match read_tree(&tree, text, &context, &mut faults) {
            Some(entry) if faults.is_empty() => Ok(entry),
            _ => Err(ConfigErrors::locate(text.file, &tree, &faults)),
        }
    }

    /// Whether a folder can be an app without a file that says anything.
    #[must_use]
    pub fn has_default_upstream(&self) -> bool {
        self.apps_defaults.upstream.is_some()
    }

    /// The catalogue and the policy of the config's own apps and `entries`.
    #[must_use]
    pub fn assemble(&self, entries: &[Arc<Entry>]) -> Assembled {
        let all: Vec<Arc<Entry>> = self.apps.iter().chain(entries).cloned().collect();
        let mut assembled = Catalogue::assemble(&self.policy, &all);
        for (position, _) in &mut assembled.conflicts {
            // The config's own apps were assembled when it was read: none of them is in the way of another.
            *position = position.saturating_sub(self.apps.len());
        }
        assembled
    }
}

fn read_tree(tree: &Node, text: &AppText<'_>, context: &Context<'_>, faults: &mut Vec<Fault>) -> Option<Entry> {
    let mut written = tree.to_json();
    if text.text.is_empty() {
        written = serde_json::json!({});
    }
    let is_key =
        |key: &String| key.len() <= 32 && key.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-".contains(&byte));
    if written.as_object().is_some_and(|map| !map.keys().all(is_key)) {
        // A link may lead to a file of another kind, whose lines are nobody's business.
        faults.push(
            Fault::new("", "this is no file of an app: it has keys that no app has")
                .hint("`tiergate config schema` names an app's keys"),
        );
        return None;
    }
    if !written.is_object() {
        faults.push(Fault::new("", "an app is a map of keys").hint("it starts with keys such as `tier:`"));
        return None;
    }
    let file = match AppFile::deserialize(&written) {
        Ok(file) => file,
        Err(_) => {
            // The words of the schema's check are those of the config.
            faults.extend(structure::check(&written, &schema::app_structure()));
            if faults.is_empty() {
                faults.push(Fault::new("", "the app does not have the form that the schema describes"));
            }
            return None;
        }
    };
    let broken = BTreeSet::new();
    let nothing = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::Unsupported));
    let mut check = Check::new(&broken, &nothing);
    let found = Found { file: text.file, place: Some(text.place) };
    let entry = Reading { context, check: &mut check, at: "" }.entry(&file, found);
    super::add_new(faults, check.faults);
    entry
}

/// The directories that `apps_dir` names.
pub(crate) fn read_dirs(written: Option<&AppsDirFile>, check: &mut Check<'_>) -> Vec<PathBuf> {
    match written {
        None => Vec::new(),
        Some(AppsDirFile::One(path)) => vec![check.path("/apps_dir", path)],
        Some(AppsDirFile::Several(paths)) => {
            let mut read: Vec<PathBuf> = Vec::new();
            for (position, path) in check.list("/apps_dir", Some(paths), &[]).into_iter().map(PathBuf::from).enumerate()
            {
                // `apps` and `apps/` are one directory.
                if read.contains(&path) {
                    let written = path.to_string_lossy();
                    let fault = Fault::new(
                        format!("/apps_dir/{position}"),
                        format!("{} stands twice in the list", quoted(&written)),
                    );
                    check.fault(fault.hint("remove one"));
                }
                read.push(path);
            }
            read
        }
    }
}

/// Judges the defaults as an app with any name would have them.
pub(crate) fn check_defaults(defaults: &AppsDefaultsFile, check: &mut Check<'_>) {
    let context = Context { policy: None, own: &OwnPaths::default(), defaults };
    let mut reading = Reading { context: &context, check, at: "/apps_defaults" };
    let (tier, name) = ("tier", AppName::parse("name").ok());
    let Some(name) = name else { return };
    if let Some(upstream) = &defaults.upstream {
        reading.upstream(upstream, tier, &name);
    }
    reading.text("owner", defaults.owner.as_deref(), MAX_OWNER);
    reading.health(defaults.health.as_deref());
}

/// The apps in the config itself, when none of them has a fault.
pub(crate) fn read_inline(written: &[AppFile], context: &Context<'_>, check: &mut Check<'_>) -> Vec<Arc<Entry>> {
    let mut entries = Vec::new();
    for (position, app) in written.iter().enumerate() {
        let at = push("/apps", &position.to_string());
        let found = Found { file: &format!("apps[{position}]"), place: None };
        let entry = Reading { context, check: &mut *check, at: &at }.entry(app, found);
        entries.extend(entry.map(|entry| (position, Arc::new(entry))));
    }
    let Some(policy) = context.policy else { return Vec::new() };
    let only: Vec<Arc<Entry>> = entries.iter().map(|(_, entry)| Arc::clone(entry)).collect();
    for (index, conflict) in Catalogue::assemble(policy, &only).conflicts {
        let position = entries.get(index).map_or(0, |(position, _)| *position);
        let fault = Fault::new(push("/apps", &position.to_string()), conflict.to_string());
        check.fault(fault.hint(conflict.hint()));
    }
    only
}

/// Where an app was found.
#[derive(Clone, Copy)]
struct Found<'a> {
    file: &'a str,
    place: Option<AppPlace<'a>>,
}

/// How the names of the variables begin that the files of apps see.
const VARIABLES: &str = "APP_";
const MAX_TITLE: usize = 120;
const MAX_DESCRIPTION: usize = 1000;
const MAX_OWNER: usize = 200;
const MAX_VERSION: usize = 60;
const MAX_ICON: usize = 16;
const MAX_HEALTH: usize = 512;

/// One app being read; its faults are noted below `at`.
pub(super) struct Reading<'r, 'c> {
    pub(super) context: &'r Context<'r>,
    pub(super) check: &'r mut Check<'c>,
    pub(super) at: &'r str,
}

impl Reading<'_, '_> {
    fn entry(&mut self, file: &AppFile, found: Found<'_>) -> Option<Entry> {
        let before = self.check.faults.len();
        let id = self.id(file, found.place);
        let named = id.as_ref().map(|id| (id.tier.as_ref(), &id.name));
        let upstream = file.upstream.as_ref().or(self.context.defaults.upstream.as_ref());
        if upstream.is_none() {
            self.fault("upstream", "the app has no `upstream`", "write `upstream: http://host:port`");
        }
        let upstream = named.zip(upstream).and_then(|((tier, name), text)| self.upstream(text, tier, name));
        let path = named.and_then(|(tier, name)| self.path(file.path.as_deref(), tier, name));
        let host = file.host.as_deref().and_then(|host| self.host(host));
        let defaults = self.context.defaults;
        let title = self.text("title", file.title.as_deref(), MAX_TITLE);
        let description = self.text("description", file.description.as_deref(), MAX_DESCRIPTION);
        let owner = self.text("owner", file.owner.as_deref().or(defaults.owner.as_deref()), MAX_OWNER);
        let version = self.text("version", file.version.as_deref(), MAX_VERSION);
        let health = self.health(file.health.as_deref().or(defaults.health.as_deref()));
        let icon = file.icon.as_deref().and_then(|icon| self.icon(icon));
        let (id, path, upstream) = (id?, path?, upstream?);
        let rules = self.rules(file, &id, &path);
        if self.check.faults.len() > before {
            return None;
        }
        let compiled = self.compile(&rules)?;
        let app = App {
            id,
            host,
            path,
            upstream,
            prefix: match file.prefix {
                None | Some(PrefixFile::Strip) => Prefix::Strip,
                Some(PrefixFile::Keep) => Prefix::Keep,
            },
            title,
            description,
            icon,
            owner,
            version,
            hidden: file.hidden.unwrap_or(false),
            health,
            source: found.file.to_owned(),
            implied_rule: rules.implied,
            rules: rules.written,
        };
        Some(Entry { app: Arc::new(app), rules: compiled })
    }

    fn fault(&mut self, key: &str, message: impl Display, hint: impl Into<String>) {
        let pointer = if key.is_empty() { self.at.to_owned() } else { push(self.at, key) };
        self.check.fault(Fault::new(pointer, message.to_string()).hint(hint));
    }

    /// Tier and name, each from the text or from the place; both, when both say it.
    fn id(&mut self, file: &AppFile, place: Option<AppPlace<'_>>) -> Option<AppId> {
        let (place_tier, place_name) = match place {
            None => (None, None),
            Some(AppPlace::File { stem }) => (None, Some(stem)),
            Some(AppPlace::Folder { tier, name }) => (Some(tier), Some(name)),
        };
        if let Some(AppPlace::Folder { tier, name }) = place {
            for (key, written, place) in [("tier", &file.tier, tier), ("name", &file.name, name)] {
                if written.as_ref().is_some_and(|written| written != place) {
                    self.fault(
                        key,
                        format!("the {key} is not that of the folder, {}", quoted(place)),
                        format!("remove `{key}`, or move the folder"),
                    );
                    return None;
                }
            }
        }
        let name = file.name.as_deref().or(place_name);
        let tier = file.tier.as_deref().or(place_tier);
        for (key, there) in [("name", name), ("tier", tier)] {
            if there.is_none() {
                self.fault(key, format!("the app has no `{key}`"), format!("write `{key}: …`"));
            }
        }
        let name = name.and_then(|name| {
            let read = AppName::parse(name);
            let hint = "use `title` for what people read";
            read.map_err(|error| self.fault("name", error, hint)).ok()
        });
        let tier = tier.filter(|tier| self.is_tier(tier));
        Some(AppId { tier: Box::from(tier?), name: name? })
    }

    fn is_tier(&mut self, tier: &str) -> bool {
        let Some(policy) = self.context.policy else { return true };
        if policy.tiers().index(tier).is_some() {
            return true;
        }
        let names = policy.tiers().iter().map(|tier| policy.tiers().name(tier));
        let hint = match nearest(tier, names) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => "declare it under `tiers` of the config".to_owned(),
        };
        self.fault("tier", format!("there is no tier {}", quoted(tier)), hint);
        false
    }

    fn upstream(&mut self, text: &str, tier: &str, name: &AppName) -> Option<Upstream> {
        let text = text.replace("{name}", name.as_str()).replace("{tier}", tier);
        let read = Upstream::parse(&text);
        read.map_err(|error| self.fault("upstream", error, "such as `http://127.0.0.1:3000`")).ok()
    }

    fn path(&mut self, text: Option<&str>, tier: &str, name: &AppName) -> Option<AppPath> {
        let text = text.unwrap_or("/apps/{tier}/{name}").replace("{name}", name.as_str()).replace("{tier}", tier);
        let path =
            AppPath::parse(&text).map_err(|error| self.fault("path", error, "such as `/apps/{tier}/{name}`")).ok()?;
        if let Some(key) = self.context.own.key_at(&path) {
            let message = match key {
                "base_path" => format!("`{path}` lies under `base_path`, where the service's own pages are"),
                _ => format!("`{path}` is a path of the service itself, by `{key}`"),
            };
            self.fault("path", message, "serve the app at another path");
            return None;
        }
        Some(path)
    }

    fn host(&mut self, text: &str) -> Option<Host> {
        let read = Host::parse(text.as_bytes());
        let message = || format!("{} is no host that a request could name", quoted(text));
        read.map_err(|_| self.fault("host", message(), "such as `hazard.example.com`, without `*`")).ok()
    }

    fn text(&mut self, key: &str, text: Option<&str>, longest: usize) -> Option<String> {
        let text = self.check.text(&push(self.at, key), text?);
        let length = text.chars().count();
        if length > longest {
            self.fault(key, format!("the {key} is {length} characters long"), format!("at most {longest}"));
        }
        Some(text)
    }

    fn icon(&mut self, text: &str) -> Option<Icon> {
        const HINT: &str = "an emoji, or a path below the app's own such as `/static/icon.svg`";
        if text.starts_with('/') {
            let read = AppPath::parse(text);
            return read.map(|_| Icon::Path(text.to_owned())).map_err(|error| self.fault("icon", error, HINT)).ok();
        }
        let text = self.text("icon", Some(text), MAX_ICON)?;
        Some(Icon::Text(text))
    }

    fn health(&mut self, text: Option<&str>) -> Option<String> {
        let text = text?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/?&=%+:@,".contains(&byte);
        if !text.starts_with('/') || text.starts_with("//") || text.len() > MAX_HEALTH || !text.bytes().all(plain) {
            let message = format!("{} is no path at the upstream", quoted(text));
            self.fault("health", message, "such as `/healthz`");
            return None;
        }
        Some(text.to_owned())
    }
}

#[cfg(test)]
#[path = "apps_tests.rs"]
mod tests;
