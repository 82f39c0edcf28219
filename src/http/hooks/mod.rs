//! `POST <base_path>/hooks/users`: a provider, or whoever speaks for it, reports
//! a user as soon as something happens.
//!
//! ```text
//! Visit ─signature─▶ Signed ─shape─▶ Told ─▶ Directory::change
//! ```
//!
//! What says nothing of its key learns nothing: every message without a good
//! MAC of the right time gets one and the same answer.

mod plain;
mod shape;
mod signature;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

pub use shape::{Event, EventFault, SignedSecond, read_event};
pub use signature::HookKey;

use signature::{HookKeys, Signed};

use crate::check::Page;
use crate::directory::{Actor, Because, Changed, Directory, DirectoryError, EventId, Outcome, User, UserKey, UserRef};
use crate::http::pages::{Area, Visit};
use crate::types::{Clock, UnixTime};

/// The largest message, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// How long an answer may take; an area ends within 5 s.
const LIMIT: Duration = Duration::from_millis(4800);
/// When a sender may try again, in seconds.
const RETRY_AFTER: &str = "5";

/// The hook for users.
pub struct UserHook {
    keys: HookKeys,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
}

/// What becomes of a message.
enum Answer {
    Done(&'static str, Option<String>),
    /// Status, title, detail.
    Refused(u16, &'static str, String),
}

impl UserHook {
    /// Takes messages of those who hold one of `keys`.
    #[must_use]
    pub fn new(keys: Vec<HookKey>, directory: Arc<Directory>, clock: Arc<dyn Clock>) -> Self {
        Self { keys: HookKeys::new(keys), directory, clock }
    }

    async fn take(&self, visit: &Visit<'_>, body: &[u8]) -> Answer {
        let now = self.clock.now();
        let Some(signed) = self.keys.verify(visit, body, now) else {
            let detail =
                "send `X-Tiergate-Timestamp` and `X-Tiergate-Signature`, made with the key of the hook at this moment";
            return Answer::Refused(401, "Not signed", detail.to_owned());
        };
        let event = match read_event(body, signed.second(now)) {
            Ok(event) => event,
            Err(fault) => return Answer::Refused(400, "Not understood", fault.to_string()),
        };
        let told = match event {
            Event::Told(told) => told,
            Event::Nothing => return Answer::Done("ignored", None),
        };
        let because = Because {
            expected_version: None,
            event: Some(EventId { digest: signed.event(), expires: signed.kept_until(now) }),
            request_id: Some(visit.request_id().to_owned()),
        };
        let target = UserRef::Key(UserKey::new(signed.provider(), &told.subject));
        let actor = Actor::Hook(signed.provider().clone());
        match self.directory.change(target, told.change, actor, because).await {
            Ok(changed) => done(&changed),
            Err(error) => refused(&signed, visit, &error),
        }
    }

    async fn respond(&self, visit: &Visit<'_>, below: &str) -> Page {
        if !below.is_empty() {
            return problem(404, "Not there", "messages about users go to `/hooks/users`");
        }
        if visit.method() != "POST" {
            let mut page = problem(405, "Wrong method", "messages about users are sent by POST");
            page.headers.push(("allow", "POST".to_owned()));
            return page;
        }
        let Some(body) = visit.body() else {
            let mut page =
                problem(405, "No body", "the proxy has no route for this path: send messages to the HTTP listener");
            page.headers.push(("allow", "POST".to_owned()));
            return page;
        };
        if body.len() > MAX_MESSAGE {
            return problem(413, "Too large", "a message has 64 KiB at most");
        }
        let answer = tokio::time::timeout(LIMIT, self.take(visit, body)).await;
        match answer.unwrap_or_else(|_| unavailable()) {
            Answer::Done(result, id) => {
                let body = match id {
                    Some(id) => json!({ "result": result, "id": id }),
                    None => json!({ "result": result }),
                };
                tracing::info!(request_id = visit.request_id(), result, "hook taken");
                json_page(200, "application/json", &body)
            }
            Answer::Refused(status, title, detail) => {
                tracing::info!(request_id = visit.request_id(), status, "hook refused");
                let mut page = problem(status, title, &detail);
                if status == 503 {
                    page.headers.push(("retry-after", RETRY_AFTER.to_owned()));
                }
                page
            }
        }
    }
}

impl Area for UserHook {
    fn answer<'a>(&'a self, visit: &'a Visit<'a>, below: &'a str) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        Box::pin(self.respond(visit, below))
    }

    fn max_body(&self) -> usize {
        MAX_MESSAGE
    }
}

fn done(changed: &Changed) -> Answer {
    let result = match changed.outcome {
        Outcome::Created => "created",
        Outcome::Updated => "updated",
        Outcome::Unchanged => "unchanged",
        Outcome::Duplicate => return Answer::Done("duplicate", None),
    };
    let id = |user: &User| user.id.to_string();
    Answer::Done(result, changed.after.as_ref().or(changed.before.as_ref()).map(id))
}

fn unavailable() -> Answer {
    Answer::Refused(503, "Not available", "the user directory does not answer: send it again".to_owned())
}

fn refused(signed: &Signed, visit: &Visit<'_>, error: &DirectoryError) -> Answer {
    tracing::warn!(
        request_id = visit.request_id(),
        provider = signed.provider().as_str(),
        error = %error,
        "what a hook reports is not taken over"
    );
    match error {
        DirectoryError::Taken(_) | DirectoryError::TooMany(_) => Answer::Refused(409, "Conflict", error.to_string()),
        DirectoryError::Unavailable(_)
        | DirectoryError::Corrupt
        | DirectoryError::Missing(_)
        | DirectoryError::Changed
        | DirectoryError::NotManaged => unavailable(),
    }
}

fn problem(status: u16, title: &str, detail: &str) -> Page {
    let body = json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
    json_page(status, "application/problem+json", &body)
}

fn json_page(status: u16, kind: &str, body: &serde_json::Value) -> Page {
    let headers = vec![
        ("content-type", kind.to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    Page { status, headers, body: format!("{body}\n") }
}

/// The moment that counts of what a message says of itself.
fn earlier(told: UnixTime, latest: UnixTime) -> UnixTime {
    told.min(latest)
}

#[cfg(test)]
mod tests;
