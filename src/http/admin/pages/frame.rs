//! What stands around every page of the administration.

use serde_json::{Value, json};

use crate::ui::{Language, Text};

/// Where `place`, a path below `base`, stands among the pages. The way through to
/// the providers' management APIs is one of them where there is one.
#[must_use]
pub fn navigation(language: &Language, base: &str, has_passage: bool, place: &str) -> Vec<Value> {
    let entries = [
        ("/", "admin.overview"),
        ("/users", "admin.users"),
        ("/sessions", "admin.sessions"),
        ("/apps", "admin.apps_tiers"),
        ("/policy", "admin.policy"),
        ("/decisions", "admin.decisions"),
        ("/providers", "admin.providers"),
        ("/audit", "admin.audit"),
    ];
    let passage = has_passage.then_some(("/idp", "admin.management"));
    let entry = |(path, label): (&str, &'static str)| {
        let label = language.say(&Text::of(label));
        json!({ "label": label, "href": format!("{base}{path}"), "current": path == place })
    };
    entries.into_iter().chain(passage).map(entry).collect()
}
