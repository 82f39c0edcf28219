//! What is told above a page after a form was sent.

use serde_json::{Value, json};

use super::words::Words;
use crate::ui::Text;

/// What was done, or why nothing was.
#[derive(Debug, Clone)]
pub(super) struct Told {
    text: Text,
    /// Whether nothing was done.
    bad: bool,
}

impl Told {
    pub(super) const fn done(text: Text) -> Self {
        Self { text, bad: false }
    }

    pub(super) const fn not_done(text: Text) -> Self {
        Self { text, bad: true }
    }

    /// The status of the page that tells it.
    pub(super) const fn status(&self) -> u16 {
        if self.bad { 400 } else { 200 }
    }

    pub(super) fn shown(&self, words: &Words) -> Value {
        json!({ "text": words.text(&self.text), "bad": self.bad })
    }
}
