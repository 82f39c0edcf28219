//! What the templates are given: texts, moments, choices.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::http::admin::Timestamp;
use crate::http::pages::Moment;
use crate::types::Reason;
use crate::ui::{Language, Text};

/// The language of whoever asks.
pub(super) struct Words(Arc<Language>);

/// A name and what it is.
#[derive(Debug, Serialize)]
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) value: String,
}

/// How something is.
#[derive(Debug, Serialize)]
pub(super) struct State {
    /// `good`, `bad` or nothing.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// One of several to choose from.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) chosen: bool,
}

impl Words {
    pub(super) const fn new(language: Arc<Language>) -> Self {
        Self(language)
    }

    pub(super) fn language(&self) -> &Language {
        &self.0
    }

    pub(super) fn say(&self, key: &'static str) -> String {
        self.0.say(&Text::of(key))
    }

    pub(super) fn text(&self, text: &Text) -> String {
        self.0.say(text)
    }

    pub(super) fn moment(&self, at: Timestamp) -> Moment {
        Moment::of(at.0, &self.0)
    }

    pub(super) fn fact(&self, key: &'static str, value: impl Into<String>) -> Fact {
        Fact { label: self.say(key), value: value.into() }
    }

    /// A fact that is shown only where it is known.
    pub(super) fn moment_fact(&self, key: &'static str, at: Option<Timestamp>) -> Option<Fact> {
        Some(self.fact(key, self.moment(at?).short()))
    }

    pub(super) fn state(&self, kind: &'static str, key: &'static str) -> State {
        State { kind, text: self.say(key) }
    }

    pub(super) fn choice(&self, value: &str, key: &'static str, chosen: Option<&str>) -> Choice {
        Choice { value: value.to_owned(), label: self.say(key), chosen: chosen.unwrap_or_default() == value }
    }

    /// The reason of a decision, in words for whoever looks at the decision of somebody else.
    pub(super) fn reason(&self, reason: &str) -> String {
        match Reason::ALL.into_iter().find(|known| known.as_str() == reason) {
            Some(reason) => self.say(reason_key(reason)),
            None => reason.to_owned(),
        }
    }
}

/// A choice that is its own label.
pub(super) fn named(value: &str, chosen: Option<&str>) -> Choice {
    Choice { value: value.to_owned(), label: value.to_owned(), chosen: chosen == Some(value) }
}

/// The links below a list.
pub(super) fn pager(first: Option<&str>, next: Option<&str>) -> Value {
    json!({ "first": first, "next": next })
}

/// An address with these parameters, without those that are empty.
pub(super) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The first letter of a name, for the circle beside it.
pub(super) fn letter(name: &str) -> String {
    name.chars().find(|one| one.is_alphanumeric()).map_or_else(|| "?".to_owned(), |one| one.to_uppercase().collect())
}

pub(super) const fn reason_key(reason: Reason) -> &'static str {
    match reason {
        Reason::Ok => "admin.reason_ok",
        Reason::NoCredentials => "admin.reason_no_credentials",
        Reason::InvalidToken => "admin.reason_invalid_token",
        Reason::ExpiredToken => "admin.reason_expired_token",
        Reason::InsufficientTier => "admin.reason_insufficient_tier",
        Reason::InsufficientScope => "admin.reason_insufficient_scope",
        Reason::InsufficientPermission => "admin.reason_insufficient_permission",
        Reason::NoRule => "admin.reason_no_rule",
        Reason::BadTarget => "admin.reason_bad_target",
        Reason::MultipleCredentials => "admin.reason_multiple_credentials",
        Reason::SpoofedHeader => "admin.reason_spoofed_header",
        Reason::DisabledUser => "admin.reason_disabled_user",
        Reason::SessionExpired => "admin.reason_session_expired",
        Reason::Unavailable => "admin.reason_unavailable",
        Reason::Overloaded => "admin.reason_overloaded",
    }
}
