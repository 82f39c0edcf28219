//! The way through to the providers' management APIs, for administrators, at
//! `<base_path>/admin/idp/<path>`.
//!
//! ```text
//! Visit ─allowed─▶ Call ─▶ ManagementApi ─▶ JSON ─▶ raw, or a page around it
//!                    └─▶ audit
//! ```
//!
//! The caller's own token never goes there: the service asks with its own. Only
//! methods and paths that the config lists go through, only JSON comes back.

mod page;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Response};
use serde_json::{Map, Value, json};

use crate::check::{Checker, Page};
use crate::directory::{Actor, Directory, NewAuditEntry};
use crate::http::admin::{AdminPart, Administrator, PartFuture};
use crate::http::pages::Visit;
use crate::management::{Call, ManagementApi, ManagementError, PathPattern, TransportError};
use crate::types::Clock;

/// One provider's API, with what may be asked there.
pub struct Passage {
    /// The API.
    pub api: Arc<ManagementApi>,
    /// The methods that go through.
    pub methods: Vec<String>,
    /// The paths that go through, with their leading `/`.
    pub paths: Vec<PathPattern>,
}

/// All of them.
pub struct ManagementPassage {
    passages: Vec<Passage>,
    directory: Option<Arc<Directory>>,
    checker: Arc<Checker>,
    clock: Arc<dyn Clock>,
    /// Where this is, without a trailing `/`.
    base: String,
}

/// What is told in place of an answer.
struct Refused {
    status: u16,
    title: &'static str,
    detail: String,
}

impl Refused {
    fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into() }
    }
}

/// What came back.
struct Shown {
    status: u16,
    json: Option<String>,
}

/// Which call a visit asks for.
struct Asked<'a> {
    passage: &'a Passage,
    /// With its leading `/`.
    path: &'a str,
    call: Call,
}

impl ManagementPassage {
    /// The passages of a service whose pages live under `base_path`. Without a
    /// directory there is no audit, and nothing but `GET` goes through.
    #[must_use]
    pub fn new(
        passages: Vec<Passage>,
        directory: Option<Arc<Directory>>,
        checker: Arc<Checker>,
        clock: Arc<dyn Clock>,
        base_path: &str,
    ) -> Self {
        Self { passages, directory, checker, clock, base: format!("{base_path}/admin/idp") }
    }

    async fn respond(&self, visit: &Visit<'_>, administrator: &Administrator, below: &str) -> Page {
        let is_page = visit.method() == "GET" && visit.is_navigation();
        if matches!(below, "" | "/") && matches!(visit.method(), "GET" | "HEAD") {
            return if is_page { self.page(visit, None, "/", None) } else { self.list() };
        }
        let asked = match self.asked(visit, below) {
            Ok(asked) => asked,
            Err(refused) if is_page => return self.page(visit, None, below, Some(&Err(refused))),
            Err(refused) => return problem(&refused),
        };
        let shown = self.pass(visit, administrator, &asked).await;
        if is_page {
            return self.page(visit, Some(asked.passage), asked.path, Some(&shown));
        }
        match shown {
            Ok(Shown { status, json }) => answer(status, "application/json", json.unwrap_or_default()),
            Err(refused) => problem(&refused),
        }
    }

    /// The call, where the config lets it through.
    fn asked<'a>(&'a self, visit: &Visit<'_>, below: &'a str) -> Result<Asked<'a>, Refused> {
        let (passage, path) = self.named(below)?;
        let method = visit.method();
        if !passage.methods.iter().any(|allowed| allowed == method) {
            let detail = format!(
                "only {} may be sent here: list the method in `management.methods` of this provider",
                passage.methods.join(", ")
            );
            return Err(Refused::new(403, "The method does not go through", detail));
        }
        if !passage.paths.iter().any(|pattern| pattern.matches(path)) {
            let detail =
                "no pattern of `management.paths` fits this path: add one to the config if it should go through";
            return Err(Refused::new(403, "The path does not go through", detail));
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| Refused::new(400, "No method", "it is none"))?;
        if is_change(&method) {
            if self.directory.is_none() {
                let detail = "without a user directory there is no audit, and nothing but GET goes through: add \
                              `directory: {}` to the config";
                return Err(Refused::new(403, "The method does not go through", detail));
            }
            // A check brings no body: the provider would be sent something else than was asked for.
            if visit.body().is_none() {
                let detail = "The proxy asked about this request in place of handing it on: it needs a route for \
                              changes below the service's own path to the HTTP listener.";
                return Err(Refused::new(405, "The proxy has no route for it", detail));
            }
        }
        let query = std::str::from_utf8(visit.query()).map_err(|_| Refused::new(400, "No query", "it is not ASCII"))?;
        let mut target = path.trim_start_matches('/').to_owned();
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        let body = match method {
            Method::POST | Method::PUT | Method::PATCH => body(visit)?,
            _ => None,
        };
        Ok(Asked { passage, path, call: Call { method, path: target, body } })
    }

    /// The provider that a path names, or the only one; and the rest of the path.
    fn named<'a>(&'a self, below: &'a str) -> Result<(&'a Passage, &'a str), Refused> {
        if let Some(named) = below.strip_prefix("/~") {
            let (id, _) = named.split_once('/').unwrap_or((named, ""));
            let path = named.strip_prefix(id).unwrap_or_default();
            let passage = self.passages.iter().find(|passage| passage.api.provider().as_str() == id);
            let none = || Refused::new(404, "There is no such provider", "no provider of this `id` has `management`");
            return passage.map(|passage| (passage, if path.is_empty() { "/" } else { path })).ok_or_else(none);
        }
        match self.passages.as_slice() {
            [only] => Ok((only, below)),
            [] => Err(Refused::new(404, "There is no provider", "no provider of the config has `management`")),
            _ => Err(Refused::new(404, "Which provider?", "write `~<provider id>/` before the path")),
        }
    }

    async fn pass(
        &self,
        visit: &Visit<'_>,
        administrator: &Administrator,
        asked: &Asked<'_>,
    ) -> Result<Shown, Refused> {
        let is_change = is_change(&asked.call.method);
        // First the audit: what cannot be written down is not done, and not read either.
        let (action, after) = if is_change { ("idp.change", members(asked)) } else { ("idp.read", None) };
        self.note(visit, administrator, asked, action, after).await?;
        let shown = shown(asked.passage.api.send(&asked.call).await, visit);
        let status = shown.as_ref().map_or_else(|refused| refused.status, |shown| shown.status);
        let ended = Some(json!({ "status": status }));
        if is_change && self.note(visit, administrator, asked, "idp.changed", ended).await.is_err() {
            tracing::error!(
                request_id = visit.request_id(),
                status,
                "how a change through a management API ended is not in the audit"
            );
        }
        shown
    }

    async fn note(
        &self,
        visit: &Visit<'_>,
        administrator: &Administrator,
        asked: &Asked<'_>,
        action: &'static str,
        after: Option<Value>,
    ) -> Result<(), Refused> {
        let provider = asked.passage.api.provider().as_str();
        let target = format!("{provider} {} {}", asked.call.method, asked.path);
        tracing::info!(request_id = visit.request_id(), action, provider, "management API");
        // Nothing but GET comes here without one.
        let Some(directory) = &self.directory else { return Ok(()) };
        let entry = NewAuditEntry {
            actor: Actor::Person(administrator.actor.clone()),
            action,
            target,
            user: None,
            before: None,
            after,
            request_id: Some(visit.request_id().to_owned()),
        };
        let unwritten = |_| {
            Refused::new(503, "No audit", "the call cannot be written down, so it is not made: try again in a moment")
        };
        directory.store().note(entry, self.clock.now()).await.map_err(unwritten)
    }

    /// Where calls go, for programs.
    fn list(&self) -> Page {
        let one = |passage: &Passage| {
            let paths: Vec<String> = passage.paths.iter().map(ToString::to_string).collect();
            json!({ "provider": passage.api.provider().as_str(), "methods": passage.methods, "paths": paths })
        };
        let all: Vec<Value> = self.passages.iter().map(one).collect();
        answer(200, "application/json", format!("{}\n", json!({ "providers": all })))
    }
}

impl AdminPart for ManagementPassage {
    fn answer<'a>(&'a self, visit: &'a Visit<'a>, administrator: &'a Administrator, below: &'a str) -> PartFuture<'a> {
        Box::pin(self.respond(visit, administrator, below))
    }
}

fn is_change(method: &Method) -> bool {
    method != Method::GET
}

/// The names of what is changed; the values may be passwords.
fn members(asked: &Asked<'_>) -> Option<Value> {
    let body: Map<String, Value> = serde_json::from_slice(asked.call.body.as_ref()?).ok()?;
    Some(json!({ "members": body.keys().collect::<Vec<_>>() }))
}

/// JSON, or nothing.
fn body(visit: &Visit<'_>) -> Result<Option<Bytes>, Refused> {
    let body = visit.body().unwrap_or_default();
    if body.is_empty() {
        return Ok(None);
    }
    let kind = visit.single("content-type").unwrap_or_default();
    if !is_json(kind) || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() {
        return Err(Refused::new(415, "Not JSON", "send a body of `application/json`, or none"));
    }
    Ok(Some(Bytes::copy_from_slice(body)))
}

fn is_json(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    kind == b"application/json" || (kind.starts_with(b"application/") && kind.ends_with(b"+json"))
}

/// What may be shown of an answer.
fn shown(answer: Result<Response<Bytes>, ManagementError>, visit: &Visit<'_>) -> Result<Shown, Refused> {
    let answer = answer.map_err(|error| {
        tracing::warn!(request_id = visit.request_id(), error = %error, "a management API cannot be asked");
        match error {
            ManagementError::Path => Refused::new(400, "No path", error.to_string()),
            ManagementError::Transport(TransportError::Unacceptable(_)) => Refused::new(
                502,
                "The answer is not shown",
                "the management API answered with a redirect, or with more than 4 MiB: ask for less at a time",
            ),
            ManagementError::Transport(TransportError::Unreachable(_)) => {
                Refused::new(504, "No answer", "the management API did not answer in time: try again in a moment")
            }
            ManagementError::Token(_) => Refused::new(502, "No token", error.to_string()),
        }
    })?;
    let status = answer.status().as_u16();
    // It is not the caller who is not signed in there.
    if status == 401 {
        let detail = "the management API refuses the token of the service: check `management` of this provider";
        return Err(Refused::new(502, "The service is refused", detail));
    }
    if answer.body().is_empty() {
        return Ok(Shown { status, json: None });
    }
    let kind = answer.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let text = std::str::from_utf8(answer.body()).ok().filter(|_| is_json(kind));
    let text = text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    let none =
        || Refused::new(502, "The answer is not shown", "the management API answered with something that is not JSON");
    text.map(|text| Shown { status, json: Some(text.to_owned()) }).ok_or_else(none)
}

fn problem(refused: &Refused) -> Page {
    let Refused { status, title, detail } = refused;
    let body = json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
    let mut page = answer(*status, "application/problem+json", format!("{body}\n"));
    match status {
        405 => page.headers.push(("allow", "GET".to_owned())),
        503 => page.headers.push(("retry-after", "5".to_owned())),
        _ => {}
    }
    page
}

fn answer(status: u16, kind: &str, body: String) -> Page {
    let headers = vec![
        ("content-type", kind.to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'".to_owned()),
    ];
    Page { status, headers, body }
}

#[cfg(test)]
mod tests;
