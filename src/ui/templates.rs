//! The templates of the pages: those that come with the service, and the
//! operator's own, which are tried with every kind of page before they count.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Kwargs, Rest, Serde};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

use super::contact::Contact;
use super::html::{escape_html, write_value};
use super::messages::{Language, Messages};
use super::samples;
use super::style::STYLE;

/// The file of the style sheet.
const SHEET: &str = "style.css";

const SHIPPED: [(&str, &str); 22] = [
    ("base.html", include_str!("templates/base.html")),
    ("symbols.html", include_str!("templates/symbols.html")),
    ("message.html", include_str!("templates/message.html")),
    ("refused.html", include_str!("templates/refused.html")),
    ("choose.html", include_str!("templates/choose.html")),
    ("portal.html", include_str!("templates/portal.html")),
    ("logout.html", include_str!("templates/logout.html")),
    ("sessions.html", include_str!("templates/sessions.html")),
    ("tokens.html", include_str!("templates/tokens.html")),
    ("idp.html", include_str!("templates/idp.html")),
    ("admin.html", include_str!("templates/admin.html")),
    ("admin_parts.html", include_str!("templates/admin_parts.html")),
    ("admin_overview.html", include_str!("templates/admin_overview.html")),
    ("admin_users.html", include_str!("templates/admin_users.html")),
    ("admin_user.html", include_str!("templates/admin_user.html")),
    ("admin_confirm.html", include_str!("templates/admin_confirm.html")),
    ("admin_sessions.html", include_str!("templates/admin_sessions.html")),
    ("admin_apps.html", include_str!("templates/admin_apps.html")),
    ("admin_policy.html", include_str!("templates/admin_policy.html")),
    ("admin_decisions.html", include_str!("templates/admin_decisions.html")),
    ("admin_providers.html", include_str!("templates/admin_providers.html")),
    ("admin_audit.html", include_str!("templates/admin_audit.html")),
];

/// What every template sees.
const COMMON: [&str; 13] =
    ["title", "sign", "home", "reference", "lang", "dir", "style", "script", "brand", "help", "t", "th", "contact"];

/// Templates that render.
#[derive(Debug, Clone)]
pub struct Templates {
    environment: Arc<Environment<'static>>,
    style: Box<str>,
}

/// What is wrong with a file of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// The file.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Default for Templates {
    fn default() -> Self {
        Self::shipped().clone()
    }
}

impl Templates {
    /// Those that come with the service.
    pub(super) fn shipped() -> &'static Self {
        static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| {
            let mut environment = environment();
            for (name, template) in SHIPPED {
                // One that does not parse is missing where it is asked for, which a test of each page sees.
                let _ = environment.add_template(name, template);
            }
            Templates { environment: Arc::new(environment), style: Box::from(STYLE) }
        });
        &TEMPLATES
    }

    /// The names of the files that an operator may write.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name).chain([SHEET])
    }

    /// The operator's files over ours: each file by its name and text.
    ///
    /// # Errors
    /// Every fault of every file: an unknown name, one that does not parse, a
    /// variable that the page does not get, a block that shows nowhere, a page
    /// that cannot be written.
    pub fn with(files: &[(String, String)]) -> Result<Self, Vec<TemplateFault>> {
        let mut environment = Environment::clone(&Self::shipped().environment);
        let mut style = Box::from(STYLE);
        let mut faults = Vec::new();
        for (name, text) in files {
            if name == SHEET {
                // Where it ends its element, the rest would be text of the page.
                if text.to_ascii_lowercase().contains("</") {
                    let line = line_of(text, "</");
                    faults.push(fault(name, line, "a style sheet holds no `</`".to_owned()));
                }
                style = text.clone().into_boxed_str();
            } else if !Self::names().any(|known| known == name) {
                let known: Vec<String> = Self::names().map(|known| format!("`{known}`")).collect();
                faults.push(fault(name, None, format!("no page is made by it; the files are {}", known.join(", "))));
            } else if let Err(error) = environment.add_template_owned(name.clone(), text.clone()) {
                faults.push(told(name, &error));
            } else {
                faults.extend(unknown_variables(&environment, name, text));
            }
        }
        if faults.is_empty() {
            faults.extend(lost_blocks(files));
        }
        let templates = Self { environment: Arc::new(environment), style };
        if faults.is_empty() {
            faults.extend(templates.try_all(files));
        }
        if faults.is_empty() { Ok(templates) } else { Err(faults) }
    }

    /// The rules of the style sheet, without the colours of the brand.
    pub(super) fn style(&self) -> &str {
        &self.style
    }

    pub(super) fn render(&self, name: &str, values: &Value) -> Result<String, Error> {
        self.environment.get_template(name)?.render(values.clone())
    }

    /// Writes every kind of page once.
    fn try_all(&self, files: &[(String, String)]) -> Vec<TemplateFault> {
        let messages = Messages::default();
        let language = messages.choose(None);
        let mut faults: Vec<TemplateFault> = Vec::new();
        for (name, values) in samples::all() {
            let values = context! { ..functions(language), ..Value::from(Serde(samples::common())), ..Value::from(Serde(values)) };
            let Err(error) = self.render(name, &values) else { continue };
            let file = error.name().unwrap_or(name).to_owned();
            let blamed = if files.iter().any(|(own, _)| *own == file) { file } else { name.to_owned() };
            let new = told(&blamed, &error);
            if !faults.contains(&new) {
                faults.push(new);
            }
        }
        faults
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_formatter(write_value);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Nothing that an app or a token says is ever markup, whatever a template thinks of it.
    environment.remove_filter("safe");
    environment
}

/// The functions that a template calls in a language:
///
/// - `t("key", name=value)`: a message as text
/// - `th("key", name=value)`: the same as HTML, with what is filled in set apart
/// - `contact("key", whom)`: a message about whom to ask, who is a link where that can be
pub(super) fn functions(language: &Arc<Language>) -> Value {
    let (plain, html, asks) = (Arc::clone(language), Arc::clone(language), Arc::clone(language));
    let t = move |key: &str, values: Kwargs| -> Result<Value, Error> {
        let values = filled(&plain, key, &values)?;
        Ok(Value::from(plain.plain(key, &pairs(&values))))
    };
    let th = move |key: &str, values: Kwargs| -> Result<Value, Error> {
        let values = filled(&html, key, &values)?;
        Ok(Value::from_safe_string(html.html(key, &pairs(&values))))
    };
    let contact = move |key: &str, whom: Value, _: Rest<Value>| -> Result<Value, Error> {
        known(&asks, key)?;
        let (text, href) = (whom.get_attr("text")?.to_string(), whom.get_attr("href")?);
        Ok(Value::from_safe_string(asks.html_with(key, &link(&text, href.as_str()))))
    };
    context! {
        t => Value::from_function(t),
        th => Value::from_function(th),
        contact => Value::from_function(contact),
    }
}

/// The HTML of somebody to ask. The link is judged again: a template could
/// bring one of its own.
fn link(text: &str, href: Option<&str>) -> String {
    let shown = escape_html(text);
    match href.filter(|href| Contact::parse(href.strip_prefix("mailto:").unwrap_or(href)).href().is_some()) {
        Some(href) => format!("<a href=\"{}\"><bdi>{shown}</bdi></a>", escape_html(href)),
        None => format!("<bdi class=\"value\">{shown}</bdi>"),
    }
}

fn known(language: &Language, key: &str) -> Result<(), Error> {
    if language.knows(key) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidOperation, format!("there is no message `{key}`")))
}

fn filled(language: &Language, key: &str, values: &Kwargs) -> Result<Vec<(String, String)>, Error> {
    known(language, key)?;
    values.args().map(|name| Ok((name.to_owned(), values.get::<Value>(name)?.to_string()))).collect()
}

fn pairs(values: &[(String, String)]) -> Vec<(&str, &str)> {
    values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The variables of a template that no page gives it.
fn unknown_variables(environment: &Environment<'_>, name: &str, text: &str) -> Vec<TemplateFault> {
    let Ok(template) = environment.get_template(name) else { return Vec::new() };
    let globals: Vec<&str> = environment.globals().map(|(global, _)| global).collect();
    let given = samples::names(name);
    let is_known = |variable: &str| {
        COMMON.contains(&variable) || globals.contains(&variable) || given.contains(variable) || is_own(variable)
    };
    let unknown: BTreeSet<String> =
        template.undeclared_variables(false).into_iter().filter(|variable| !is_known(variable)).collect();
    let told =
        |variable: String| fault(name, line_of(text, &variable), format!("the page gets no variable `{variable}`"));
    unknown.into_iter().map(told).collect()
}

/// What the language itself brings inside loops and blocks.
fn is_own(variable: &str) -> bool {
    matches!(variable, "loop" | "self" | "super" | "caller")
}

/// Blocks of an own page that its base does not have: nothing would show them.
/// And the blocks that an own base must have, for the pages to show at all.
fn lost_blocks(files: &[(String, String)]) -> Vec<TemplateFault> {
    let text_of = |name: &str| {
        let own = files.iter().find(|(held, _)| held == name).map(|(_, text)| text.as_str());
        own.or_else(|| SHIPPED.iter().find(|(held, _)| *held == name).map(|(_, text)| *text)).unwrap_or_default()
    };
    let shown = blocks(text_of("base.html"));
    let mut faults = Vec::new();
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".html")) {
        if name == "base.html" {
            for needed in ["kind", "bar", "page", "main"].into_iter().filter(|needed| !shown.contains(needed)) {
                faults.push(fault(name, None, format!("the block `{needed}` is missing, into which the pages write")));
            }
        } else if text.contains("extends") {
            // A block inside another one of the same file shows with it.
            let nested = |block: &str| is_nested(text, block);
            for lost in blocks(text).into_iter().filter(|block| !shown.contains(block) && !nested(block)) {
                let line = line_of(text, lost);
                faults.push(fault(name, line, format!("`base.html` has no block `{lost}`, so it would not show")));
            }
        }
    }
    faults
}

/// The names of the blocks of a template, in written order.
fn blocks(text: &str) -> Vec<&str> {
    let tags = text.split("{%").skip(1);
    tags.filter_map(|tag| tag.trim_start_matches(['-', '+']).trim_start().strip_prefix("block"))
        .filter(|rest| rest.starts_with(char::is_whitespace))
        .filter_map(|rest| rest.split_whitespace().next())
        .map(|name| name.trim_end_matches(['-', '%', '}']))
        .collect()
}

/// Whether a block stands inside another one.
fn is_nested(text: &str, block: &str) -> bool {
    let mut open: usize = 0;
    for tag in text.split("{%").skip(1) {
        let tag = tag.trim_start_matches(['-', '+']).trim_start();
        if let Some(rest) = tag.strip_prefix("block").filter(|rest| rest.starts_with(char::is_whitespace)) {
            if open > 0 && rest.split_whitespace().next() == Some(block) {
                return true;
            }
            open = open.saturating_add(1);
        } else if tag.starts_with("endblock") {
            open = open.saturating_sub(1);
        }
    }
    false
}

fn told(file: &str, error: &Error) -> TemplateFault {
    let mut message =
        error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    fault(file, error.line(), message)
}

fn fault(file: &str, line: Option<usize>, message: String) -> TemplateFault {
    TemplateFault { file: file.to_owned(), line, message }
}

/// The first line that holds `word`, from 1.
fn line_of(text: &str, word: &str) -> Option<usize> {
    text.lines().position(|line| line.contains(word)).map(|position| position.saturating_add(1))
}
