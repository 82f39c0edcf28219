//! What the templates of the administrator's pages get, by example.

use serde_json::{Value, json};

/// Every page in its kinds: with all that it can show, and with nothing.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for (template, full, empty) in [
        ("admin_overview.html", overview(), json!({ "tiles": [], "parts": [], "facts": [] })),
        ("admin_users.html", users(), no_users()),
        ("admin_user.html", user(), bare_user()),
        (
            "admin_confirm.html",
            confirm(),
            json!({ "text": [], "action": "", "submit": "", "back": "", "asks_reason": false }),
        ),
        ("admin_sessions.html", sessions(), json!({ "note": null, "sessions": [], "here": "", "pages": pages(false) })),
        ("admin_apps.html", apps(), json!({ "apps": [], "more": 0, "tiers": [] })),
        ("admin_policy.html", policy(), no_policy()),
        ("admin_decisions.html", decisions(), no_decisions()),
        ("admin_providers.html", providers(), json!({ "providers": [] })),
        ("admin_audit.html", audit(), no_audit()),
    ] {
        all.push((template, around(full, true)));
        all.push((template, around(empty, false)));
    }
    all
}

/// What every one of the pages gets.
fn around(mut values: Value, told: bool) -> Value {
    if let Some(members) = values.as_object_mut() {
        members.insert("nav".to_owned(), json!([{ "label": "Users", "href": "/_auth/admin/users", "current": true }]));
        let notice = if told { json!({ "text": "Zoë is enabled.", "bad": false }) } else { Value::Null };
        members.insert("notice".to_owned(), notice);
    }
    values
}

fn moment() -> Value {
    json!({ "short": "2027-01-15 20:00 UTC", "exact": "2027-01-15T20:00:00Z" })
}

fn state() -> Value {
    json!({ "kind": "good", "text": "Works" })
}

fn pages(more: bool) -> Value {
    if more { json!({ "first": "/x", "next": "/x?after=1" }) } else { json!({ "first": null, "next": null }) }
}

fn choices() -> Value {
    json!([{ "value": "a", "label": "A", "chosen": true }])
}

fn facts() -> Value {
    json!([{ "label": "Version", "value": "1" }])
}

fn entry() -> Value {
    json!({
        "what": "Disabled", "target": "Zoë", "href": "/_auth/admin/users/00", "at": moment(), "actor": "main/root",
        "changes": [{ "field": "disabled", "before": "false", "after": "true" }], "reference": "0123",
    })
}

fn overview() -> Value {
    json!({
        "tiles": [{ "label": "Users", "value": "1000", "href": "/_auth/admin/users" }],
        "parts": [{ "name": "User directory", "about": "sqlite", "state": state() }],
        "facts": facts(),
    })
}

fn users() -> Value {
    json!({
        "here": "/_auth/admin/users", "query": "zo", "providers": choices(), "states": choices(), "tiers": choices(),
        "group": "audit", "total": 1, "filtered": true, "pages": pages(true),
        "users": [{
            "href": "/_auth/admin/users/00", "name": "Zoë", "about": "zoe@example.com", "provider": "Main", "state": state(),
            "grants": ["devel"], "seen": moment(),
        }],
    })
}

fn no_users() -> Value {
    json!({
        "here": "", "query": "", "providers": [], "states": [], "tiers": [], "group": "", "total": 0, "filtered": false,
        "pages": pages(false), "users": [],
    })
}

fn user() -> Value {
    json!({
        "here": "/_auth/admin/users/00", "users": "/_auth/admin/users",
        "user": {
            "letter": "Z", "about": "zoe@example.com", "own": true, "state": state(), "reason": "left", "can_enable": true,
            "can_disable": true, "groups": ["audit"], "attributes": "{\"plan\": \"gold\"}",
        },
        "facts": facts(),
        "rights": { "scopes": ["access:ea"], "permissions": ["read"], "groups": ["audit"] },
        "grants": [{
            "tier": "devel", "label": "Development", "until": moment(), "note": "over", "given_by": "main/root",
            "given_at": moment(),
        }],
        "tiers": choices(), "spans": choices(), "until": "",
        "sessions": [{ "key": "00", "browser": "Firefox on Linux", "since": moment(), "until": moment() }],
        "more_sessions": 1, "sessions_note": "Signed in nowhere.",
        "tokens": [{
            "id": "00", "name": "nightly", "note": "over", "tiers": ["devel"], "since": moment(), "until": moment(),
            "used": moment(), "live": true,
        }],
        "history": [entry()], "history_href": "/_auth/admin/audit?user=00",
    })
}

fn bare_user() -> Value {
    json!({
        "here": "", "users": "",
        "user": {
            "letter": "?", "about": "", "own": false, "state": state(), "reason": null, "can_enable": false,
            "can_disable": false, "groups": [], "attributes": null,
        },
        "facts": [], "rights": { "scopes": [], "permissions": [], "groups": [] }, "grants": [], "tiers": [], "spans": [],
        "until": "", "sessions": [], "more_sessions": 0, "sessions_note": "", "tokens": [], "history": [],
        "history_href": null,
    })
}

fn confirm() -> Value {
    json!({
        "text": ["Every request is refused."], "action": "/_auth/admin/users/00/disable", "submit": "Disable",
        "back": "/_auth/admin/users/00", "asks_reason": true,
    })
}

fn sessions() -> Value {
    json!({
        "note": "Not all are shown.", "here": "/_auth/admin/sessions", "pages": pages(true),
        "sessions": [{
            "key": "00", "name": "Zoë", "href": "/_auth/admin/users/00", "own": true, "browser": "Firefox on Linux",
            "provider": "Main", "since": moment(), "until": moment(),
        }],
    })
}

fn apps() -> Value {
    json!({
        "apps": [{
            "title": "Maps", "tier": "stable", "href": "/apps/stable/maps/", "path": "/apps/stable/maps/",
            "upstream": "http://127.0.0.1:9", "hidden": true, "health": state(),
        }],
        "more": 1,
        "tiers": [{ "name": "devel", "label": "Development", "grant": "scopes", "includes": ["ea"], "apps": 1 }],
    })
}

fn policy() -> Value {
    json!({
        "here": "/_auth/admin/policy", "example": "https://example.com/", "kinds": choices(),
        "asked": { "method": "GET", "url": "/x", "user": "", "scopes": "", "permissions": "", "groups": "" },
        "result": {
            "state": state(), "reason": "The rule allows it.", "facts": facts(),
            "lists": [{ "label": "Tiers required", "names": ["devel"] }],
        },
        "rules": [{ "id": "GET /x", "needs": "tier devel", "implied": true }], "total": 2, "more": 1,
    })
}

fn no_policy() -> Value {
    json!({
        "here": "", "example": "", "kinds": [],
        "asked": { "method": "GET", "url": "", "user": "", "scopes": "", "permissions": "", "groups": "" },
        "result": null, "rules": [], "total": 0, "more": 0,
    })
}

fn decisions() -> Value {
    json!({
        "here": "/_auth/admin/decisions", "kept": 2000, "decisions": choices(), "reasons": choices(),
        "asked": { "path": "/x", "subject": "s" }, "filtered": true, "pages": pages(true),
        "list": [{
            "state": state(), "request": "GET /x", "reason": "The rule allows it.", "at": moment(), "subject": "main/s",
            "rule": "/x", "reference": "0123", "explain": "/_auth/admin/policy?url=/x",
        }],
    })
}

fn no_decisions() -> Value {
    json!({
        "here": "", "kept": 0, "decisions": [], "reasons": [], "asked": { "path": "", "subject": "" }, "filtered": false,
        "pages": pages(false), "list": [],
    })
}

fn providers() -> Value {
    json!({
        "providers": [{ "name": "Main", "state": state(), "facts": facts(), "management": "/_auth/admin/idp/main/" }],
    })
}

fn audit() -> Value {
    json!({
        "here": "/_auth/admin/audit", "actions": choices(), "asked": { "actor": "main/root", "user": "00" }, "about": "Zoë",
        "filtered": true, "pages": pages(true), "list": [entry()],
    })
}

fn no_audit() -> Value {
    json!({
        "here": "", "actions": [], "asked": { "actor": "", "user": "" }, "about": null, "filtered": false,
        "pages": pages(false), "list": [],
    })
}
