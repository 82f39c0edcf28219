//! What would be decided about a request that nobody sent: for `policy explain`,
//! `policy test`, and administrators. One function answers all of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checker::{Checker, Snapshot};
use crate::policy::Required;
use crate::types::{CanonicalPath, Email, Host, NameSet, Principal, Protocol, ProviderId, RequestView, TierSource};

/// The request in question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    method: &'a str,
    host: Option<&'a str>,
    target: &'a str,
}

/// Why a question cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Neither a path nor an absolute URL.
    #[error("the URL must be absolute or start with `/`")]
    NotAbsolute,
    /// Another scheme.
    #[error("the URL must start with `http://`, `https://` or `/`")]
    Scheme,
    /// The caller is of a provider that nobody configured.
    #[error("there is no identity provider `{0}`")]
    UnknownProvider(String),
}

impl<'a> Question<'a> {
    /// Asks about a URL, or about a path on no host in particular. Neither is
    /// normalised: what is wrong with it is part of the answer.
    ///
    /// # Errors
    /// When it is neither.
    pub fn new(method: &'a str, url: &'a str) -> Result<Self, QuestionError> {
        let (host, target) = split(url)?;
        Ok(Self { method, host, target })
    }

    /// Whether the URL names a host.
    #[must_use]
    pub const fn has_host(&self) -> bool {
        self.host.is_some()
    }
}

/// What is decided, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// The method, cut to 32 bytes.
    pub method: String,
    /// The canonical host.
    pub host: Option<String>,
    /// The canonical path; of a refused target the raw one.
    pub path: String,
    /// The rule that matched.
    pub rule: Option<String>,
    /// The tier that it asks for.
    pub tier: Option<String>,
    /// What the rule asks for.
    pub requires: Option<Requires>,
    /// What the caller has; nobody where it is null.
    pub caller: Option<CallerHas>,
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The reason, one of a closed set.
    pub reason: &'static str,
    /// The exact cause behind the reason.
    pub cause: Option<&'static str>,
}

/// What a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Requires {
    /// Tiers to hold.
    pub tiers: Vec<String>,
    /// Scopes to hold.
    pub scopes: Vec<String>,
    /// Permissions to hold.
    pub permissions: Vec<String>,
    /// Everything the rule asks for, in words.
    pub all: String,
}

/// What a caller has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CallerHas {
    /// The `sub`.
    pub subject: String,
    /// The id of the provider.
    pub provider: String,
    /// The tiers that they hold.
    pub tiers: Vec<String>,
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// The granted permissions.
    pub permissions: Vec<String>,
    /// Their groups.
    pub groups: Vec<String>,
}

impl Checker {
    /// What is decided about the request of `caller`, by the policy that is live.
    #[must_use]
    pub fn explain(&self, question: Question<'_>, caller: Option<&Principal>) -> Explanation {
        let Question { host, target, .. } = question;
        let request = RequestView {
            protocol: Protocol::Grpc,
            method: question.method,
            target: target.as_bytes(),
            host: host.map(str::as_bytes),
            headers: &[],
            route_tier: None,
            route_app: None,
            request_id: None,
        };
        let snapshot = self.snapshot();
        let record = self.what_if_under(&snapshot, &request, caller);
        let tiers = snapshot.policy.tiers();
        let names = |set: &NameSet| set.iter().map(str::to_owned).collect::<Vec<_>>();
        let caller = caller.map(|caller| CallerHas {
            subject: caller.subject.to_string(),
            provider: caller.provider.as_str().to_owned(),
            tiers: tiers.held_by(Some(caller)).iter().map(|tier| tiers.name(tier).to_owned()).collect(),
            scopes: names(&caller.scopes),
            permissions: names(&caller.permissions),
            groups: names(&caller.groups),
        });
        let rule = record.rule().map(str::to_owned);
        let tier = record.tier().map(str::to_owned);
        Explanation {
            method: record.method.into_owned(),
            host: (!record.host.is_empty()).then_some(record.host),
            // Of a target without a path, the record has nothing to show.
            path: if record.path.is_empty() { target.to_owned() } else { record.path },
            rule,
            tier,
            requires: requires(&snapshot, question),
            caller,
            decision: if record.allowed { "allow" } else { "deny" },
            reason: record.reason.as_str(),
            cause: record.cause,
        }
    }
}

/// What the rule asks for, to be shown; it decides nothing.
fn requires(snapshot: &Snapshot, Question { method, host, target }: Question<'_>) -> Option<Requires> {
    let host = host.and_then(|host| Host::parse(host.as_bytes()).ok());
    let path = CanonicalPath::parse(target.as_bytes()).ok()?;
    let matched = snapshot.policy.find(host.as_ref(), &path, method)?;
    let Required { tiers, scopes, permissions, .. } = matched.required(snapshot.policy.tiers(), None);
    let all = matched.requirement(snapshot.policy.tiers()).to_string();
    Some(Requires { tiers, scopes, permissions, all })
}

/// Who asks; what is not said is not held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallerNames {
    /// The `sub` at the provider.
    pub subject: Option<String>,
    /// The id of a configured provider; the first one when absent.
    pub provider: Option<String>,
    /// A verified e-mail address.
    pub email: Option<String>,
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// The granted permissions.
    pub permissions: Vec<String>,
    /// The groups.
    pub groups: Vec<String>,
}

impl CallerNames {
    /// The caller as the checker would know them. `providers` are the configured
    /// ones with their issuers, in written order.
    ///
    /// # Errors
    /// When the provider is none of them.
    pub fn principal(&self, providers: &[(ProviderId, Arc<str>)]) -> Result<Principal, QuestionError> {
        let provider = match &self.provider {
            None => providers.first(),
            Some(id) => {
                let named = providers.iter().find(|(provider, _)| provider.as_str() == id);
                Some(named.ok_or_else(|| QuestionError::UnknownProvider(id.clone()))?)
            }
        };
        let set = |names: &[String]| names.iter().map(String::as_str).collect::<NameSet>();
        Ok(Principal {
            provider: provider.map_or_else(|| ProviderId::new("none"), |(id, _)| id.clone()),
            issuer: provider.map_or_else(|| Arc::from(""), |(_, issuer)| Arc::clone(issuer)),
            subject: Box::from(self.subject.as_deref().unwrap_or("somebody")),
            email: self.email.as_deref().map(|address| Email::new(address, true)),
            name: None,
            scopes: set(&self.scopes),
            permissions: set(&self.permissions),
            groups: set(&self.groups),
            claims: Arc::default(),
            tiers: TierSource::default(),
            attributes: Arc::default(),
        })
    }
}

/// Host and target of an absolute URL or a path, not normalised.
fn split(url: &str) -> Result<(Option<&str>, &str), QuestionError> {
    if url.starts_with('/') {
        return Ok((None, url));
    }
    let (scheme, rest) = url.split_once("://").ok_or(QuestionError::NotAbsolute)?;
    if !matches!(scheme, "http" | "https") {
        return Err(QuestionError::Scheme);
    }
    Ok(match rest.find(['/', '?', '#']) {
        Some(end) => (rest.get(..end), rest.get(end..).unwrap_or_default()),
        None => (Some(rest), "/"),
    })
}
