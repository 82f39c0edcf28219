//! SCIM 2.0 over HTTP (RFC 7644): who provisions users and groups of one
//! provider. Everything is refused to whoever shows no token, before anything
//! else is looked at.

mod answer;
mod groups;
mod guard;
mod request;
mod users;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use answer::Answer;
use guard::Guard;

use super::pages::{Area, Visit};
use crate::check::Page;
use crate::directory::{Actor, Directory};
use crate::scim::schema::{GROUPS, USERS};
use crate::scim::{
    Parameters, ScimError, SubjectRule, list_response, resource_type_named, resource_types, schema_named, schemas,
    service_provider_config,
};
use crate::types::{Clock, ProviderId, Random, Secret};

/// Where SCIM is, below the root and below `base_path`.
pub const SCIM_PATH: &str = "/scim/v2";
/// The largest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often something is tried that others change at the same time.
const TRIES: usize = 16;
/// How many resources are looked through for a filter that the directory cannot answer.
const MOST_SCANNED: u64 = 10_000;
/// How many are looked through at a time.
const SCANNED_AT_ONCE: usize = 500;

/// Who provisions, and what.
#[derive(Debug, Clone)]
pub struct ScimSettings {
    /// The provider whose users are managed.
    pub provider: ProviderId,
    /// The tokens of which one has to be shown.
    pub tokens: Vec<Secret>,
    /// Which attribute is the `sub` of the provider's tokens.
    pub subject: SubjectRule,
}

/// What SCIM needs of the world.
#[derive(Clone)]
pub struct ScimPorts {
    /// The users and groups.
    pub directory: Arc<Directory>,
    /// Says as of when a client speaks.
    pub clock: Arc<dyn Clock>,
    /// For ids of groups.
    pub random: Arc<dyn Random>,
}

/// SCIM below one path.
pub struct ScimArea {
    provider: ProviderId,
    subject: SubjectRule,
    guard: Guard,
    ports: ScimPorts,
    /// The URL below which the endpoints are.
    base: String,
}

impl ScimArea {
    /// The area whose endpoints are below the URL `base`, which has no trailing `/`.
    #[must_use]
    pub fn new(settings: &ScimSettings, ports: ScimPorts, base: String) -> Self {
        let ScimSettings { provider, tokens, subject } = settings;
        Self { provider: provider.clone(), subject: *subject, guard: Guard::new(tokens), ports, base }
    }

    fn actor(&self) -> Actor {
        Actor::Scim(self.provider.clone())
    }

    async fn respond(&self, visit: &Visit<'_>, below: &str) -> Result<Answer, ScimError> {
        if !self.guard.lets_in(visit) {
            return Err(ScimError::status(401, "a bearer token of the configuration has to be shown"));
        }
        let path = below.trim_start_matches('/');
        let (kind, name) = path.strip_suffix('/').unwrap_or(path).split_once('/').unwrap_or((path, ""));
        let kind = kind.trim_end_matches('/');
        let method = match visit.method() {
            "HEAD" => "GET",
            other => other,
        };
        match (kind, name) {
            ("Users", "") if method == "GET" => self.users(&request::parameters(visit)?).await,
            ("Users", "") if method == "POST" => self.create_user(visit).await,
            ("Users", "") => Err(Self::wrong_method()),
            ("Users", ".search") if method == "POST" => {
                self.users(&Parameters::of_search(request::body(visit)?)?).await
            }
            ("Groups", "") if method == "GET" => self.groups(&request::parameters(visit)?).await,
            ("Groups", "") if method == "POST" => self.create_group(visit).await,
            ("Groups", "") => Err(Self::wrong_method()),
            ("Groups", ".search") if method == "POST" => {
                self.groups(&Parameters::of_search(request::body(visit)?)?).await
            }
            ("Users" | "Groups" | "", ".search") | (".search", "") if method != "POST" => Err(Self::wrong_method()),
            ("", "") if method == "GET" => self.everything(&request::parameters(visit)?).await,
            (".search", "") => self.everything(&Parameters::of_search(request::body(visit)?)?).await,
            ("Users", id) => match method {
                "GET" => self.user(visit, id).await,
                "PUT" => self.replace_user(visit, id).await,
                "PATCH" => self.patch_user(visit, id).await,
                "DELETE" => self.delete_user(visit, id).await,
                _ => Err(Self::wrong_method()),
            },
            ("Groups", id) => match method {
                "GET" => self.group(visit, id).await,
                "PUT" => self.replace_group(visit, id).await,
                "PATCH" => self.patch_group(visit, id).await,
                "DELETE" => self.delete_group(visit, id).await,
                _ => Err(Self::wrong_method()),
            },
            ("Me", _) => Err(ScimError::status(501, "a token is nobody's: there is no `/Me`")),
            ("Bulk", "") => Err(ScimError::status(501, "there are no bulk operations")),
            ("ServiceProviderConfig" | "ResourceTypes" | "Schemas", _) => self.about_itself(visit, method, kind, name),
            _ => Err(ScimError::not_found()),
        }
    }

    /// What the service says of itself, which knows no filter (RFC 7644 section 4).
    fn about_itself(&self, visit: &Visit<'_>, method: &str, kind: &str, name: &str) -> Result<Answer, ScimError> {
        if method != "GET" {
            return Err(Self::wrong_method());
        }
        if !visit.parameters("filter").is_empty() {
            return Err(ScimError::status(403, "this is not filtered"));
        }
        let list = |resources: Vec<Value>| {
            let total = u64::try_from(resources.len()).unwrap_or(u64::MAX);
            Some(list_response(&resources, total, 1))
        };
        let found = match (kind, name) {
            ("ServiceProviderConfig", "") => Some(service_provider_config(&self.base)),
            ("ResourceTypes", "") => list(resource_types(&self.base)),
            ("ResourceTypes", name) => resource_type_named(name, &self.base),
            ("Schemas", "") => list(schemas(&self.base)),
            ("Schemas", urn) => schema_named(urn, &self.base),
            _ => None,
        };
        found.map(Answer::ok).ok_or_else(ScimError::not_found)
    }

    /// Users, then groups.
    async fn everything(&self, parameters: &Parameters) -> Result<Answer, ScimError> {
        let mut query = parameters.list(&USERS)?;
        let of_groups = parameters.list(&GROUPS)?;
        let (mut resources, users) = self.find_users(&query).await?;
        query = of_groups;
        let start_index = query.start_index;
        query.start_index = start_index.saturating_sub(users).max(1);
        query.count = query.count.saturating_sub(resources.len());
        let (of_groups, groups) = self.find_groups(&query).await?;
        resources.extend(of_groups);
        Ok(Answer::ok(list_response(&resources, users.saturating_add(groups), start_index)))
    }

    fn wrong_method() -> ScimError {
        ScimError::status(405, "this method does nothing here")
    }
}

/// What can be done at a path, for `Allow`.
fn methods(below: &str) -> &'static str {
    let path = below.trim_matches('/');
    match path.split_once('/').map_or((path, ""), |(kind, name)| (kind, name)) {
        ("Users" | "Groups", "") => "GET, HEAD, POST",
        (".search", _) | (_, ".search") => "POST",
        ("Users" | "Groups", _) => "GET, HEAD, PUT, PATCH, DELETE",
        _ => "GET, HEAD",
    }
}

impl Area for ScimArea {
    fn answer<'a>(&'a self, visit: &'a Visit<'a>, below: &'a str) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        Box::pin(async move {
            let answered = tokio::time::timeout(LIMIT, self.respond(visit, below)).await;
            let answered = answered.unwrap_or_else(|_| Err(answer::unavailable()));
            let mut answer = answered.unwrap_or_else(Answer::from);
            if answer.status == 405 {
                answer.headers.push(("allow", methods(below).to_owned()));
            }
            answer.into_page()
        })
    }

    fn max_body(&self) -> usize {
        MAX_BODY
    }

    /// No browser looks at it: a proxy that asks about it has no route for it.
    fn passes_unasked(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
