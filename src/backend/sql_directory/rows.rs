//! From records to rows and back.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value as Json, json};

use super::statement::{Row, Value};
use crate::directory::{
    AccessToken, AccessTokenId, AsOf, AuditEntry, DirectoryError, Group, GroupId, NewAuditEntry, Rights, ScimResource,
    TierGrant, User, UserId, UserKey, fold, sort_name,
};
use crate::types::{Email, NameSet, ProviderId, UnixTime};

/// The columns of a user as [`user_of`] reads them.
pub(super) const USER: &str = "id, version, sequence, provider, created_at, subject, user_name, email, \
    email_verified, display_name, picture, group_names, rights, disabled_here, disabled_there, disabled_reason, \
    attributes, tier_grants, scim, first_seen, last_seen, updated_at, valid_from, deleted_at, profile_as_of, \
    groups_as_of, state_as_of, rights_as_of";

/// What follows from a user's fields, beside them; and what identifies them.
pub(super) const DERIVED: &str = "key_digest, is_live, is_disabled, sort_name, seen_rank, user_name_digest, \
    email_digest, external_digest, search";

pub(super) const GROUP: &str = "id, name, external_id, created_at, updated_at, version";
pub(super) const TOKEN: &str =
    "t.id, t.owner, t.name, t.tiers, t.created_at, t.expires_at, t.revoked_at, t.last_used_at";
pub(super) const AUDIT: &str = "number, written_at, actor, action, target, user_id, was, is_now, request_id";

/// What is compared in place of a text, whatever the database thinks of it.
pub(super) fn digest_of(text: &str) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

pub(super) fn external_id(user: &User) -> Option<&str> {
    user.scim.as_ref().and_then(|scim| scim.external_id.as_deref())
}

/// The values of [`USER`] and [`DERIVED`].
pub(super) fn values_of(user: &User) -> Vec<Value> {
    let address = user.email.as_ref().map(Email::address);
    let is_live = user.deleted_at.is_none();
    vec![
        user.id.as_bytes().into(),
        user.version.into(),
        user.sequence.into(),
        user.key.provider.as_str().into(),
        user.created_at.into(),
        user.key.subject.as_ref().into(),
        user.user_name.as_str().into(),
        address.into(),
        user.email.as_ref().is_some_and(Email::is_verified).into(),
        user.name.as_deref().into(),
        user.picture.as_deref().into(),
        json!(user.groups).to_string().into(),
        rights_json(&user.rights).to_string().into(),
        user.disabled_here.into(),
        user.disabled_there.into(),
        user.disabled_reason.as_deref().into(),
        json!(user.attributes).to_string().into(),
        grants_json(&user.grants).to_string().into(),
        user.scim.as_ref().map(|scim| scim_json(scim).to_string()).as_deref().into(),
        user.first_seen.into(),
        user.last_seen.into(),
        user.updated_at.into(),
        user.valid_from.into(),
        user.deleted_at.into(),
        user.as_of.profile.into(),
        user.as_of.groups.into(),
        user.as_of.state.into(),
        user.as_of.rights.into(),
        (&user.key.digest()).into(),
        is_live.into(),
        user.is_disabled().into(),
        sort_name(&user.user_name).into(),
        // Who was here last comes first, who never was comes last.
        user.last_seen.map_or(i64::MAX, |seen| seen.as_millis().saturating_neg()).into(),
        (&digest_of(&fold(&user.user_name))).into(),
        address.map(|address| digest_of(&fold(address))).into(),
        external_id(user).map(digest_of).into(),
        user.search_text().into(),
    ]
}

/// A user by [`USER`].
pub(super) fn user_of(row: &mut Row) -> Result<User, DirectoryError> {
    let id = UserId::from_bytes(row.bytes()?);
    let (version, sequence) = (row.count()?, row.count()?);
    let provider = ProviderId::new(&row.text()?);
    let created_at = row.time()?;
    let key = UserKey { provider, subject: row.text()?.into_boxed_str() };
    let user_name = row.text()?;
    let (address, is_verified) = (row.maybe_text()?, row.flag()?);
    Ok(User {
        id,
        key,
        user_name,
        email: address.map(|address| Email::new(&address, is_verified)),
        name: row.maybe_text()?,
        picture: row.maybe_text()?,
        groups: texts(&parsed(&row.text()?)?)?.into_iter().map(str::to_owned).collect(),
        rights: rights_of(&parsed(&row.text()?)?)?,
        disabled_here: row.flag()?,
        disabled_there: row.flag()?,
        disabled_reason: row.maybe_text()?,
        attributes: object(parsed(&row.text()?)?)?,
        grants: grants_of(&parsed(&row.text()?)?)?,
        scim: row.maybe_text()?.map(|text| scim_of(parsed(&text)?)).transpose()?,
        first_seen: row.maybe_time()?,
        last_seen: row.maybe_time()?,
        created_at,
        updated_at: row.time()?,
        valid_from: row.maybe_time()?,
        deleted_at: row.maybe_time()?,
        as_of: AsOf {
            profile: row.maybe_time()?,
            groups: row.maybe_time()?,
            state: row.maybe_time()?,
            rights: row.maybe_time()?,
        },
        version,
        sequence,
    })
}

/// A group by [`GROUP`].
pub(super) fn group_of(row: &mut Row) -> Result<Group, DirectoryError> {
    Ok(Group {
        id: GroupId::from_bytes(row.bytes()?),
        name: row.text()?,
        external_id: row.maybe_text()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        version: row.count()?,
    })
}

/// A token by [`TOKEN`].
pub(super) fn token_of(row: &mut Row) -> Result<AccessToken, DirectoryError> {
    Ok(AccessToken {
        id: AccessTokenId::from_bytes(row.bytes()?),
        owner: UserId::from_bytes(row.bytes()?),
        name: row.text()?,
        tiers: texts(&parsed(&row.text()?)?)?.into_iter().map(str::to_owned).collect(),
        created_at: row.time()?,
        expires_at: row.time()?,
        revoked_at: row.maybe_time()?,
        last_used_at: row.maybe_time()?,
    })
}

/// A line of the audit by [`AUDIT`].
pub(super) fn entry_of(row: &mut Row) -> Result<AuditEntry, DirectoryError> {
    Ok(AuditEntry {
        number: row.count()?,
        at: row.time()?,
        actor: row.text()?,
        action: row.text()?,
        target: row.text()?,
        user: row.maybe_id()?.map(UserId::from_bytes),
        before: row.maybe_text()?.map(|text| parsed(&text)).transpose()?,
        after: row.maybe_text()?.map(|text| parsed(&text)).transpose()?,
        request_id: row.maybe_text()?,
    })
}

/// The columns of [`entry_values`].
pub(super) const NEW_AUDIT: &str = "written_at, actor_digest, actor, action, target, user_id, was, is_now, request_id";

pub(super) fn entry_values(entry: &NewAuditEntry, now: UnixTime) -> Vec<Value> {
    let actor = entry.actor.to_string();
    vec![
        now.into(),
        (&digest_of(&actor)).into(),
        actor.into(),
        entry.action.into(),
        entry.target.as_str().into(),
        Value::Bytes(entry.user.map(|id| id.as_bytes().to_vec())),
        entry.before.as_ref().map(Json::to_string).as_deref().into(),
        entry.after.as_ref().map(Json::to_string).as_deref().into(),
        entry.request_id.as_deref().into(),
    ]
}

fn parsed(text: &str) -> Result<Json, DirectoryError> {
    serde_json::from_str(text).map_err(|_| DirectoryError::Corrupt)
}

fn object(value: Json) -> Result<Map<String, Json>, DirectoryError> {
    match value {
        Json::Object(fields) => Ok(fields),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Err(DirectoryError::Corrupt),
    }
}

fn texts(value: &Json) -> Result<Vec<&str>, DirectoryError> {
    let items = value.as_array().ok_or(DirectoryError::Corrupt)?;
    items.iter().map(|item| item.as_str().ok_or(DirectoryError::Corrupt)).collect()
}

fn rights_json(rights: &Rights) -> Json {
    let names = |names: &NameSet| names.iter().map(Json::from).collect::<Json>();
    json!({
        "scopes": names(&rights.scopes),
        "permissions": names(&rights.permissions),
        "groups": names(&rights.groups),
    })
}

fn rights_of(value: &Json) -> Result<Rights, DirectoryError> {
    let names = |name: &str| -> Result<NameSet, DirectoryError> {
        Ok(texts(value.get(name).ok_or(DirectoryError::Corrupt)?)?.into_iter().collect())
    };
    Ok(Rights { scopes: names("scopes")?, permissions: names("permissions")?, groups: names("groups")? })
}

fn grants_json(grants: &[TierGrant]) -> Json {
    let one = |grant: &TierGrant| {
        json!({
            "tier": grant.tier,
            "until": grant.until.map(UnixTime::as_millis),
            "given_by": grant.given_by,
            "given_at": grant.given_at.as_millis(),
        })
    };
    grants.iter().map(one).collect()
}

fn grants_of(value: &Json) -> Result<Vec<TierGrant>, DirectoryError> {
    let one = |grant: &Json| {
        let text = |name: &str| grant.get(name).and_then(Json::as_str).map(str::to_owned);
        let time = |name: &str| grant.get(name).and_then(Json::as_i64).map(UnixTime::from_millis);
        // An end that cannot be read must not make a grant one for good.
        let until = match grant.get("until") {
            Some(Json::Null) => None,
            Some(_) | None => Some(time("until")?),
        };
        Some(TierGrant { tier: text("tier")?, until, given_by: text("given_by")?, given_at: time("given_at")? })
    };
    let grants = value.as_array().ok_or(DirectoryError::Corrupt)?;
    grants.iter().map(|grant| one(grant).ok_or(DirectoryError::Corrupt)).collect()
}

fn scim_json(scim: &ScimResource) -> Json {
    json!({ "external_id": scim.external_id, "resource": scim.resource })
}

fn scim_of(value: Json) -> Result<ScimResource, DirectoryError> {
    let mut fields = object(value)?;
    let external_id = match fields.remove("external_id") {
        Some(Json::String(id)) => Some(id),
        Some(Json::Null) => None,
        Some(_) | None => return Err(DirectoryError::Corrupt),
    };
    Ok(ScimResource { external_id, resource: object(fields.remove("resource").ok_or(DirectoryError::Corrupt)?)? })
}
