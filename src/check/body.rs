//! The bodies of refusals: a page for people, RFC 9457 problems or the
//! operator's own JSON for programs. None says which check of a credential
//! failed, and none echoes what the client sent.

use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value};
use serde_json::json;

use super::login::LoginPlace;
use super::outcome::{Body, DenyKind};
use crate::policy::Required;
use crate::types::{Protocol, Reason};
use crate::ui::{Contact, Form, Language, PageView, Text, Ui};

const TEMPLATE: &str = "error.json";

/// What a body tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: u16,
    pub(crate) reason: Reason,
    pub(crate) required: &'a Required,
    pub(crate) request_id: &'a str,
    /// Where to sign in; empty where that would not help.
    pub(crate) login_url: &'a str,
}

/// An operator's own JSON body.
#[derive(Debug, Clone)]
pub struct ErrorTemplate(Environment<'static>);

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It does not parse or render.
    #[error("the template does not render: {0}")]
    Render(#[from] minijinja::Error),
    /// It renders to something else than JSON.
    #[error("the template renders to `{rendered}`, which is not JSON: {source}")]
    NotJson {
        /// What it rendered to.
        rendered: String,
        /// Where it stops being JSON.
        source: serde_json::Error,
    },
}

impl ErrorTemplate {
    /// Parses the template and renders it once. It sees `status`, `title`,
    /// `reason`, `message`, `required`, `request_id` and `login_url` (empty
    /// where there is none); a text is written with its quotes around it,
    /// `"{{ message }}"`, and is escaped for that place.
    ///
    /// # Errors
    /// When it does not render, or not to JSON.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Custom("json-text".into()));
        environment.set_formatter(write_json);
        environment.add_template_owned(TEMPLATE, template.to_owned())?;
        let template = Self(environment);
        let awkward = Required { tiers: vec!["a\"b\\\n".to_owned()], ..Required::default() };
        // A template may branch on what it sees: every reason is tried.
        for reason in Reason::ALL {
            for (required, login_url) in [(&awkward, "a\"b\\\n"), (&Required::default(), "")] {
                let refusal = Refusal {
                    status: DenyKind::of(reason).http_status(Protocol::Grpc),
                    reason,
                    required,
                    request_id: "a\"b\\\n",
                    login_url,
                };
                let rendered = template.render(&refusal)?;
                if let Err(source) = serde_json::from_str::<serde_json::Value>(&rendered) {
                    return Err(TemplateError::NotJson { rendered, source });
                }
            }
        }
        Ok(template)
    }

    fn render(&self, refusal: &Refusal<'_>) -> Result<String, minijinja::Error> {
        self.0.get_template(TEMPLATE)?.render(minijinja::context! {
            status => refusal.status,
            title => title(refusal.status),
            reason => refusal.reason.as_str(),
            message => message(refusal),
            required => Value::from(minijinja::value::Serde(required_json(refusal.required))),
            request_id => refusal.request_id,
            login_url => refusal.login_url,
        })
    }
}

/// Writes a text as the inside of a JSON string, everything else as JSON.
fn write_json(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let written = serde_json::to_string(value).map_err(|error| {
        minijinja::Error::new(minijinja::ErrorKind::BadSerialization, "not JSON").with_source(error)
    })?;
    let text = if value.kind() == ValueKind::String && !value.is_safe() {
        written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&written)
    } else if value.is_safe() {
        value.as_str().unwrap_or(&written)
    } else {
        &written
    };
    out.write_str(text).map_err(|error| {
        minijinja::Error::new(minijinja::ErrorKind::WriteFailure, "the body could not be written").with_source(error)
    })
}

/// The body for a program.
pub(crate) fn json_body(refusal: &Refusal<'_>, template: Option<&ErrorTemplate>) -> Body {
    if let Some(text) = template.and_then(|template| template.render(refusal).ok()) {
        return Body { content_type: "application/json", text, headers: Vec::new() };
    }
    let mut problem = json!({
        "type": "about:blank",
        "title": title(refusal.status),
        "status": refusal.status,
        "detail": message(refusal),
        "reason": refusal.reason.as_str(),
        "required": required_json(refusal.required),
        "request_id": refusal.request_id,
    });
    if let (false, Some(members)) = (refusal.login_url.is_empty(), problem.as_object_mut()) {
        members.insert("login_url".to_owned(), refusal.login_url.into());
    }
    Body { content_type: "application/problem+json", text: problem.to_string(), headers: Vec::new() }
}

/// What a page tells a person beside the refusal, and in which words.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    /// How the page looks and speaks.
    pub(crate) ui: &'a Ui,
    /// The language of whoever reads it.
    pub(crate) language: &'a Arc<Language>,
    /// As whom the person is known.
    pub(crate) name: Option<&'a str>,
    /// What the tiers that are asked for are called.
    pub(crate) tiers: Vec<&'a str>,
    /// Who can give access.
    pub(crate) owner: Option<Contact>,
    /// Where the pages of the account are; `None` where they would not help.
    pub(crate) pages: Option<&'a LoginPlace>,
}

/// The body for a person.
pub(crate) fn html_body(refusal: &Refusal<'_>, reader: &Reader<'_>) -> Body {
    let Reader { ui, language, name, tiers, owner, pages } = reader;
    let sign_in = (!refusal.login_url.is_empty()).then_some(("page.sign_in", refusal.login_url));
    let account = pages.map(|pages| ("refused.account", pages.account()));
    let other = pages.filter(|_| name.is_some()).map(|pages| ("refused.switch", pages.sign_out()));
    let actions: Vec<serde_json::Value> = [sign_in, account, other]
        .into_iter()
        .flatten()
        .map(|(label, href)| json!({ "label": language.say(&Text::of(label)), "href": href }))
        .collect();
    let (title, sign) = heading(refusal);
    let page = ui.page(PageView {
        template: "refused.html",
        language,
        title: Text::of(title),
        sign,
        home: pages.map_or("", |pages| pages.account()),
        reference: Some(refusal.request_id),
        values: json!({
            "message": language.say(&Text::of(told(refusal))),
            "tiers": tiers,
            "name": name,
            "owner": owner,
            "actions": actions,
        }),
        form: Form::None,
    });
    Body { content_type: "text/html; charset=utf-8", text: page.body, headers: page.headers }
}

fn required_json(required: &Required) -> serde_json::Value {
    if required.is_empty() {
        return serde_json::Value::Null;
    }
    json!({ "tiers": required.tiers, "scopes": required.scopes, "permissions": required.permissions })
}

const fn title(status: u16) -> &'static str {
    match status {
        302 | 303 => "Sign in",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}

/// The title for a person, and the symbol above it.
const fn heading(refusal: &Refusal<'_>) -> (&'static str, &'static str) {
    match (refusal.status, refusal.reason) {
        (302 | 303 | 401, _) => ("refused.title_401", "key"),
        (400, _) => ("refused.title_400", "lost"),
        (403, Reason::NoRule) => ("refused.title_no_rule", "lost"),
        // A protocol that cannot carry a 503 still tells people of an outage.
        (503, _) | (_, Reason::Unavailable | Reason::Overloaded) => ("refused.title_503", "trouble"),
        (403, _) => ("refused.title_403", "lock"),
        _ => ("refused.title_other", "lock"),
    }
}

/// The message for a person, who does not know of rules.
const fn told(refusal: &Refusal<'_>) -> &'static str {
    match refusal.reason {
        Reason::NoCredentials if refusal.login_url.is_empty() => "refused.no_token",
        Reason::NoCredentials => "refused.no_credentials",
        Reason::InvalidToken => "refused.invalid_token",
        Reason::MultipleCredentials => "refused.multiple_credentials",
        Reason::ExpiredToken => "refused.expired_token",
        Reason::SessionExpired => "refused.session_expired",
        Reason::InsufficientTier => "refused.insufficient_tier",
        Reason::InsufficientScope | Reason::InsufficientPermission => "refused.insufficient_permission",
        Reason::NoRule => "refused.no_rule",
        Reason::BadTarget => "refused.bad_target",
        Reason::SpoofedHeader => "refused.spoofed_header",
        Reason::DisabledUser => "refused.disabled_user",
        // `Ok` is no reason to refuse; it is told as what it then is.
        Reason::Unavailable | Reason::Ok => "refused.unavailable",
        Reason::Overloaded => "refused.overloaded",
    }
}

const fn message(refusal: &Refusal<'_>) -> &'static str {
    match refusal.reason {
        Reason::NoCredentials if refusal.login_url.is_empty() => "This place needs a bearer token.",
        Reason::NoCredentials => "Sign in to open this place.",
        Reason::InvalidToken => "The token of this request was not accepted.",
        Reason::MultipleCredentials => "The request carries more than one credential, so none was accepted.",
        Reason::ExpiredToken => "The token of this request is no longer valid.",
        Reason::SessionExpired => "The session of this request is over. Sign in again.",
        Reason::InsufficientTier => "You are signed in, but your tier does not reach this place.",
        Reason::InsufficientScope | Reason::InsufficientPermission => {
            "You are signed in, but a permission is missing for this place."
        }
        Reason::NoRule => "No rule allows this address.",
        Reason::BadTarget => "The address of this request is missing, or can be read in more than one way.",
        Reason::SpoofedHeader => {
            "The request carries a header that only the gateway may set, or comes from where nobody may ask."
        }
        Reason::DisabledUser => "This account is disabled.",
        Reason::Unavailable => "The request cannot be decided right now. Try again in a moment.",
        Reason::Overloaded => "Too many requests are waiting. Try again in a moment.",
        Reason::Ok => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(required: &Required) -> Refusal<'_> {
        Refusal { status: 403, reason: Reason::InsufficientTier, required, request_id: "r<1>", login_url: "" }
    }

    #[test]
    fn an_api_keeps_its_own_error_shape() {
        let required = Required { tiers: vec!["devel".to_owned()], ..Required::default() };
        let template = ErrorTemplate::parse(
            "{\"error\": {{ status }}, \"message\": \"{{ message }}\", \"need\": {{ required }}, \"success\": false}",
        )
        .expect("template");
        let body = json_body(&refusal(&required), Some(&template));
        let value: serde_json::Value = serde_json::from_str(&body.text).expect("json");
        assert_eq!(value["error"], 403);
        assert_eq!(value["need"]["tiers"][0], "devel");
        assert_eq!(value["success"], false);
        let quoted = ErrorTemplate::parse("{\"m\": {{ message | tojson }}}").expect("template");
        assert!(json_body(&refusal(&required), Some(&quoted)).text.starts_with("{\"m\": \"You are"));
    }

    #[test]
    fn a_template_that_is_not_json_is_refused() {
        for template in [
            "{",
            "{{ nothing }}",
            "{\"a\": {{ message }}}",
            "{{ status",
            "{\"a\": \"{{ required }}\"}",
            "{% if reason == 'no_rule' %}oops{% else %}{}{% endif %}",
        ] {
            assert!(ErrorTemplate::parse(template).is_err(), "{template}");
        }
    }

    #[test]
    fn a_page_escapes_what_it_shows() {
        let required = Required { tiers: vec!["<script>".to_owned()], ..Required::default() };
        let pages = LoginPlace::new("https://gate.example.com", "/_auth/\"<b>");
        let ui = Ui::default();
        let reader = Reader {
            ui: &ui,
            language: ui.language(None),
            name: Some("<script>{{ title }}{name}"),
            tiers: vec!["<script>"],
            owner: Some(Contact::parse("<script>")),
            pages: pages.as_ref(),
        };
        let page = html_body(&refusal(&required), &reader).text;
        assert_eq!(page.matches("&lt;script&gt;").count(), 3, "{page}");
        assert!(page.contains("r&lt;1&gt;") && !page.contains("<script>") && !page.contains("<b>"), "{page}");
        assert!(page.contains("{{ title }}{name}"), "{page}");
    }

    #[test]
    fn every_reason_is_told_in_every_language() {
        let ui = Ui::default();
        let mut told = std::collections::BTreeSet::new();
        for language in ["en", "de", "ko"] {
            for reason in Reason::ALL {
                for status in [302, 400, 401, 403, 503, 418] {
                    let required = Required::default();
                    let refusal = Refusal { status, reason, ..refusal(&required) };
                    let language = ui.language(Some(language.as_bytes()));
                    let reader = Reader { ui: &ui, language, name: None, tiers: vec![], owner: None, pages: None };
                    let body = html_body(&refusal, &reader);
                    assert!(!body.text.contains("refused."), "{}", body.text);
                    assert!(body.headers.contains(&("content-language", language.tag().to_owned())));
                    told.insert(body.text);
                }
            }
        }
        assert!(told.len() > 3 * Reason::ALL.len(), "{} pages differ", told.len());
    }
}
