//! Text as it stands in HTML.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Output, State, Value};

/// A text as it stands in an element or between double quotes.
pub(crate) fn escape_html(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}

/// Writes a value of a template; whoever could have chosen it, and whatever the
/// template says of escaping, it ends no element and no attribute.
pub(super) fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let written = match value.as_str() {
        Some(text) if value.is_safe() => out.write_str(text),
        Some(text) => out.write_str(&escape_html(text)),
        None if matches!(value.kind(), ValueKind::Undefined | ValueKind::None) => Ok(()),
        None => out.write_str(&escape_html(&value.to_string())),
    };
    written.map_err(|error| Error::new(ErrorKind::WriteFailure, "the page could not be written").with_source(error))
}
