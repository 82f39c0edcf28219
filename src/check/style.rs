//! How every page of the service looks, and what lets a browser use that and
//! nothing else (CSP Level 3 section 6.7.3.2, hashes).

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The inside of the one `style` element of a page.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The `style-src` that allows [`STYLE`] and no other style.
pub(crate) fn style_source() -> &'static str {
    static SOURCE: LazyLock<String> =
        LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))));
    &SOURCE
}
