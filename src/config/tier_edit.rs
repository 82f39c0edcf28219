//! Changes the `tier` of one app where it is written, and nothing else.

use super::node::{Content, Node, Origin};
use super::yaml;

/// Why the tier cannot be changed where it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TierEditError {
    /// The text is no YAML any more.
    #[error("the file cannot be read any more: {0}")]
    Unreadable(String),
    /// It says nothing of a tier.
    #[error("no `tier` is written there")]
    Missing,
    /// A variable, an alias, an escape or a block.
    #[error("the `tier` on line {line} is not written as plain `{tier}`: change it by hand")]
    NotPlain {
        /// Its line, counted from 1.
        line: u64,
        /// The tier that was looked for.
        tier: String,
    },
    /// The `path` names the tier and would go on naming it.
    #[error("the `path` names the tier `{0}`: write `{{tier}}` in its place first, then the path follows")]
    PathNamesTier(String),
    /// More than the tier would change, as where other values refer to it.
    #[error("more than the tier would change, as other values refer to it: change it by hand")]
    ChangesMore,
}

/// The `text` of a file in which the app's tier is `to` in place of `from`.
/// `item` is the app's position under `apps` of a config; `None` in a file of
/// its own. Comments, order, quotes and line ends stay.
///
/// # Errors
/// When not exactly that can be done.
pub fn with_tier(text: &str, item: Option<usize>, from: &str, to: &str) -> Result<String, TierEditError> {
    let before = parse(text)?;
    let app = find(&before, item).ok_or(TierEditError::Missing)?;
    check_path(app, from)?;
    let tier = app.child("tier").ok_or(TierEditError::Missing)?;
    let Origin::File { line, column } = tier.node.origin else { return Err(TierEditError::Missing) };
    let not_plain = || TierEditError::NotPlain { line, tier: from.to_owned() };
    if !matches!(&tier.node.value, Content::Text(held) if held == from) {
        return Err(not_plain());
    }
    let start = offset(text, line, column).ok_or_else(not_plain)?;
    let (head, rest) = text.split_at_checked(start).ok_or_else(not_plain)?;
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
    let written = format!("{}{from}{}", text_of(quote), text_of(quote));
    let tail = rest.strip_prefix(&written).ok_or_else(not_plain)?;
    let changed = format!("{head}{}{to}{}{tail}", text_of(quote), text_of(quote));

    let mut expected = before.to_json();
    let pointer = item.map_or_else(|| "/tier".to_owned(), |item| format!("/apps/{item}/tier"));
    *expected.pointer_mut(&pointer).ok_or(TierEditError::Missing)? = to.into();
    if parse(&changed)?.to_json() != expected {
        return Err(TierEditError::ChangesMore);
    }
    Ok(changed)
}

/// Whether the app's text can follow it into another tier without a change:
/// what a folder has to say for it to be moved.
///
/// # Errors
/// When the text itself names the tier.
pub fn check_names_no_tier(text: &str, tier: &str) -> Result<(), TierEditError> {
    let app = parse(text)?;
    check_path(&app, tier)?;
    match app.child("tier").map(|entry| &entry.node.origin) {
        Some(Origin::File { line, .. }) => Err(TierEditError::NotPlain { line: *line, tier: tier.to_owned() }),
        Some(Origin::Variable(_) | Origin::Implied) | None => Ok(()),
    }
}

fn parse(text: &str) -> Result<Node, TierEditError> {
    let mut faults = Vec::new();
    let node = yaml::parse(text, &mut faults).map_err(|error| TierEditError::Unreadable(error.to_string()))?;
    if faults.is_empty() { Ok(node) } else { Err(TierEditError::Unreadable("a key stands twice".to_owned())) }
}

fn find(root: &Node, item: Option<usize>) -> Option<&Node> {
    let Some(item) = item else { return Some(root) };
    match &root.child("apps")?.node.value {
        Content::List(items) => items.get(item),
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::Map(_) => None,
    }
}

fn check_path(app: &Node, tier: &str) -> Result<(), TierEditError> {
    match app.child("path").map(|entry| &entry.node.value) {
        Some(Content::Text(path)) if path.split('/').any(|segment| segment == tier) => {
            Err(TierEditError::PathNamesTier(tier.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The position in bytes of a place that counts characters.
fn offset(text: &str, line: u64, column: u64) -> Option<usize> {
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut start = mark;
    for _ in 1..line {
        start = start.checked_add(text.get(start..)?.find('\n')?)?.checked_add(1)?;
    }
    let before = usize::try_from(column.checked_sub(1)?).ok()?;
    let within: usize = text.get(start..)?.chars().take(before).map(char::len_utf8).sum();
    start.checked_add(within)
}

fn text_of(quote: Option<char>) -> String {
    quote.map(String::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_the_tier_and_nothing_else() {
        for (before, after) in [
            ("tier: devel\nupstream: x\n", "tier: ea\nupstream: x\n"),
            (
                "# tier: devel\ntier:   'devel'   # devel\r\nupstream: x",
                "# tier: devel\ntier:   'ea'   # devel\r\nupstream: x",
            ),
            ("{ \"upstream\": \"x\", \"tier\": \"devel\" }", "{ \"upstream\": \"x\", \"tier\": \"ea\" }"),
            ("\u{feff}tier: devel", "\u{feff}tier: ea"),
            ("---\ntitle: héllo wörld\n\n\ntier:\n  devel\n", "---\ntitle: héllo wörld\n\n\ntier:\n  ea\n"),
            ("{titlé: devel, tier: devel}", "{titlé: devel, tier: ea}"),
            ("path: '/x/{tier}/devel-tools'\ntier: devel", "path: '/x/{tier}/devel-tools'\ntier: ea"),
            ("rules:\n- {path: /x, tier: devel}\ntier: devel\n", "rules:\n- {path: /x, tier: devel}\ntier: ea\n"),
        ] {
            assert_eq!(with_tier(before, None, "devel", "ea").as_deref(), Ok(after));
        }
        let config = "apps:\n  - { name: a, tier: devel }\n  - name: b # devel\n    tier: \"devel\"\n";
        let after = "apps:\n  - { name: a, tier: devel }\n  - name: b # devel\n    tier: \"ea\"\n";
        assert_eq!(with_tier(config, Some(1), "devel", "ea").as_deref(), Ok(after));
    }

    #[test]
    fn refuses_what_it_cannot_change_alone() {
        let not_plain = |line| TierEditError::NotPlain { line, tier: "devel".to_owned() };
        for (text, error) in [
            ("upstream: x", TierEditError::Missing),
            ("tier: ${TIER}", not_plain(1)),
            ("tier: stable", not_plain(1)),
            ("tier: \"d\\x65vel\"", not_plain(1)),
            ("tier: devel\npath: /apps/devel/x", TierEditError::PathNamesTier("devel".to_owned())),
        ] {
            assert_eq!(with_tier(text, None, "devel", "ea"), Err(error), "{text}");
        }
        for text in ["tier: &t devel\ntitle: *t\n", "title: &t devel\ntier: *t\n", "tier: [", "tier: a\ntier: devel"] {
            assert!(with_tier(text, None, "devel", "ea").is_err(), "{text}");
        }
        assert_eq!(with_tier("apps: []", Some(0), "devel", "ea"), Err(TierEditError::Missing));
    }

    #[test]
    fn a_folder_says_its_tier_alone() {
        assert_eq!(check_names_no_tier("title: x\npath: /x/{tier}", "devel"), Ok(()));
        assert_eq!(check_names_no_tier("", "devel"), Ok(()));
        assert!(check_names_no_tier("tier: devel", "devel").is_err());
        assert!(check_names_no_tier("path: /devel/x", "devel").is_err());
    }
}
