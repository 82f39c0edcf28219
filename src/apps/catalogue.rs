//! All apps at one moment, and the policy that goes with them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::app::{App, RouteTag};
use super::names::AppId;
use crate::policy::{Policy, RuleSet, Tie};
use crate::types::Host;

/// An app with its compiled rules.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The app.
    pub app: Arc<App>,
    /// Its rules, compiled for the policy that the catalogue is assembled with.
    pub rules: RuleSet,
}

/// All apps, in the order of the policy's tiers and then of their names. It is
/// replaced whole, together with its policy.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    apps: Box<[Arc<App>]>,
    /// Positions by where the apps are served: host (empty for every host), then path.
    places: HashMap<Box<str>, HashMap<Box<str>, usize>>,
    /// The apps as their rules were added to the policy.
    sets: Box<[AppId]>,
}

/// What came of putting entries together.
#[derive(Debug)]
pub struct Assembled {
    /// The apps without a conflict.
    pub catalogue: Catalogue,
    /// The policy with their rules.
    pub policy: Policy,
    /// The entries that were left out, by their positions.
    pub conflicts: Vec<(usize, Conflict)>,
}

/// Why an app cannot stand in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// An app of this tier has the name already.
    SameId(AppId),
    /// This app is served there already.
    SamePath(AppId),
    /// One of its rules covers what this app's rules cover.
    AppRule(Tie, AppId),
    /// One of its rules covers what a rule of the config covers.
    ConfigRule(Tie),
    /// Its rules were compiled for another policy.
    OtherPolicy,
}

/// What a name on the command line stands for.
#[derive(Debug)]
pub enum Found<'a> {
    /// This app.
    One(&'a Arc<App>),
    /// One of these, in more than one tier.
    Several(Vec<&'a Arc<App>>),
    /// No app.
    None,
}

impl Catalogue {
    /// Puts the policy of the config and the apps together. Where two apps are in
    /// each other's way, the first one in `entries` stays.
    #[must_use]
    pub fn assemble(policy: &Policy, entries: &[Arc<Entry>]) -> Assembled {
        let mut conflicts = Vec::new();
        let mut ids: HashMap<&AppId, usize> = HashMap::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        let mut kept: Vec<usize> = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            let app = &entry.app;
            let place = (app.host_text().unwrap_or_default(), app.path.prefix());
            let twin = ids.get(&app.id).map(|_| Conflict::SameId(app.id.clone()));
            let neighbour = || places.get(&place).and_then(|other| Some(entries.get(*other)?.app.id.clone()));
            match twin.or_else(|| neighbour().map(Conflict::SamePath)) {
                Some(conflict) => conflicts.push((position, conflict)),
                None => {
                    ids.insert(&app.id, position);
                    places.insert(place, position);
                    kept.push(position);
                }
            }
        }
        let sets = kept.iter().filter_map(|position| entries.get(*position)).map(|entry| &entry.rules);
        let (policy, outcomes) = policy.with(sets);
        let app_at = |kept_at: usize| Some(&entries.get(*kept.get(kept_at)?)?.app);
        let sets = (0..kept.len()).filter_map(app_at).map(|app| app.id.clone()).collect();
        let mut apps: Vec<Arc<App>> = Vec::with_capacity(kept.len());
        for (kept_at, (position, outcome)) in kept.iter().zip(outcomes).enumerate() {
            let conflict = match outcome {
                Ok(()) => {
                    apps.extend(app_at(kept_at).cloned());
                    continue;
                }
                Err(None) => Conflict::OtherPolicy,
                Err(Some(tie)) => match tie.other_set.and_then(app_at) {
                    Some(other) => Conflict::AppRule(tie, other.id.clone()),
                    None => Conflict::ConfigRule(tie),
                },
            };
            conflicts.push((*position, conflict));
        }
        conflicts.sort_by_key(|(position, _)| *position);
        let rank = |app: &App| policy.tiers().index(&app.id.tier);
        apps.sort_by(|left, right| (rank(left), &left.id).cmp(&(rank(right), &right.id)));
        Assembled { catalogue: Self { sets, ..Self::of(apps) }, policy, conflicts }
    }

    fn of(apps: Vec<Arc<App>>) -> Self {
        let mut places: HashMap<Box<str>, HashMap<Box<str>, usize>> = HashMap::new();
        for (position, app) in apps.iter().enumerate() {
            let host = Box::from(app.host_text().unwrap_or_default());
            places.entry(host).or_default().insert(Box::from(app.path.prefix()), position);
        }
        Self { apps: apps.into_boxed_slice(), places, sets: Box::default() }
    }

    /// The apps.
    #[must_use]
    pub fn apps(&self) -> &[Arc<App>] {
        &self.apps
    }

    /// The app that `name` means: `tier/name`, or a name that only one app has.
    #[must_use]
    pub fn find(&self, name: &str) -> Found<'_> {
        let is_meant = |app: &&Arc<App>| match name.split_once('/') {
            Some(_) => app.id.is_written(name),
            None => app.id.name.as_str() == name,
        };
        let found: Vec<&Arc<App>> = self.apps.iter().filter(is_meant).collect();
        match found.as_slice() {
            [] => Found::None,
            [app] => Found::One(app),
            [..] => Found::Several(found),
        }
    }

    /// The app whose rules are this set of the policy that goes with the catalogue.
    #[must_use]
    pub fn of_set(&self, set: usize) -> Option<&AppId> {
        self.sets.get(set)
    }

    /// The app with the id `<tier>/<name>`.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| app.id.is_written(id))
    }

    /// The app that a route leads to, among those at its upstream: the one of its
    /// name, else the only one.
    #[must_use]
    pub fn led_to(&self, tag: &RouteTag<'_>) -> Option<&Arc<App>> {
        let is_there = |app: &&Arc<App>| app.upstream.to_string() == tag.upstream && app.prefix.as_str() == tag.prefix;
        let named = self.apps.iter().filter(is_there).find(|app| app.id.is_written(tag.id));
        let mut there = self.apps.iter().filter(is_there);
        named.or_else(|| there.next().filter(|_| there.next().is_none()))
    }

    /// The app that serves a canonical path: on this host before on every host,
    /// the longest path first.
    #[must_use]
    pub fn serving(&self, host: Option<&Host>, path: &str) -> Option<&Arc<App>> {
        let hosts = host.into_iter().flat_map(|host| [host.as_str(), host.name()]).chain([""]);
        hosts.filter_map(|host| self.places.get(host)).find_map(|paths| {
            let whole = std::iter::once(path);
            let above = path.char_indices().rev().filter(|(_, c)| *c == '/').filter_map(|(at, _)| path.get(..at));
            whole.chain(above).find_map(|prefix| self.apps.get(*paths.get(prefix)?))
        })
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameId(id) => write!(f, "there is an app `{id}` already"),
            Self::SamePath(id) => write!(f, "the app `{id}` is served at this path already"),
            Self::AppRule(tie, id) => {
                write!(f, "the rule `{}` covers what the rule `{}` of the app `{id}` covers", tie.rule, tie.other)
            }
            Self::ConfigRule(tie) => {
                write!(f, "the rule `{}` covers what the rule `{}` of the config covers", tie.rule, tie.other)
            }
            Self::OtherPolicy => f.write_str("the rules of the app belong to another policy"),
        }
    }
}

impl Conflict {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::SameId(_) => "give one of them another `name` or another `tier`",
            Self::SamePath(_) => "give one of them another `path`",
            Self::AppRule(..) => "change the `path` of one of the two rules",
            Self::ConfigRule(_) => "remove the rule from the config: an app's rules stand in its own file",
            Self::OtherPolicy => "read the app again",
        }
    }
}
