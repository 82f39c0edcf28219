//! Pages as text with their headers: HTML for people, RFC 9457 problems for
//! programs, redirects.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::request::Visit;
use crate::check::{Checker, Page};
use crate::session::SetCookie;
use crate::types::{Reason, UnixTime};
use crate::ui::{Form, Language, Messages, PageView, Text};

/// Something to be told, with what the reader can do.
#[derive(Debug, Clone)]
pub(in crate::http) struct Notice {
    status: u16,
    sign: &'static str,
    title: &'static str,
    text: Vec<&'static str>,
    causes: Vec<&'static str>,
    actions: Vec<(&'static str, String)>,
    reason: Option<Reason>,
    login_url: Option<String>,
}

impl Notice {
    /// `sign` is the symbol above it; `title` and `text` are messages.
    pub(in crate::http) fn new(status: u16, sign: &'static str, title: &'static str, text: &'static str) -> Self {
        Self {
            status,
            sign,
            title,
            text: vec![text],
            causes: Vec::new(),
            actions: Vec::new(),
            reason: None,
            login_url: None,
        }
    }

    pub(in crate::http) fn and(mut self, text: &'static str) -> Self {
        self.text.push(text);
        self
    }

    pub(in crate::http) fn causes(mut self, causes: &[&'static str]) -> Self {
        self.causes.extend_from_slice(causes);
        self
    }

    pub(in crate::http) fn action(mut self, label: &'static str, href: String) -> Self {
        self.actions.push((label, href));
        self
    }

    /// For programs only.
    pub(in crate::http) fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// For programs only.
    pub(in crate::http) fn login_url(mut self, url: String) -> Self {
        self.login_url = Some(url);
        self
    }
}

/// A moment as people and programs read it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::http) struct Moment {
    short: String,
    exact: String,
}

impl Moment {
    pub(in crate::http) fn of(time: UnixTime, language: &Language) -> Self {
        let exact = time.to_string();
        // `2027-01-15T20:00:…`, which is as long for any year that a session sees.
        let part = |from: usize, to: usize| exact.get(from..to).unwrap_or_default();
        let moment = Text::of("date.moment")
            .with("year", part(0, 4))
            .with("month", part(5, 7))
            .with("day", part(8, 10))
            .with("hour", part(11, 13))
            .with("minute", part(14, 16));
        Self { short: language.say(&moment), exact }
    }

    /// As people read it.
    pub(in crate::http) fn short(&self) -> &str {
        &self.short
    }
}

/// One page to write: its status, template, symbol and title.
pub(in crate::http) struct Sheet<'a> {
    pub(in crate::http) status: u16,
    pub(in crate::http) template: &'static str,
    pub(in crate::http) sign: &'static str,
    pub(in crate::http) title: &'static str,
    pub(in crate::http) form: Form<'a>,
}

/// Writes pages.
pub(in crate::http) struct Content {
    checker: Arc<Checker>,
    home: String,
}

impl Content {
    /// `home` is the path of the portal.
    pub(in crate::http) fn new(checker: Arc<Checker>, home: String) -> Self {
        Self { checker, home }
    }

    /// The language of whoever asks.
    pub(in crate::http) fn language(&self, visit: &Visit<'_>) -> Arc<Language> {
        Arc::clone(self.checker.snapshot().ui.language(visit.accept_language()))
    }

    /// The path of the portal.
    pub(in crate::http) fn home(&self) -> &str {
        &self.home
    }

    /// A page for people.
    pub(in crate::http) fn page(&self, visit: &Visit<'_>, sheet: &Sheet<'_>, values: serde_json::Value) -> Page {
        self.titled(visit, sheet, Text::of(sheet.title), values)
    }

    /// A page for people, whose title has something filled in.
    pub(in crate::http) fn titled(
        &self,
        visit: &Visit<'_>,
        sheet: &Sheet<'_>,
        title: Text,
        values: serde_json::Value,
    ) -> Page {
        let Sheet { status, template, sign, title: _, form } = *sheet;
        let framed = matches!(form, Form::Framed(_));
        let ui = Arc::clone(&self.checker.snapshot().ui);
        let rendered = ui.page(PageView {
            template,
            language: ui.language(visit.accept_language()),
            title,
            sign,
            home: if framed { "" } else { &self.home },
            reference: (status >= 400 && !framed).then(|| visit.request_id()),
            values,
            form,
        });
        if let Some(error) = rendered.fault {
            tracing::error!(request_id = visit.request_id(), template, error = %error, "a template does not work");
        }
        let mut headers = vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
        ];
        headers.extend(rendered.headers);
        if !framed {
            headers.push(("x-frame-options", "DENY".to_owned()));
        }
        Page { status, headers, body: rendered.body }
    }

    /// Tells a notice in the form that fits who asks.
    pub(in crate::http) fn notice(&self, visit: &Visit<'_>, notice: &Notice) -> Page {
        let Notice { status, sign, title, text, causes, actions, reason, login_url } = notice;
        if visit.is_navigation() {
            let language = self.language(visit);
            let say = |key: &&'static str| language.say(&Text::of(key));
            let actions: Vec<serde_json::Value> =
                actions.iter().map(|(label, href)| json!({ "label": say(label), "href": href })).collect();
            let values = json!({
                "text": text.iter().map(say).collect::<Vec<_>>(),
                "causes": causes.iter().map(say).collect::<Vec<_>>(),
                "actions": actions,
            });
            let sheet = Sheet { status: *status, template: "message.html", sign, title, form: Form::None };
            return self.page(visit, &sheet, values);
        }
        let told: Vec<String> = text.iter().map(|key| Messages::for_programs(&Text::of(key))).collect();
        let mut problem = json!({
            "type": "about:blank",
            "title": Messages::for_programs(&Text::of(title)),
            "status": status,
            "detail": told.join(" "),
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
}

/// An answer for a program.
pub(in crate::http) fn json_page(status: u16, content_type: &str, value: &serde_json::Value) -> Page {
    let headers = vec![
        ("content-type", content_type.to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    Page { status, headers, body: format!("{value}\n") }
}

/// Sends the browser elsewhere, always by GET and without saying where it was.
pub(in crate::http) fn redirect(location: String, cookies: &[SetCookie]) -> Page {
    let mut headers = vec![
        ("location", location),
        ("cache-control", "no-store".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
    ];
    headers.extend(cookies.iter().map(|cookie| ("set-cookie", cookie.header_value())));
    Page { status: 303, headers, body: String::new() }
}
