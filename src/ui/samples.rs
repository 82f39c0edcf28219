//! What each template gets, by example: own templates are tried with these, and
//! tests hold the pages to them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::admin_samples;

/// What every page gets besides the functions.
pub(super) fn common() -> Value {
    json!({
        "title": "Title",
        "sign": "lock",
        "home": "/_auth/",
        "reference": "0123",
        "lang": "en",
        "dir": "ltr",
        "style": "",
        "script": "",
        "brand": { "name": "Name", "logo": "data:image/png;base64,AA==" },
        "help": { "text": "help@example.com", "href": "mailto:help@example.com" },
    })
}

/// Every page in its kinds: with all that it can show, and with nothing.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let actions = json!([{ "label": "Go on", "href": "/x" }]);
    let nav = json!([{ "label": "Users", "href": "/_auth/admin/users", "current": true }]);
    let moment = json!({ "short": "2027-01-15 20:00 UTC", "exact": "2027-01-15T20:00:00Z" });
    let contact = json!({ "text": "Somebody", "href": null });
    let app = |locked: bool| {
        json!({
            "name": "maps", "title": "Maps", "href": "/apps/stable/maps/", "description": "Draws maps", "version": "1.2",
            "health": "up", "owner": contact, "locked": locked, "needs": ["Needs the level devel"],
            "icon": { "text": "M", "letter": "M", "src": null, "long": false },
        })
    };
    let portal = |person: Value, groups: Value, query: &str, empty: bool| {
        json!({
            "person": person, "login": "/_auth/login", "note": "Sign in", "base": "/_auth", "admin": "/_auth/admin/",
            "groups": groups, "query": query, "tier": null, "searchable": true, "whole": true, "total": 1,
            "empty": empty, "tokens": "/_auth/tokens",
        })
    };
    let tokens = |made: bool| {
        let token = json!({
            "id": "00", "name": "Backup", "tiers": ["devel"], "made": moment, "ends": moment, "used": moment,
        });
        json!({
            "made": made.then(|| json!({ "name": "Backup", "secret": "tgp_x", "origin": "https://example.com" })),
            "tokens": if made { vec![token] } else { Vec::new() },
            "choices": [{ "name": "devel", "label": "Developers" }],
            "lifetimes": [{ "seconds": 60, "label": "Until then", "chosen": true }],
            "full": !made, "most": 20, "base": "/_auth",
        })
    };
    let person = json!({
        "name": "Zoë", "letter": "Z", "email": "zoe@example.com", "provider": "Main", "level": "devel", "until": moment,
    });
    let groups = json!([
        { "label": "stable", "apps": [app(false), app(true)], "total": 9, "more": 7, "href": "/_auth/?tier=stable" },
        { "label": "devel", "apps": [app(false)], "total": 1, "more": 0, "href": null },
    ]);
    let session = json!({ "key": "00", "browser": "Firefox on Linux", "own": true, "since": moment, "until": moment });
    let mut all = vec![
        ("message.html", json!({ "text": ["Text"], "causes": ["Cause"], "actions": actions })),
        ("message.html", json!({ "text": [], "causes": [], "actions": [] })),
        (
            "refused.html",
            json!({ "message": "No", "tiers": ["devel"], "name": "Zoë", "owner": contact, "actions": actions }),
        ),
        ("refused.html", json!({ "message": "No", "tiers": [], "name": null, "owner": null, "actions": [] })),
        ("choose.html", json!({ "choices": [{ "label": "Main", "href": "/x" }] })),
        (
            "idp.html",
            json!({
                "nav": nav, "notice": null, "base": "/_auth/admin/idp", "path": "/users", "refused": null,
                "providers": [
                    { "id": "main", "chosen": true, "methods": ["GET"], "paths": ["/users/**"] },
                    { "id": "other", "chosen": false, "methods": ["GET"], "paths": [] },
                ],
                "answer": { "status": 200, "json": "{}" },
            }),
        ),
        (
            "idp.html",
            json!({
                "nav": nav, "notice": null, "base": "/_auth/admin/idp", "path": "/", "providers": [], "answer": null,
                "refused": { "title": "No", "detail": "Not so" },
            }),
        ),
        ("logout.html", json!({ "name": "Zoë", "base": "/_auth" })),
        ("sessions.html", json!({ "sessions": [session], "more": 2, "base": "/_auth", "tokens": "/_auth/tokens" })),
        ("sessions.html", json!({ "sessions": [], "more": 0, "base": "/_auth", "tokens": null })),
        ("tokens.html", tokens(true)),
        ("tokens.html", tokens(false)),
        ("portal.html", portal(person, groups, "", false)),
        ("portal.html", portal(Value::Null, json!([]), "x", false)),
        ("portal.html", portal(Value::Null, json!([]), "", true)),
    ];
    all.extend(admin_samples::all());
    all
}

/// The names that a template gets besides the common ones. A base is written
/// for every page.
pub(super) fn names(template: &str) -> BTreeSet<String> {
    let is_shared = matches!(template, "base.html" | "symbols.html" | "admin.html" | "admin_parts.html");
    let mut names: BTreeSet<String> = all()
        .iter()
        .filter(|(name, _)| is_shared || *name == template)
        .filter_map(|(_, values)| values.as_object())
        .flat_map(|members| members.keys().cloned())
        .collect();
    names.extend(["symbol", "moment", "options", "state", "names", "pager", "entries"].map(str::to_owned));
    names
}

/// Panics where a page gives its template what no sample shows: own templates
/// would be tried without it.
#[cfg(test)]
pub(super) fn hold(template: &str, values: &Value) {
    let full = all().into_iter().find(|(name, _)| *name == template);
    let (_, sample) = full.unwrap_or_else(|| panic!("no sample of {template}"));
    let mut beyond = Vec::new();
    keys_beyond(values, &sample, "", &mut beyond);
    assert!(beyond.is_empty(), "the sample of {template} lacks {beyond:?}");
    let missing: Vec<&String> = sample
        .as_object()
        .map(|sample| sample.keys().filter(|key| values.get(key).is_none()).collect())
        .unwrap_or_default();
    assert!(missing.is_empty(), "{template} does not get {missing:?}");
}

#[cfg(test)]
/// The keys of `value` that `sample` does not have, at any depth.
fn keys_beyond(value: &Value, sample: &Value, place: &str, found: &mut Vec<String>) {
    match (value, sample) {
        (Value::Object(members), Value::Object(sample)) => {
            for (key, value) in members {
                match sample.get(key) {
                    Some(sample) => keys_beyond(value, sample, &format!("{place}/{key}"), found),
                    None => found.push(format!("{place}/{key}")),
                }
            }
        }
        (Value::Array(items), Value::Array(samples)) => {
            if let Some(sample) = samples.first() {
                items.iter().for_each(|item| keys_beyond(item, sample, &format!("{place}/0"), found));
            }
        }
        _ => {}
    }
}
