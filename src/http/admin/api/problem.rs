//! Answers of the API: JSON, and RFC 9457 problems that say what to do.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::check::Page;
use crate::http::admin::{DeskError, Refusal};
use crate::http::pages::Visit;
use crate::types::Reason;

/// An answer with a view in it.
pub(super) fn view(status: u16, view: &impl Serialize) -> Page {
    // Views are texts, numbers, lists and maps with texts for names: those always serialise.
    page(status, "application/json", &serde_json::to_value(view).unwrap_or_default())
}

/// An answer that is written already.
pub(super) fn json_text(status: u16, text: String) -> Page {
    let mut headers = headers();
    headers.push(("content-type", "application/json".to_owned()));
    Page { status, headers, body: text }
}

/// An answer without a body.
pub(super) fn nothing() -> Page {
    Page { status: 204, headers: headers(), body: String::new() }
}

/// A problem; `detail` says what to do.
pub(super) fn problem(visit: &Visit<'_>, status: u16, title: &str, detail: &str) -> Page {
    with_members(visit, status, title, detail, Map::new())
}

fn with_members(visit: &Visit<'_>, status: u16, title: &str, detail: &str, more: Map<String, Value>) -> Page {
    let mut members = Map::new();
    members.insert("type".to_owned(), "about:blank".into());
    members.insert("title".to_owned(), title.into());
    members.insert("status".to_owned(), status.into());
    members.insert("detail".to_owned(), detail.into());
    members.extend(more);
    members.insert("request_id".to_owned(), visit.request_id().into());
    page(status, "application/problem+json", &Value::Object(members))
}

/// Tells somebody that they are not let in.
pub(in crate::http::admin) fn refused(visit: &Visit<'_>, refusal: Refusal) -> Page {
    let (title, detail) = match refusal {
        Refusal::Nobody => ("Not signed in", "Send a token in `Authorization`, or sign in with a browser."),
        Refusal::Refused(Reason::Unavailable | Reason::Overloaded, _) => {
            ("It cannot be told who you are right now", "Try again in a moment.")
        }
        Refusal::Refused(Reason::DisabledUser, _) => ("You are refused", "Ask another administrator."),
        Refusal::Refused(..) => ("Your credentials do not count", "Send one token that is valid, or sign in again."),
        Refusal::LacksTier => ("You are no administrator", "Ask an administrator for the tier that this needs."),
        Refusal::CrossSite => (
            "The request did not come from a page of this service",
            "Change things from the administrator's pages, or send a token in `Authorization`.",
        ),
    };
    let reason = refusal.reason().as_str();
    let more = [("reason".to_owned(), json!(reason))].into_iter().collect();
    let mut page = with_members(visit, refusal.status(), title, detail, more);
    match refusal.status() {
        401 => {
            let challenge = if refusal == Refusal::Nobody { "Bearer" } else { "Bearer error=\"invalid_token\"" };
            page.headers.push(("www-authenticate", challenge.to_owned()));
        }
        503 => page.headers.push(("retry-after", "5".to_owned())),
        _ => {}
    }
    page
}

/// Tells an administrator that a path leads nowhere.
pub(in crate::http::admin) fn not_there(visit: &Visit<'_>) -> Page {
    problem(visit, 404, "There is nothing here", "`GET <base_path>/admin/api/openapi.json` lists what there is.")
}

/// Tells that something took too long.
pub(in crate::http::admin) fn too_slow(visit: &Visit<'_>) -> Page {
    let mut page = problem(visit, 503, "The answer took too long", "Try again in a moment.");
    page.headers.push(("retry-after", "5".to_owned()));
    page
}

/// Tells that a path has no such method.
pub(super) fn wrong_method(visit: &Visit<'_>, allowed: &str) -> Page {
    let mut page = problem(visit, 405, "The path has no such method", &format!("Use one of {allowed}."));
    page.headers.push(("allow", allowed.to_owned()));
    page
}

/// Tells that a change came to a check, which reads no bodies.
pub(super) fn not_routed(visit: &Visit<'_>) -> Page {
    let detail = "The proxy asked about this request in place of handing it on: it needs a route for changes below \
                  the service's own path to the HTTP listener.";
    let mut page = problem(visit, 405, "The proxy has no route for it", detail);
    page.headers.push(("allow", "GET, HEAD".to_owned()));
    page
}

/// Tells why something was not shown or done.
pub(super) fn of(visit: &Visit<'_>, error: &DeskError) -> Page {
    let (status, title) = match error {
        DeskError::NoDirectory => (404, "There is no user directory"),
        DeskError::NoSessions => (404, "There are no sessions"),
        DeskError::NotThere(_) => (404, "It is not there"),
        DeskError::AlreadyThere => (409, "It is there already"),
        DeskError::Yourself => (409, "You cannot disable yourself"),
        DeskError::ChangedMeanwhile => (412, "It was changed meanwhile"),
        DeskError::Unfit(_) => (422, "It cannot be done"),
        DeskError::Unavailable(_, source) => {
            tracing::warn!(request_id = visit.request_id(), error = %source, "a store of the administrator's API");
            (503, "A store does not answer")
        }
    };
    let mut page = problem(visit, status, title, &error.to_string());
    if status == 503 {
        page.headers.push(("retry-after", "5".to_owned()));
    }
    page
}

fn headers() -> Vec<(&'static str, String)> {
    vec![("cache-control", "no-store".to_owned()), ("x-content-type-options", "nosniff".to_owned())]
}

fn page(status: u16, content_type: &str, value: &Value) -> Page {
    let mut headers = headers();
    headers.push(("content-type", content_type.to_owned()));
    Page { status, headers, body: format!("{value}\n") }
}
