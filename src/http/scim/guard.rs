//! Who may come in: whoever shows one of the tokens of the config.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::http::pages::Visit;
use crate::types::Secret;

/// The tokens, as digests: the comparison of two takes as long for any two, and
/// tells nothing of their lengths.
pub(super) struct Guard(Vec<Digest>);

impl Guard {
    pub(super) fn new(tokens: &[Secret]) -> Self {
        Self(tokens.iter().map(|token| digest(&SHA256, token.expose().as_bytes())).collect())
    }

    /// Whether the one `Authorization` header of a request shows a token.
    pub(super) fn lets_in(&self, visit: &Visit<'_>) -> bool {
        let Some(token) = visit.single("authorization").and_then(bearer) else { return false };
        let shown = digest(&SHA256, token);
        let is_held = |held: &Digest| verify_slices_are_equal(held.as_ref(), shown.as_ref()).is_ok();
        // Every one is looked at, whichever it is.
        self.0.iter().fold(false, |found, held| found | is_held(held))
    }
}

/// The token of `Bearer` credentials (RFC 6750 section 2.1).
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked(7)?;
    let is_sound = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"bearer ") && is_sound).then_some(token)
}
