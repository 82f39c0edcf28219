//! The one style sheet and the one script of the pages, and what lets a browser
//! use them and nothing else (CSP Level 3 section 6.7.3.2, hashes).

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::brand::Colors;
use super::color::Color;

/// How the pages look, but for the colours of the brand.
pub(super) const STYLE: &str = include_str!("style.css");

/// Searches while somebody types; every page does without it.
pub(super) const SCRIPT: &str = include_str!("search.js");

/// Something that stands in a page itself, and the source that allows it.
#[derive(Debug, Clone)]
pub(super) struct Inline {
    pub(super) text: Box<str>,
    pub(super) source: Box<str>,
}

impl Inline {
    fn new(text: String) -> Self {
        let source = format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())));
        Self { text: text.into_boxed_str(), source: source.into_boxed_str() }
    }
}

/// The style sheet of a brand: its colours, then `rules`.
pub(super) fn sheet(colors: Colors, rules: &str) -> Inline {
    let Colors { accent, accent_dark } = colors;
    let root = |accent: Color| format!(":root {{ --accent: {accent}; --on-accent: {}; }}", accent.text_on());
    Inline::new(format!("{}\n@media (prefers-color-scheme: dark) {{ {} }}\n{rules}", root(accent), root(accent_dark)))
}

/// The script of the portal.
pub(super) fn script() -> &'static Inline {
    static INLINE: LazyLock<Inline> = LazyLock::new(|| Inline::new(SCRIPT.to_owned()));
    &INLINE
}
