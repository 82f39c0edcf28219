//! Who changed what, from what to what.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::words::{Words, address, pager};
use super::{Asked, Sight};
use crate::check::Page;
use crate::directory::UserId;
use crate::http::admin::DeskError;
use crate::http::admin::desk::{AuditLine, AuditSearch};
use crate::ui::Text;

/// How many are on a page.
const PER_PAGE: usize = 50;
/// How deep values are taken apart.
const MAX_DEPTH: usize = 4;
/// The longest value that is shown, in characters.
const MAX_VALUE: usize = 400;
/// The most fields of one line.
const MAX_FIELDS: usize = 60;

/// Every action that is written, and what it is called.
const ACTIONS: [(&str, &str); 17] = [
    ("user.disable", "admin.act_disable"),
    ("user.enable", "admin.act_enable"),
    ("user.grant", "admin.act_grant"),
    ("user.revoke", "admin.act_revoke"),
    ("user.sign_out", "admin.act_sign_out"),
    ("user.groups", "admin.act_groups"),
    ("user.attributes", "admin.act_attributes"),
    ("user.sign_in", "admin.act_sign_in"),
    ("user.report", "admin.act_report"),
    ("user.gone", "admin.act_gone"),
    ("session.revoke", "admin.act_session"),
    ("token.create", "admin.act_token_create"),
    ("token.revoke", "admin.act_token_revoke"),
    ("group.create", "admin.act_group_create"),
    ("group.change", "admin.act_group_change"),
    ("group.delete", "admin.act_group_delete"),
    ("idp.", "admin.act_idp"),
];

impl Asked<'_> {
    /// `GET /audit?action=…&actor=…&user=…&before=…`
    pub(super) async fn audit(&self) -> Result<Page, DeskError> {
        let [action, actor, user, before] = ["action", "actor", "user", "before"].map(|name| self.parameter(name));
        let user = user.and_then(|user| UserId::parse(&user));
        let before = before.and_then(|before| before.parse::<u64>().ok());
        let search = AuditSearch { user, actor: actor.clone(), action: action.clone(), before, limit: PER_PAGE };
        let found = self.pages.desk.audit(search).await?;
        let about = match user {
            Some(id) => self.pages.desk.user(id).await.ok().map(|user| user.shown_name),
            None => None,
        };
        let here = self.to("/audit");
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (by, did) = (text(&actor), text(&action));
        let of = user.map(|user| user.to_string()).unwrap_or_default();
        let page = |before: &str| {
            address(&here, &[("action", did.as_str()), ("actor", &by), ("user", &of), ("before", before)])
        };
        let next = found.next.map(|next| page(&next.to_string()));
        let actions: Vec<_> = std::iter::once(self.words.choice("", "admin.any", action.as_deref()))
            .chain(ACTIONS.iter().map(|(value, label)| self.words.choice(value, label, action.as_deref())))
            .collect();
        let values = json!({
            "here": here,
            "actions": actions,
            "asked": { "actor": by, "user": of },
            "about": about,
            "filtered": action.is_some() || actor.is_some() || user.is_some(),
            "pages": pager(before.map(|_| page("")).as_deref(), next.as_deref()),
            "list": entries(self, &found.entries, true),
        });
        let title = Text::of("admin.audit");
        Ok(self.page(Sight { place: "/audit", template: "admin_audit.html", title, values, told: None }))
    }
}

/// Lines as they are shown; with whom each is about where that is not said around them.
pub(super) fn entries(asked: &Asked<'_>, lines: &[AuditLine], says_whom: bool) -> Vec<Value> {
    let entry = |line: &AuditLine| {
        let user = line.user.as_deref().filter(|_| says_whom);
        json!({
            "what": action(&asked.words, &line.action),
            "target": if says_whom { line.target.as_str() } else { "" },
            "href": user.map(|user| asked.to(&format!("/users/{user}"))),
            "at": asked.words.moment(line.at),
            "actor": line.actor,
            "changes": differences(line.before.as_ref(), line.after.as_ref()),
            "reference": line.request_id,
        })
    };
    lines.iter().map(entry).collect()
}

fn action(words: &Words, written: &str) -> String {
    let is_named = |action: &str| action == written || (action.ends_with('.') && written.starts_with(action));
    let known = ACTIONS.iter().find(|(action, _)| is_named(action));
    known.map_or_else(|| written.to_owned(), |(_, label)| words.say(label))
}

/// What is not the same before and after, field by field.
fn differences(before: Option<&Value>, after: Option<&Value>) -> Vec<Value> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    before.into_iter().for_each(|value| flatten("", value, 0, &mut old));
    after.into_iter().for_each(|value| flatten("", value, 0, &mut new));
    let fields: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    fields
        .into_iter()
        .filter(|field| old.get(*field) != new.get(*field))
        .take(MAX_FIELDS)
        .map(|field| json!({ "field": field, "before": old.get(field), "after": new.get(field) }))
        .collect()
}

/// The values in `value` by their paths, such as `attributes.plan`.
fn flatten(path: &str, value: &Value, depth: usize, found: &mut BTreeMap<String, String>) {
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let text = match value {
        Value::Object(members) if depth < MAX_DEPTH && !members.is_empty() => {
            members.iter().for_each(|(name, value)| flatten(&at(name), value, depth.saturating_add(1), found));
            return;
        }
        Value::Null => return,
        Value::Object(members) if members.is_empty() => return,
        Value::String(text) => text.clone(),
        Value::Array(items)
            if depth < MAX_DEPTH && items.iter().all(|item| name_of(item).is_some()) && !items.is_empty() =>
        {
            for (key, name, members) in items.iter().filter_map(name_of) {
                let mut rest = members.clone();
                rest.remove(key);
                let rest = if rest.is_empty() { Value::String(name.to_owned()) } else { Value::Object(rest) };
                flatten(&at(name), &rest, depth.saturating_add(1), found);
            }
            return;
        }
        Value::Array(items) => {
            let shown = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            items.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    if !text.is_empty() {
        found.insert(path.to_owned(), text.chars().take(MAX_VALUE).collect());
    }
}

/// What a member of a list is called by, such as the tier of a grant.
fn name_of(item: &Value) -> Option<(&'static str, &str, &serde_json::Map<String, Value>)> {
    let members = item.as_object()?;
    let named = |key: &'static str| Some((key, members.get(key)?.as_str()?));
    let (key, name) = ["tier", "name", "value", "id"].into_iter().find_map(named)?;
    Some((key, name, members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_field_by_field() {
        let before = json!({ "disabled": false, "groups": ["a", "b"], "attributes": { "plan": "free", "seats": 3 }, "name": "A" });
        let after = json!({ "disabled": true, "groups": ["a"], "attributes": { "plan": "gold", "seats": 3 }, "name": "A", "reason": "x" });
        let told = |before: Option<&Value>, after: Option<&Value>| {
            let lines = differences(before, after);
            lines
                .iter()
                .map(|line| {
                    let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
                    format!("{}: {} > {}", text("field"), text("before"), text("after"))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(Some(&before), Some(&after)),
            ["attributes.plan: free > gold", "disabled: false > true", "groups: a, b > a", "reason: - > x"]
        );
        assert_eq!(told(None, Some(&json!({ "a": null, "b": "", "c": [], "d": 1 }))), ["d: - > 1"]);
        assert_eq!(told(Some(&json!("x")), None), [": x > -"]);
        let deep = json!({ "a": { "b": { "c": { "d": { "e": 1 } } } } });
        assert_eq!(told(None, Some(&deep)), ["a.b.c.d: - > {\"e\":1}"]);
        let grants = json!({ "grants": [{ "tier": "ea", "until": null, "by": "a" }, { "tier": "devel", "until": "x" }, { "tier": "stable" }] });
        assert_eq!(
            told(None, Some(&grants)),
            ["grants.devel.until: - > x", "grants.ea.by: - > a", "grants.stable: - > stable"]
        );
        let long = json!({ "a": "é".repeat(1000) });
        assert_eq!(told(None, Some(&long))[0].chars().count(), "a: - > ".len() + MAX_VALUE);
    }
}
