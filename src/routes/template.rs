//! The templates of the configs.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::settings::RouteError;

/// Renders a template. Nothing is escaped: every value that goes in is made of
/// characters that mean themselves in every config.
pub(super) fn render(source: &str, values: impl Serialize) -> Result<String, RouteError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?);
    environment.add_filter("title", |name: String| title(&name));
    environment.add_filter("snake", |name: String| name.replace('-', "_"));
    environment.add_filter("pad", |text: String, width: usize| format!("{text:width$}"));
    Ok(environment.render_str(source, minijinja::value::Value::from(minijinja::value::Serde(values)))?)
}

/// A header name as people write it: `X-Auth-User`.
pub(super) fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    words.collect::<Vec<_>>().join("-")
}

/// The text of an unreserved path in a regular expression.
pub(super) fn escaped(path: &str) -> String {
    path.replace('.', r"\.")
}
