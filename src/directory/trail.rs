//! What the audit says of a change.

use serde_json::{Map, Value, json};

use super::access_token::AccessToken;
use super::audit::{Actor, NewAuditEntry};
use super::change::UserChange;
use super::group::Group;
use super::user::{ScimResource, TierGrant, User};
use crate::types::{Email, UnixTime};

impl UserChange {
    /// The word of the audit for it.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::SignedIn(_) => "user.sign_in",
            Self::Reported(_) => "user.report",
            Self::Gone { .. } => "user.gone",
            Self::Disable { .. } => "user.disable",
            Self::Enable => "user.enable",
            Self::Grant(_) => "user.grant",
            Self::Revoke { .. } => "user.revoke",
            Self::SetGroups(_) => "user.groups",
            Self::SetAttributes(_) => "user.attributes",
            Self::SignOut => "user.sign_out",
        }
    }
}

impl User {
    /// What people would see of the two, as far as it differs, before and after.
    /// When somebody was seen, what their tokens grant and as of when something
    /// is known is not among it. `None` where nothing of it differs.
    #[must_use]
    pub fn differences(before: Option<&Self>, after: &Self) -> Option<(Option<Value>, Value)> {
        let Some(before) = before else {
            let there = after.shown().into_iter().filter(|(_, value)| !is_empty(value));
            return Some((None, Value::Object(named(there))));
        };
        let both = before.shown().into_iter().zip(after.shown());
        let (olds, news): (Vec<_>, Vec<_>) = both.filter(|(old, new)| old != new).unzip();
        (!news.is_empty()).then(|| (Some(Value::Object(named(olds))), Value::Object(named(news))))
    }

    fn shown(&self) -> Vec<(&'static str, Value)> {
        let time = |time: Option<UnixTime>| json!(time.map(|time| time.to_string()));
        vec![
            ("provider", json!(self.key.provider.as_str())),
            ("subject", json!(self.key.subject)),
            ("user_name", json!(self.user_name)),
            ("email", json!(self.email.as_ref().map(Email::address))),
            ("email_verified", json!(self.email.as_ref().is_some_and(Email::is_verified))),
            ("name", json!(self.name)),
            ("picture", json!(self.picture)),
            ("groups", json!(self.groups)),
            ("disabled_here", json!(self.disabled_here)),
            ("disabled_there", json!(self.disabled_there)),
            ("disabled_reason", json!(self.disabled_reason)),
            ("attributes", Value::Object(self.attributes.clone())),
            ("grants", self.grants.iter().map(grant).collect()),
            ("scim", self.scim.as_ref().map_or(Value::Null, scim)),
            ("valid_from", time(self.valid_from)),
            ("deleted_at", time(self.deleted_at)),
        ]
    }
}

impl NewAuditEntry {
    /// The line for a change of a user, where there is something to tell.
    #[must_use]
    pub fn of_user(
        action: &'static str,
        before: Option<&User>,
        after: &User,
        actor: &Actor,
        request_id: Option<&str>,
    ) -> Option<Self> {
        let (old, new) = User::differences(before, after)?;
        Some(Self {
            actor: actor.clone(),
            action,
            // Who is deleted has lost the name that people know them by.
            target: before.unwrap_or(after).user_name.clone(),
            user: Some(after.id),
            before: old,
            after: Some(new),
            request_id: request_id.map(str::to_owned),
        })
    }

    /// The line for a change of a group. Who came and who went has lines of their own.
    #[must_use]
    pub fn of_group(action: &'static str, before: Option<&Group>, after: Option<&Group>, actor: &Actor) -> Self {
        let shown = |group: &Group| json!({ "name": group.name, "external_id": group.external_id });
        Self {
            actor: actor.clone(),
            action,
            target: before.or(after).map(|group| group.name.clone()).unwrap_or_default(),
            user: None,
            before: before.map(shown),
            after: after.map(shown),
            request_id: None,
        }
    }

    /// The line for a token that was made or revoked; nothing that would open anything.
    #[must_use]
    pub fn of_token(action: &'static str, token: &AccessToken, actor: &Actor) -> Self {
        let shown = json!({
            "id": token.id.to_string(),
            "tiers": token.tiers,
            "expires_at": token.expires_at.to_string(),
            "revoked_at": token.revoked_at.map(|time| time.to_string()),
        });
        Self {
            actor: actor.clone(),
            action,
            target: token.name.clone(),
            user: Some(token.owner),
            before: None,
            after: Some(shown),
            request_id: None,
        }
    }
}

fn named(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

fn grant(grant: &TierGrant) -> Value {
    json!({
        "tier": grant.tier,
        "until": grant.until.map(|until| until.to_string()),
        "given_by": grant.given_by,
        "given_at": grant.given_at.to_string(),
    })
}

/// A client may write a password into a resource (RFC 7643 section 4.1.1).
fn scim(scim: &ScimResource) -> Value {
    let kept = scim.resource.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("password"));
    let resource: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    json!({ "external_id": scim.external_id, "resource": resource })
}
