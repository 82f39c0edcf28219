//! Pages as text with their headers: HTML for people, RFC 9457 problems for
//! programs, redirects.

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Output, State, Value, context, escape_formatter};
use serde::Serialize;
use serde_json::json;

use super::request::Visit;
use crate::check::{Page, STYLE, escape_html, style_source};
use crate::session::SetCookie;
use crate::types::{Reason, UnixTime};

/// Something to be told, with what the reader can do.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    status: u16,
    title: &'static str,
    text: Vec<String>,
    causes: Vec<&'static str>,
    actions: Vec<Action>,
    reason: Option<Reason>,
    login_url: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct Action {
    label: &'static str,
    href: String,
}

impl Notice {
    pub(super) fn new(status: u16, title: &'static str, text: &str) -> Self {
        Self {
            status,
            title,
            text: vec![text.to_owned()],
            causes: Vec::new(),
            actions: Vec::new(),
            reason: None,
            login_url: None,
        }
    }

    pub(super) fn and(mut self, text: &str) -> Self {
        self.text.push(text.to_owned());
        self
    }

    pub(super) fn causes(mut self, causes: &[&'static str]) -> Self {
        self.causes.extend_from_slice(causes);
        self
    }

    pub(super) fn action(mut self, label: &'static str, href: String) -> Self {
        self.actions.push(Action { label, href });
        self
    }

    /// For programs only.
    pub(super) fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// For programs only.
    pub(super) fn login_url(mut self, url: String) -> Self {
        self.login_url = Some(url);
        self
    }
}

/// A moment as people and programs read it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Moment {
    short: String,
    exact: String,
}

impl Moment {
    pub(super) fn of(time: UnixTime) -> Self {
        let exact = time.to_string();
        let short = format!("{} UTC", exact.get(..16).unwrap_or(&exact).replace('T', " "));
        Self { short, exact }
    }
}

/// What a page lets the browser do besides showing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Nothing.
    Plain,
    /// Sends forms to ourselves, and where these lead on to: browsers judge
    /// redirects of a form as they judge its target.
    Form(&'a [String]),
    /// Is framed by a provider that signs people out.
    Framed,
}

/// Writes pages.
pub(super) struct Content {
    templates: Environment<'static>,
    /// The origins that may frame what is to be framed, as sources of a policy
    /// (CSP Level 3 section 2.3.1).
    framers: String,
}

const TEMPLATES: [(&str, &str); 6] = [
    ("base.html", include_str!("templates/base.html")),
    ("message.html", include_str!("templates/message.html")),
    ("choose.html", include_str!("templates/choose.html")),
    ("portal.html", include_str!("templates/portal.html")),
    ("logout.html", include_str!("templates/logout.html")),
    ("sessions.html", include_str!("templates/sessions.html")),
];

impl Content {
    pub(super) fn new(framers: &[String]) -> Self {
        let mut templates = Environment::new();
        templates.set_formatter(write_html);
        for (name, template) in TEMPLATES {
            // One that does not parse is missing where it is asked for, which a test of each page sees.
            let _ = templates.add_template(name, template);
        }
        Self { templates, framers: sources(framers.iter().map(String::as_str)) }
    }

    /// A page for people.
    pub(super) fn page(
        &self,
        visit: &Visit<'_>,
        (status, kind): (u16, Kind<'_>),
        template: &str,
        title: &str,
        values: serde_json::Value,
    ) -> Page {
        let common = context! {
            title,
            style => Value::from_safe_string(STYLE.to_owned()),
            reference => (status >= 400 && kind != Kind::Framed).then(|| visit.request_id()),
        };
        let values = context! { ..Value::from(Serde(values)), ..common };
        let rendered = self.templates.get_template(template).and_then(|template| template.render(values));
        let (status, body) = match rendered {
            Ok(body) => (status, body),
            Err(error) => {
                tracing::error!(request_id = visit.request_id(), template, error = %error, "a page cannot be written");
                (500, "<!doctype html><title>Error</title><p>The page cannot be shown.</p>".to_owned())
            }
        };
        Page { status, headers: self.headers(kind), body }
    }

    /// Tells a notice in the form that fits who asks.
    pub(super) fn notice(&self, visit: &Visit<'_>, notice: &Notice) -> Page {
        let Notice { status, title, text, causes, actions, reason, login_url } = notice;
        if visit.is_navigation() {
            let values = json!({ "text": text, "causes": causes, "actions": actions });
            return self.page(visit, (*status, Kind::Plain), "message.html", title, values);
        }
        let mut problem = json!({
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": text.join(" "),
        });
        if let Some(problem) = problem.as_object_mut() {
            let members = [
                ("reason", reason.map(Reason::as_str)),
                ("request_id", Some(visit.request_id())),
                ("login_url", login_url.as_deref()),
            ];
            problem.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        }
        json_page(*status, "application/problem+json", &problem)
    }

    fn headers(&self, kind: Kind<'_>) -> Vec<(&'static str, String)> {
        let nobody = || "'none'".to_owned();
        let (forms, frames, referrer) = match kind {
            Kind::Plain => (nobody(), nobody(), "no-referrer"),
            // With `no-referrer` a browser would send `Origin: null` with the form.
            Kind::Form(onward) => {
                (sources(std::iter::once("'self'").chain(onward.iter().map(String::as_str))), nobody(), "same-origin")
            }
            Kind::Framed => (nobody(), self.framers.clone(), "no-referrer"),
        };
        let policy = format!(
            "default-src 'none'; style-src {}; base-uri 'none'; form-action {forms}; frame-ancestors {frames}",
            style_source()
        );
        let mut headers = vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("referrer-policy", referrer.to_owned()),
            ("content-security-policy", policy),
        ];
        if kind != Kind::Framed {
            headers.push(("x-frame-options", "DENY".to_owned()));
        }
        headers
    }
}

/// Writes a value; whoever could have chosen it, it ends no element and no
/// attribute.
fn write_html(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => out
            .write_str(&escape_html(text))
            .map_err(|error| Error::new(ErrorKind::WriteFailure, "the page could not be written").with_source(error)),
        Some(_) | None => escape_formatter(out, state, value),
    }
}

/// A list of sources; what could end one is no source.
fn sources<'a>(origins: impl Iterator<Item = &'a str>) -> String {
    let origins: Vec<&str> = origins.filter(|origin| !origin.contains([' ', ';', ','])).collect();
    if origins.is_empty() { "'none'".to_owned() } else { origins.join(" ") }
}

/// An answer for a program.
pub(super) fn json_page(status: u16, content_type: &str, value: &serde_json::Value) -> Page {
    let headers = vec![
        ("content-type", content_type.to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    Page { status, headers, body: format!("{value}\n") }
}

/// Sends the browser elsewhere, always by GET and without saying where it was.
pub(super) fn redirect(location: String, cookies: &[SetCookie]) -> Page {
    let mut headers = vec![
        ("location", location),
        ("cache-control", "no-store".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
    ];
    headers.extend(cookies.iter().map(|cookie| ("set-cookie", cookie.header_value())));
    Page { status: 303, headers, body: String::new() }
}
