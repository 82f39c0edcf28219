//! What the service decides by, and what it decided.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::views::Timestamp;
use super::{AdminDesk, DeskError};
use crate::apps::{App, Health};
use crate::check::{CallerNames, Explanation, Question};
use crate::directory::UserId;
use crate::http::admin::recent::DecisionLine;
use crate::policy::RuleOrigin;
use crate::types::{ProviderId, Reason, UnixTime};

/// The apps, in the order of tiers and names.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AppList {
    /// The apps.
    pub apps: Vec<AppView>,
}

/// An app.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AppView {
    /// `<tier>/<name>`.
    pub id: String,
    /// Its tier.
    pub tier: String,
    /// Its name.
    pub name: String,
    /// What people read.
    pub title: String,
    /// One or two sentences about it.
    pub description: Option<String>,
    /// Whom to ask about it.
    pub owner: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The host it is served on; null for every host.
    pub host: Option<String>,
    /// The path it is served below.
    pub path: String,
    /// Where the proxy finds it.
    pub upstream: String,
    /// Whether the portal leaves it out.
    pub hidden: bool,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
    /// Where it was written: a file name, or the config's key.
    pub source: String,
}

/// The tiers in written order.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TierList {
    /// The tiers.
    pub tiers: Vec<TierView>,
}

/// A tier.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TierView {
    /// Its name.
    pub name: String,
    /// What people read.
    pub label: String,
    /// What gives it by itself, in words; null where only a wider tier or a grant does.
    pub grant: Option<String>,
    /// The other tiers that it contains, however deep.
    pub includes: Vec<String>,
    /// Whether it is the one of administrators.
    pub admin: bool,
    /// Whether anybody holds it, signed in or not.
    pub anyone: bool,
}

/// The live policy.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PolicyView {
    /// Its fingerprint, the same for the same policy.
    pub hash: String,
    /// The rules as they were compiled: those of the config, then those of each app.
    pub rules: Vec<RuleView>,
}

/// A rule.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RuleView {
    /// Its name: methods, host, path.
    pub name: String,
    /// The methods that it covers; all where the list is empty.
    pub methods: Vec<String>,
    /// The tier that it always asks for.
    pub tier: Option<String>,
    /// Everything that it asks for, in words.
    pub requires: String,
    /// Where it comes from: `config`, or `app <tier>/<name>`.
    pub source: String,
    /// Whether it is the rule of an app's whole place, which holds beside others.
    pub implied: bool,
}

/// Who asks in a question.
#[derive(Debug, Clone)]
pub enum ExplainCaller {
    /// Nobody.
    Anonymous,
    /// A user of the directory, whose tokens say what they said last.
    User(UserId),
    /// Somebody who holds just this.
    Names(CallerNames),
}

/// Which decisions; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct DecisionSearch {
    /// Those that allowed, or those that did not.
    pub allowed: Option<bool>,
    /// Those with this reason.
    pub reason: Option<String>,
    /// Those about this tier.
    pub tier: Option<String>,
    /// Those about this subject.
    pub subject: Option<String>,
    /// Those at paths that begin so.
    pub path: Option<String>,
    /// Those on this host.
    pub host: Option<String>,
    /// Those since this moment.
    pub since: Option<UnixTime>,
    /// How many at most.
    pub limit: usize,
}

/// The last decisions of one process, the latest first.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DecisionList {
    /// The process; another replica knows its own decisions only.
    pub instance: String,
    /// How many it keeps at most.
    pub kept: usize,
    /// The decisions.
    pub decisions: Vec<DecisionLine>,
    /// Whether more of those that are kept fit.
    pub more: bool,
}

/// The providers in the order of the config.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ProviderList {
    /// The process whose keys these are.
    pub instance: String,
    /// The providers.
    pub providers: Vec<ProviderView>,
}

/// A provider, and how its keys are.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ProviderView {
    /// Its id.
    pub id: String,
    /// Its issuer.
    pub issuer: String,
    /// Whether browsers can sign in there.
    pub login: bool,
    /// Whether there are keys that count.
    pub ready: bool,
    /// How many usable keys there are.
    pub keys: usize,
    /// How old they are, in seconds.
    pub keys_age_seconds: Option<u64>,
    /// How the last refresh ended: `ok`, or what went wrong.
    pub last_refresh: Option<&'static str>,
    /// When it ended.
    pub last_refresh_at: Option<Timestamp>,
}

impl AdminDesk {
    /// The most decisions in one list.
    pub const MAX_DECISIONS: usize = 1000;

    /// The apps of the catalogue, those that are hidden too.
    #[must_use]
    pub fn apps(&self) -> AppList {
        let snapshot = self.ports.checker.snapshot();
        let health = |app: &App| self.ports.health.as_ref().map_or(Health::Unknown, |health| health.of(app));
        let view = |app: &Arc<App>| AppView {
            id: app.id.to_string(),
            tier: app.id.tier.to_string(),
            name: app.id.name.to_string(),
            title: app.shown_title().to_owned(),
            description: app.description.clone(),
            owner: app.owner.clone(),
            version: app.version.clone(),
            host: app.host_text().map(str::to_owned),
            path: app.path.to_string(),
            upstream: app.upstream.to_string(),
            hidden: app.hidden,
            health: health(app).as_str(),
            source: app.source.clone(),
        };
        AppList { apps: snapshot.catalogue.apps().iter().map(view).collect() }
    }

    /// The tiers of the live policy.
    #[must_use]
    pub fn tiers(&self) -> TierList {
        let snapshot = self.ports.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let anybody = tiers.held_by(None);
        let view = |tier| TierView {
            name: tiers.name(tier).to_owned(),
            label: tiers.label(tier).to_owned(),
            grant: tiers.granted_to(tier),
            includes: tiers
                .contained(tier)
                .iter()
                .filter(|other| *other != tier)
                .map(|other| tiers.name(other).to_owned())
                .collect(),
            admin: tiers.name(tier) == self.ports.tier,
            anyone: anybody.contains(tier),
        };
        TierList { tiers: tiers.iter().map(view).collect() }
    }

    /// The live policy.
    #[must_use]
    pub fn policy(&self) -> PolicyView {
        let snapshot = self.ports.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let rules = snapshot.policy.rules_with_origin().map(|(rule, origin)| {
            let (source, implied) = match origin {
                RuleOrigin::Written => ("config".to_owned(), false),
                RuleOrigin::Set { set, is_implied } => {
                    let app = snapshot.catalogue.of_set(set);
                    (app.map_or_else(|| "app".to_owned(), |id| format!("app {id}")), is_implied)
                }
            };
            RuleView {
                name: rule.name().to_owned(),
                methods: rule.methods().map(str::to_owned).collect(),
                tier: rule.fixed_tier().map(|tier| tiers.name(tier).to_owned()),
                requires: rule.requirement(tiers).to_string(),
                source,
                implied,
            }
        });
        PolicyView { hash: snapshot.policy.fingerprint().to_owned(), rules: rules.collect() }
    }

    /// What would be decided about a request, and why.
    ///
    /// # Errors
    /// When it cannot be asked, or the directory cannot say who the user is.
    pub async fn explain(&self, method: &str, url: &str, caller: ExplainCaller) -> Result<Explanation, DeskError> {
        let question = Question::new(method, url)?;
        let checker = &self.ports.checker;
        match caller {
            ExplainCaller::Anonymous => Ok(checker.explain(question, None)),
            ExplainCaller::Names(names) => {
                let known = self.ports.providers.iter().map(|known| (known.id.clone(), Arc::clone(&known.issuer)));
                let providers: Vec<(ProviderId, Arc<str>)> = known.collect();
                Ok(checker.explain(question, Some(&names.principal(&providers)?)))
            }
            ExplainCaller::User(id) => {
                let user = self.live_user(id).await?;
                let explanation = checker.explain(question, Some(&self.principal_of(&user)));
                if !user.is_disabled() {
                    return Ok(explanation);
                }
                // What is open to nobody stays shut to somebody who is refused.
                let as_nobody = checker.explain(question, None);
                let Explanation { decision, mut reason, mut cause, .. } = as_nobody;
                if reason == Reason::NoCredentials.as_str() {
                    (reason, cause) = (Reason::DisabledUser.as_str(), None);
                }
                Ok(Explanation { decision, reason, cause, ..explanation })
            }
        }
    }

    /// The last decisions of this process.
    #[must_use]
    pub fn decisions(&self, search: &DecisionSearch) -> DecisionList {
        let DecisionSearch { allowed, reason, tier, subject, path, host, since, limit } = search;
        let since = since.map(|since| since.to_string());
        let is = |wanted: &Option<String>, held: Option<&str>| wanted.is_none() || wanted.as_deref() == held;
        let fits = |line: &DecisionLine| {
            allowed.is_none_or(|allowed| allowed == (line.decision == "allow"))
                && is(reason, Some(&line.reason))
                && is(tier, line.tier.as_deref())
                && is(subject, line.subject.as_deref())
                && is(host, Some(&line.host))
                && path.as_ref().is_none_or(|path| line.path.starts_with(path.as_str()))
                // Both are written by one function, in UTC: they sort as they stand.
                && since.as_ref().is_none_or(|since| line.ts >= *since)
        };
        let recent = &self.ports.decisions;
        let (decisions, more) = recent.find((*limit).clamp(1, Self::MAX_DECISIONS), fits);
        DecisionList { instance: self.ports.instance.clone(), kept: recent.most(), decisions, more }
    }

    /// The providers, and how their keys are.
    #[must_use]
    pub fn providers(&self) -> ProviderList {
        let view = |known: &super::KnownProvider| {
            let state = self.ports.keys.of(&known.id);
            ProviderView {
                id: known.id.as_str().to_owned(),
                issuer: known.issuer.to_string(),
                login: known.login,
                ready: state.ready,
                keys: state.count,
                keys_age_seconds: state.age_seconds,
                last_refresh: state.last_refresh.map(|(result, _)| result),
                last_refresh_at: state.last_refresh.map(|(_, at)| Timestamp(at)),
            }
        };
        ProviderList {
            instance: self.ports.instance.clone(),
            providers: self.ports.providers.iter().map(view).collect(),
        }
    }
}
