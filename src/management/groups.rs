//! The groups of one user: roles at Auth0, groups at Keycloak.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Kind;
use super::member;
use super::path::encode_segment;
use super::walk::WalkError;

/// The most entries that both APIs give at a time.
const PAGE: u32 = 100;

/// Where the page `page` of the groups of `subject` is.
#[must_use]
pub fn groups_path(kind: Kind, subject: &str, page: u32) -> String {
    let user = encode_segment(subject);
    match kind {
        Kind::Auth0 => format!("users/{user}/roles?page={page}&per_page={PAGE}"),
        Kind::Keycloak => {
            format!("users/{user}/groups?first={}&max={PAGE}&briefRepresentation=true", page.saturating_mul(PAGE))
        }
    }
}

/// Adds the groups of a page; whether there may be more of them.
///
/// # Errors
/// When the page is not of its form.
pub fn read_groups(kind: Kind, page: &[u8], found: &mut BTreeSet<String>) -> Result<bool, WalkError> {
    let entries: Vec<Value> = serde_json::from_slice(page).map_err(|_| WalkError::Malformed)?;
    // At Keycloak groups of one name may stand below different others.
    let name = match kind {
        Kind::Auth0 => "name",
        Kind::Keycloak => "path",
    };
    for entry in &entries {
        let name = entry.get(name).and_then(Value::as_str).and_then(member::as_group);
        found.insert(name.ok_or(WalkError::Malformed)?);
    }
    Ok(u32::try_from(entries.len()).is_ok_and(|count| count >= PAGE))
}
