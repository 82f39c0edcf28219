//! One page: its HTML, and the headers that say what a browser may do with it.

use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Error, Value, context};

use super::brand::Brand;
use super::messages::{Language, Messages, Text};
use super::style::{self, Inline};
use super::templates::{self, Templates};

/// How the pages of one service look and speak: immutable, shared by all.
#[derive(Debug, Clone)]
pub struct Ui {
    brand: Brand,
    messages: Messages,
    templates: Templates,
    sheet: Inline,
}

/// One page to write.
pub(crate) struct PageView<'a> {
    /// The name of its template.
    pub(crate) template: &'static str,
    /// The language of whoever reads it.
    pub(crate) language: &'a Arc<Language>,
    /// Its title and heading.
    pub(crate) title: Text,
    /// The name of the symbol above the heading.
    pub(crate) sign: &'static str,
    /// Where the portal is; empty where that would not help.
    pub(crate) home: &'a str,
    /// What to name when asking for help.
    pub(crate) reference: Option<&'a str>,
    /// What else the template gets.
    pub(crate) values: serde_json::Value,
    /// What the browser may do with it.
    pub(crate) form: Form<'a>,
}

/// What a page lets the browser do besides showing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// Nothing.
    None,
    /// Sends forms to ourselves, and where these lead on to: browsers judge
    /// redirects of a form as they judge its target.
    Own(&'a [String]),
    /// Searches: forms to ourselves, the script that asks as one types, and
    /// pictures of the apps on this origin.
    Portal,
    /// Is framed by these origins, which sign people out.
    Framed(&'a [String]),
}

/// A page as it is sent.
pub(crate) struct Rendered {
    /// The HTML.
    pub(crate) body: String,
    /// Every header but the type and the caching.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Why a template of the operator's could not be used; the page is then as
    /// it comes with the service.
    pub(crate) fault: Option<Error>,
}

impl Default for Ui {
    fn default() -> Self {
        Self::new(Brand::default(), Messages::default(), Templates::default())
    }
}

impl Ui {
    /// The pages of a brand, in these languages, by these templates.
    #[must_use]
    pub fn new(brand: Brand, messages: Messages, templates: Templates) -> Self {
        let sheet = style::sheet(brand.colors, templates.style());
        Self { brand, messages, templates, sheet }
    }

    /// Whose pages they are.
    #[must_use]
    pub fn brand(&self) -> &Brand {
        &self.brand
    }

    /// The language for whoever sends this `Accept-Language`.
    #[must_use]
    pub fn language(&self, accept_language: Option<&[u8]>) -> &Arc<Language> {
        self.messages.choose(accept_language)
    }

    /// Writes a page. It cannot fail: a template of the operator's that does is
    /// stood in for by the one that comes with the service.
    pub(crate) fn page(&self, view: PageView<'_>) -> Rendered {
        let PageView { template, language, title, sign, home, reference, values, form } = view;
        #[cfg(test)]
        super::samples::hold(template, &values);
        let title = language.say(&title);
        let scripted = form == Form::Portal;
        let common = context! {
            title,
            sign,
            home,
            reference,
            lang => language.tag(),
            dir => language.direction(),
            style => Value::from_safe_string(self.sheet.text.to_string()),
            script => scripted.then(|| Value::from_safe_string(style::script().text.to_string())),
            brand => context! { name => self.brand.name.as_str(), logo => self.brand.logo.as_ref().map(|logo| logo.as_url()) },
            help => Value::from(Serde(self.brand.contact.as_ref())),
        };
        let values = context! { ..templates::functions(language), ..common, ..Value::from(Serde(values)) };
        let (body, fault) = match self.templates.render(template, &values) {
            Ok(body) => (body, None),
            Err(fault) => match Templates::shipped().render(template, &values) {
                Ok(body) => (body, Some(fault)),
                Err(own) => {
                    ("<!doctype html><title>Error</title><p>The page cannot be shown.</p>".to_owned(), Some(own))
                }
            },
        };
        Rendered { body, headers: self.headers(form, language), fault }
    }

    fn headers(&self, form: Form<'_>, language: &Language) -> Vec<(&'static str, String)> {
        let nobody = || "'none'".to_owned();
        let own = |onward: &[String]| sources(std::iter::once("'self'").chain(onward.iter().map(String::as_str)));
        let (forms, frames, referrer) = match form {
            Form::None => (nobody(), nobody(), "no-referrer"),
            // With `no-referrer` a browser would send `Origin: null` with the form.
            Form::Own(onward) => (own(onward), nobody(), "same-origin"),
            Form::Portal => (own(&[]), nobody(), "same-origin"),
            Form::Framed(framers) => (nobody(), sources(framers.iter().map(String::as_str)), "no-referrer"),
        };
        let more = match (form, &self.brand.logo) {
            (Form::Portal, logo) => {
                let logo = if logo.is_some() { " data:" } else { "" };
                format!("; img-src 'self'{logo}; script-src {}; connect-src 'self'", style::script().source)
            }
            (Form::None | Form::Own(_) | Form::Framed(_), Some(_)) => "; img-src data:".to_owned(),
            (Form::None | Form::Own(_) | Form::Framed(_), None) => String::new(),
        };
        let policy = format!(
            "default-src 'none'; style-src {}{more}; base-uri 'none'; form-action {forms}; frame-ancestors {frames}",
            self.sheet.source
        );
        vec![
            ("content-security-policy", policy),
            ("referrer-policy", referrer.to_owned()),
            ("content-language", language.tag().to_owned()),
            ("vary", "Accept-Language".to_owned()),
        ]
    }
}

/// A list of sources; what could end one is no source.
fn sources<'a>(origins: impl Iterator<Item = &'a str>) -> String {
    let origins: Vec<&str> = origins.filter(|origin| !origin.contains([' ', ';', ','])).collect();
    if origins.is_empty() { "'none'".to_owned() } else { origins.join(" ") }
}
