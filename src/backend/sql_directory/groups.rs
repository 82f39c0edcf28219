//! Changes of groups and of personal access tokens.

use std::collections::BTreeSet;

use super::rows::{GROUP, TOKEN, digest_of, group_of, token_of};
use super::statement::{Statement, Value};
use super::writing::{Failure, Work, Writing};
use crate::directory::{
    AccessToken, AccessTokenId, Actor, DirectoryError, Group, GroupChange, GroupId, NewAccessToken, NewAuditEntry,
    NewGroup, TOKEN_DAY, TOO_MANY_NEW_TOKENS, TOO_MANY_TOKENS, User, UserId, made_in_a_day,
};
use crate::types::UnixTime;

/// Ids of one question.
const IDS: usize = 500;

pub(super) struct CreateGroup {
    pub(super) group: NewGroup,
    pub(super) actor: Actor,
    pub(super) now: UnixTime,
}

impl Work for CreateGroup {
    type Output = Group;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<Group, Failure> {
        let Self { group: new, actor, now } = self;
        check_name(writing, &new.name, None).await?;
        if find_group(writing, new.id).await?.is_some() {
            return Err(DirectoryError::Taken("id").into());
        }
        check_members(writing, new.members.iter().copied().collect(), actor).await?;
        check_reach(writing, &new.name, actor).await?;
        let group = new.begun(*now);
        writing.note(&[NewAuditEntry::of_group("group.create", None, Some(&group), actor)], *now).await?;
        let members = new.members.iter().copied().collect();
        regroup(writing, None, Some(&group.name), &members, actor, *now).await?;
        let insert = Statement::new(
            "INSERT INTO directory_group (id, name_digest, name, external_digest, external_id, created_at, updated_at, \
             version) VALUES ",
        );
        let row = vec![
            group.id.as_bytes().into(),
            (&digest_of(&group.name)).into(),
            group.name.as_str().into(),
            group.external_id.as_deref().map(digest_of).into(),
            group.external_id.as_deref().into(),
            group.created_at.into(),
            group.updated_at.into(),
            group.version.into(),
        ];
        writing.link.run(insert.table([row])).await?;
        Ok(group)
    }
}

pub(super) struct ChangeGroup {
    pub(super) id: GroupId,
    pub(super) change: GroupChange,
    pub(super) expected_version: Option<u64>,
    pub(super) actor: Actor,
    pub(super) now: UnixTime,
}

impl Work for ChangeGroup {
    type Output = Group;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<Group, Failure> {
        let Self { id, change, expected_version, actor, now } = self;
        let before = expect_group(writing, *id, *expected_version).await?;
        let after = change.applied_to(&before, *now);
        check_name(writing, &after.name, Some(*id)).await?;
        check_members(writing, change.members.iter().flatten().chain(&change.add).copied().collect(), actor).await?;
        check_reach(writing, &before.name, actor).await?;
        check_reach(writing, &after.name, actor).await?;
        let held = members(writing, &before.name).await?;
        let members = change.members_of(&held);
        let is_other = (&before.name, &before.external_id) != (&after.name, &after.external_id);
        if is_other {
            let entry = NewAuditEntry::of_group("group.change", Some(&before), Some(&after), actor);
            writing.note(&[entry], *now).await?;
        }
        let moved = regroup(writing, Some(&before.name), Some(&after.name), &members, actor, *now).await?;
        if !moved && !is_other {
            return Ok(before);
        }
        let update = Statement::new(
            "UPDATE directory_group SET name_digest = ?, name = ?, external_digest = ?, external_id = ?, \
             updated_at = ?, version = ? WHERE id = ?",
        );
        let update = update.bind(&digest_of(&after.name)).bind(after.name.as_str());
        let external = after.external_id.as_deref();
        let update = update.bind(external.map(digest_of)).bind(external).bind(after.updated_at).bind(after.version);
        writing.link.run(update.bind(id.as_bytes())).await?;
        Ok(after)
    }
}

pub(super) struct DeleteGroup {
    pub(super) id: GroupId,
    pub(super) expected_version: Option<u64>,
    pub(super) actor: Actor,
    pub(super) now: UnixTime,
}

impl Work for DeleteGroup {
    type Output = ();

    async fn run(&self, writing: &mut Writing<'_>) -> Result<(), Failure> {
        let Self { id, expected_version, actor, now } = self;
        let group = expect_group(writing, *id, *expected_version).await?;
        check_reach(writing, &group.name, actor).await?;
        writing.note(&[NewAuditEntry::of_group("group.delete", Some(&group), None, actor)], *now).await?;
        regroup(writing, Some(&group.name), None, &BTreeSet::new(), actor, *now).await?;
        writing.link.run(Statement::new("DELETE FROM directory_group WHERE id = ?").bind(id.as_bytes())).await?;
        Ok(())
    }
}

async fn find_group(writing: &mut Writing<'_>, id: GroupId) -> Result<Option<Group>, Failure> {
    let select = Statement::new(format!("SELECT {GROUP} FROM directory_group WHERE id = ?")).bind(id.as_bytes());
    let row = writing.link.row(select).await?;
    Ok(row.map(|mut row| group_of(&mut row)).transpose()?)
}

async fn expect_group(writing: &mut Writing<'_>, id: GroupId, version: Option<u64>) -> Result<Group, Failure> {
    let group = find_group(writing, id).await?.ok_or(DirectoryError::Missing("group"))?;
    if version.is_some_and(|version| group.version != version) {
        return Err(DirectoryError::Changed.into());
    }
    Ok(group)
}

async fn check_name(writing: &mut Writing<'_>, name: &str, own: Option<GroupId>) -> Result<(), Failure> {
    let select = Statement::new("SELECT id FROM directory_group WHERE name_digest = ?").bind(&digest_of(name));
    let held = writing.link.row(select).await?.map(|mut row| row.bytes().map(GroupId::from_bytes)).transpose()?;
    if held.is_some() && held != own { Err(DirectoryError::Taken("name").into()) } else { Ok(()) }
}

/// That those who are put into a group are there, and that `actor` may put them into one.
async fn check_members(writing: &mut Writing<'_>, members: BTreeSet<UserId>, actor: &Actor) -> Result<(), Failure> {
    let members: Vec<UserId> = members.into_iter().collect();
    for some in members.chunks(IDS) {
        let select = Statement::new("SELECT COUNT(*) FROM directory_user WHERE is_live = 1 AND id IN ");
        let row = writing.link.row(select.list(ids(some))).await?;
        let found = row.ok_or(DirectoryError::Corrupt)?.count()?;
        if usize::try_from(found) != Ok(some.len()) {
            return Err(DirectoryError::Missing("member").into());
        }
    }
    check_managed(writing, &members, actor).await
}

/// That `actor` may change the group called so, with who is in it.
async fn check_reach(writing: &mut Writing<'_>, group: &str, actor: &Actor) -> Result<(), Failure> {
    let Actor::Scim(_) = actor else { return Ok(()) };
    let members: Vec<UserId> = members(writing, group).await?.into_iter().collect();
    check_managed(writing, &members, actor).await
}

async fn check_managed(writing: &mut Writing<'_>, members: &[UserId], actor: &Actor) -> Result<(), Failure> {
    let Actor::Scim(_) = actor else { return Ok(()) };
    for some in members.chunks(IDS) {
        let users = writing.users(Statement::new("id IN ").list(ids(some))).await?;
        if !users.iter().all(|user| user.is_regrouped_by(actor)) {
            return Err(DirectoryError::NotManaged.into());
        }
    }
    Ok(())
}

fn ids(some: &[UserId]) -> impl Iterator<Item = Value> {
    some.iter().map(|id| id.as_bytes().into())
}

async fn members(writing: &mut Writing<'_>, group: &str) -> Result<BTreeSet<UserId>, Failure> {
    let select = Statement::new("SELECT user_id FROM directory_user_group WHERE name_digest = ?");
    let rows = writing.link.rows(select.bind(&digest_of(group))).await?;
    Ok(rows.into_iter().map(|mut row| row.bytes().map(UserId::from_bytes)).collect::<Result<_, _>>()?)
}

/// Takes `old` from everybody who has it, and gives `new` to `members`; whether anybody changed.
async fn regroup(
    writing: &mut Writing<'_>,
    old: Option<&str>,
    new: Option<&str>,
    members: &BTreeSet<UserId>,
    actor: &Actor,
    now: UnixTime,
) -> Result<bool, Failure> {
    let mut concerned = match old {
        Some(old) => self::members(writing, old).await?,
        None => BTreeSet::new(),
    };
    concerned.extend(members);
    let concerned: Vec<UserId> = concerned.into_iter().collect();
    let mut any = false;
    for some in concerned.chunks(IDS) {
        let mut users = writing.users(Statement::new("id IN ").list(ids(some))).await?;
        users.sort_by_key(|user| user.id);
        let mut changed: Vec<(User, User)> = Vec::new();
        for user in users {
            let new = new.filter(|_| members.contains(&user.id));
            if let Some(after) = user.regrouped(old, new, now) {
                let after = writing.numbered(Some(&user), after);
                changed.push((user, after));
            }
        }
        let records: Vec<_> = changed.iter().map(|(before, after)| (Some(before), after)).collect();
        writing.save(&records).await?;
        let entries: Vec<NewAuditEntry> = changed
            .iter()
            .filter_map(|(before, after)| NewAuditEntry::of_user("user.groups", Some(before), after, actor, None))
            .collect();
        writing.note(&entries, now).await?;
        any |= !changed.is_empty();
    }
    Ok(any)
}

pub(super) struct CreateToken {
    pub(super) token: NewAccessToken,
    pub(super) limit: usize,
    pub(super) actor: Actor,
    pub(super) now: UnixTime,
}

impl Work for CreateToken {
    type Output = AccessToken;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<AccessToken, Failure> {
        let Self { token: new, limit, actor, now } = self;
        let owner = Statement::new("SELECT COUNT(*) FROM directory_user WHERE is_live = 1 AND id = ?");
        if count(writing, owner.bind(new.owner.as_bytes())).await? == 0 {
            return Err(DirectoryError::Missing("user").into());
        }
        let same = Statement::new("SELECT COUNT(*) FROM directory_token WHERE id = ? OR hash = ?");
        if count(writing, same.bind(new.id.as_bytes()).bind(&new.hash.0)).await? > 0 {
            return Err(DirectoryError::Taken("id").into());
        }
        let counting = Statement::new(
            "SELECT COUNT(*) FROM directory_token t JOIN directory_user u ON u.id = t.owner WHERE t.owner = ? \
             AND t.expires_at > ? AND (t.revoked_at IS NULL OR t.revoked_at > ?) \
             AND (u.valid_from IS NULL OR t.created_at >= u.valid_from)",
        );
        let held = count(writing, counting.bind(new.owner.as_bytes()).bind(*now).bind(*now)).await?;
        if usize::try_from(held).is_ok_and(|held| held >= *limit) {
            return Err(DirectoryError::TooMany(TOO_MANY_TOKENS).into());
        }
        let made = Statement::new("SELECT COUNT(*) FROM directory_token WHERE owner = ? AND created_at > ?");
        let made = count(writing, made.bind(new.owner.as_bytes()).bind(now.minus(TOKEN_DAY))).await?;
        if usize::try_from(made).is_ok_and(|made| made >= made_in_a_day(*limit)) {
            return Err(DirectoryError::TooMany(TOO_MANY_NEW_TOKENS).into());
        }
        let (hash, token) = new.clone().begun(*now);
        writing.note(&[NewAuditEntry::of_token("token.create", &token, actor)], *now).await?;
        let insert = Statement::new(
            "INSERT INTO directory_token (id, hash, owner, name, tiers, created_at, expires_at) VALUES ",
        );
        let row = vec![
            token.id.as_bytes().into(),
            (&hash.0).into(),
            token.owner.as_bytes().into(),
            token.name.as_str().into(),
            serde_json::json!(token.tiers).to_string().into(),
            token.created_at.into(),
            token.expires_at.into(),
        ];
        writing.link.run(insert.table([row])).await?;
        pass(writing, token.owner).await?;
        Ok(token)
    }
}

pub(super) struct RevokeToken {
    pub(super) owner: UserId,
    pub(super) token: AccessTokenId,
    pub(super) actor: Actor,
    pub(super) now: UnixTime,
}

impl Work for RevokeToken {
    type Output = bool;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<bool, Failure> {
        let Self { owner, token, actor, now } = self;
        let select = Statement::new(format!("SELECT {TOKEN} FROM directory_token t WHERE t.id = ? AND t.owner = ?"));
        let row = writing.link.row(select.bind(token.as_bytes()).bind(owner.as_bytes())).await?;
        let held = row.map(|mut row| token_of(&mut row)).transpose()?.filter(|held| held.ended_at() > *now);
        let Some(held) = held else { return Ok(false) };
        let revoked = AccessToken { revoked_at: Some(*now), ..held };
        let update = Statement::new("UPDATE directory_token SET revoked_at = ? WHERE id = ?");
        writing.link.run(update.bind(*now).bind(token.as_bytes())).await?;
        writing.note(&[NewAuditEntry::of_token("token.revoke", &revoked, actor)], *now).await?;
        pass(writing, *owner).await?;
        Ok(true)
    }
}

async fn count(writing: &mut Writing<'_>, statement: Statement) -> Result<u64, Failure> {
    Ok(writing.link.row(statement).await?.ok_or(DirectoryError::Corrupt)?.count()?)
}

/// A change of something that belongs to a user: their record stays as it is,
/// and everybody who follows is told of them.
async fn pass(writing: &mut Writing<'_>, owner: UserId) -> Result<(), Failure> {
    let update = Statement::new("UPDATE directory_user SET sequence = ? WHERE id = ?").bind(writing.next());
    writing.link.run(update.bind(owner.as_bytes())).await?;
    Ok(())
}
