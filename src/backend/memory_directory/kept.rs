//! What is under the lock of the directory in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::directory::{
    AccessToken, AccessTokenId, Actor, AuditEntry, AuditPage, AuditQuery, ChangeRequest, Changed, DirectoryError,
    EventId, Group, GroupChange, GroupId, GroupPage, GroupQuery, NewAccessToken, NewAuditEntry, NewGroup, Outcome,
    TOKEN_DAY, TOO_MANY_NEW_TOKENS, TOO_MANY_TOKENS, TokenHash, User, UserChange, UserId, UserKey, UserOrder, UserPage,
    UserQuery, UserRef, made_in_a_day, sort_name,
};
use crate::types::UnixTime;

/// What is under the lock.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) users: BTreeMap<UserId, User>,
    pub(super) by_key: HashMap<UserKey, UserId>,
    /// Where everybody stands in the order of names; who is deleted keeps their place.
    pub(super) places: HashMap<UserId, String>,
    pub(super) sequence: u64,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) tokens: HashMap<AccessTokenId, (TokenHash, AccessToken)>,
    pub(super) events: HashMap<[u8; 32], UnixTime>,
    pub(super) audit: Vec<AuditEntry>,
    /// Lines of the audit that ever were.
    audited: u64,
    pub(super) bookmarks: HashMap<String, String>,
}

/// Who changes something, and when.
pub(super) struct Trace<'a> {
    pub(super) actor: &'a Actor,
    pub(super) request_id: Option<&'a str>,
    pub(super) now: UnixTime,
}

impl Kept {
    pub(super) fn of_key(&self, key: &UserKey) -> Option<&User> {
        self.by_key.get(key).and_then(|id| self.users.get(id))
    }

    pub(super) fn find(&self, whom: &UserRef) -> Option<&User> {
        match whom {
            UserRef::Id(id) => self.users.get(id),
            UserRef::Key(key) => self.of_key(key),
        }
    }

    fn live(&self, id: UserId) -> Option<&User> {
        self.users.get(&id).filter(|user| user.deleted_at.is_none())
    }

    pub(super) fn change(&mut self, request: &ChangeRequest) -> Result<Changed, DirectoryError> {
        let ChangeRequest { target, change, actor, new_id, expected_version, event, request_id, now } = request;
        let before = self.find(target).cloned();
        if event.as_ref().is_some_and(|event| self.has_seen(event, *now)) {
            return Ok(Changed { outcome: Outcome::Duplicate, before: before.clone(), after: before });
        }
        let key = match (target, &before) {
            (UserRef::Id(_), Some(user)) if user.deleted_at.is_none() => user.key.clone(),
            (UserRef::Id(_), _) => return Err(DirectoryError::Missing("user")),
            (UserRef::Key(key), _) => key.clone(),
        };
        if expected_version.is_some_and(|expected| before.as_ref().map_or(0, |user| user.version) != expected) {
            return Err(DirectoryError::Changed);
        }
        if before.is_none() && self.users.contains_key(new_id) {
            return Err(DirectoryError::Taken("id"));
        }
        let after = User::apply(before.as_ref(), &key, *new_id, change, *now);
        if let Some(after) = after.filter(|after| after.claims_user_name(before.as_ref(), change)) {
            let rivals = UserQuery { user_name: Some(after.user_name.clone()), ..UserQuery::default() };
            let is_rival =
                |user: &&User| user.id != after.id && user.is_managed_at(&key.provider) && rivals.finds(user);
            if self.users.values().any(|user| is_rival(&user)) {
                return Err(DirectoryError::Taken("user_name"));
            }
        }
        if let Some(event) = event {
            self.events.insert(event.digest, event.expires);
        }
        self.apply(&key, *new_id, change, &Trace { actor, request_id: request_id.as_deref(), now: *now })
    }

    fn has_seen(&self, event: &EventId, now: UnixTime) -> bool {
        self.events.get(&event.digest).is_some_and(|expires| now < *expires)
    }

    pub(super) fn apply(
        &mut self,
        key: &UserKey,
        new_id: UserId,
        change: &UserChange,
        trace: &Trace<'_>,
    ) -> Result<Changed, DirectoryError> {
        let before = self.of_key(key).cloned();
        if before.is_none() && self.users.contains_key(&new_id) {
            return Err(DirectoryError::Taken("id"));
        }
        Ok(match User::apply(before.as_ref(), key, new_id, change, trace.now) {
            None => Changed { outcome: Outcome::Unchanged, after: before.clone(), before },
            Some(after) => {
                if before.as_ref().is_some_and(|before| after.is_same_but_later(before)) {
                    self.users.insert(after.id, after.clone());
                    return Ok(Changed { outcome: Outcome::Unchanged, before, after: Some(after) });
                }
                let after = self.write(change.action(), before.as_ref(), after, trace);
                self.touch_groups(before.as_ref(), &after, trace.now);
                let outcome = if before.is_some() { Outcome::Updated } else { Outcome::Created };
                Changed { outcome, before, after: Some(after) }
            }
        })
    }

    /// Writes a record with its line of the audit; the record as it was written.
    fn write(&mut self, action: &'static str, before: Option<&User>, after: User, trace: &Trace<'_>) -> User {
        self.sequence = self.sequence.saturating_add(1);
        let version = before.map_or(0, |user| user.version).saturating_add(1);
        let after = User { version, sequence: self.sequence, ..after };
        if let Some(entry) = NewAuditEntry::of_user(action, before, &after, trace.actor, trace.request_id) {
            self.note(entry, trace.now);
        }
        if after.deleted_at.is_none() || !self.places.contains_key(&after.id) {
            self.places.insert(after.id, sort_name(&after.user_name));
        }
        self.by_key.insert(after.key.clone(), after.id);
        self.users.insert(after.id, after.clone());
        after
    }

    /// Counts a change of the groups that somebody came into or left.
    fn touch_groups(&mut self, before: Option<&User>, after: &User, now: UnixTime) {
        let none = BTreeSet::new();
        let groups = before.map_or(&none, |user| &user.groups);
        let moved: BTreeSet<&String> = groups.symmetric_difference(&after.groups).collect();
        for group in self.groups.values_mut().filter(|group| moved.contains(&group.name)) {
            group.version = group.version.saturating_add(1);
            group.updated_at = now;
        }
    }

    pub(super) fn page(&self, query: &UserQuery) -> Result<UserPage, DirectoryError> {
        let place = |user: &User| match query.order {
            UserOrder::UserName => (0, self.places.get(&user.id).cloned().unwrap_or_default(), user.id),
            UserOrder::LastSeen => (seen_rank(user), String::new(), user.id),
            UserOrder::Id => (0, String::new(), user.id),
            UserOrder::Created => (user.created_at.as_millis(), String::new(), user.id),
        };
        let mut found: Vec<&User> = self.users.values().filter(|user| query.finds(user)).collect();
        found.sort_by_key(|user| place(user));
        let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
        if let Some(after) = query.after {
            let after = place(self.users.get(&after).ok_or(DirectoryError::Missing("user"))?);
            found.retain(|user| place(user) > after);
        }
        let left = found.into_iter().skip(usize::try_from(query.offset).unwrap_or(usize::MAX));
        let mut users: Vec<User> = left.take(query.limit.saturating_add(1)).cloned().collect();
        let more = users.len() > query.limit;
        users.truncate(query.limit);
        Ok(UserPage { users, total, more })
    }

    pub(super) fn group_page(&self, query: &GroupQuery) -> GroupPage {
        let GroupQuery { name, external_id, member, after, offset, limit } = query;
        let groups_of = member.map(|id| self.live(id).map(|user| user.groups.clone()).unwrap_or_default());
        let mut found: Vec<&Group> = self.groups.values().collect();
        found.retain(|group| {
            name.as_ref().is_none_or(|name| group.name == *name)
                && external_id.as_ref().is_none_or(|id| group.external_id.as_ref() == Some(id))
                && groups_of.as_ref().is_none_or(|groups| groups.contains(&group.name))
        });
        let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
        found.retain(|group| after.as_ref().is_none_or(|after| group.name > *after));
        found.sort_by(|one, other| one.name.cmp(&other.name));
        let left = found.into_iter().skip(usize::try_from(*offset).unwrap_or(usize::MAX));
        GroupPage { groups: left.take(*limit).cloned().collect(), total }
    }

    pub(super) fn members(&self, group: &str) -> BTreeSet<UserId> {
        let live = self.users.values().filter(|user| user.deleted_at.is_none());
        live.filter(|user| user.groups.contains(group)).map(|user| user.id).collect()
    }

    fn check_group(&self, name: &str, own: Option<GroupId>) -> Result<(), DirectoryError> {
        let is_other = |group: &Group| group.name == name && Some(group.id) != own;
        if self.groups.values().any(is_other) { Err(DirectoryError::Taken("name")) } else { Ok(()) }
    }

    fn check_members<'a>(&self, mut members: impl Iterator<Item = &'a UserId>) -> Result<(), DirectoryError> {
        if members.all(|id| self.live(*id).is_some()) { Ok(()) } else { Err(DirectoryError::Missing("member")) }
    }

    /// That `actor` may change the groups called so, with who is in them.
    fn check_reach(&self, names: &[&str], actor: &Actor) -> Result<(), DirectoryError> {
        let mut members = names.iter().flat_map(|name| self.members(name)).filter_map(|id| self.users.get(&id));
        if members.all(|user| user.is_regrouped_by(actor)) { Ok(()) } else { Err(DirectoryError::NotManaged) }
    }

    /// That those who are put into a group are there, and that `actor` may put them into one.
    fn check_new(&self, members: &[UserId], actor: &Actor) -> Result<(), DirectoryError> {
        self.check_members(members.iter())?;
        let mut users = members.iter().filter_map(|id| self.users.get(id));
        if users.all(|user| user.is_regrouped_by(actor)) { Ok(()) } else { Err(DirectoryError::NotManaged) }
    }

    /// Takes `old` from everybody who has it, and gives `new` to `members`; whether anybody changed.
    fn regroup(&mut self, old: Option<&str>, new: Option<&str>, members: &BTreeSet<UserId>, trace: &Trace<'_>) -> bool {
        let mut concerned = old.map(|old| self.members(old)).unwrap_or_default();
        concerned.extend(members);
        let users = concerned.iter().filter_map(|id| self.users.get(id).cloned());
        let users: Vec<User> = users.collect();
        let mut any = false;
        for user in users {
            let new = new.filter(|_| members.contains(&user.id));
            if let Some(after) = user.regrouped(old, new, trace.now) {
                self.write("user.groups", Some(&user), after, trace);
                any = true;
            }
        }
        any
    }

    pub(super) fn create_group(
        &mut self,
        new: &NewGroup,
        actor: &Actor,
        now: UnixTime,
    ) -> Result<Group, DirectoryError> {
        self.check_group(&new.name, None)?;
        if self.groups.contains_key(&new.id) {
            return Err(DirectoryError::Taken("id"));
        }
        self.check_new(&new.members, actor)?;
        self.check_reach(&[&new.name], actor)?;
        let group = new.begun(now);
        self.note(NewAuditEntry::of_group("group.create", None, Some(&group), actor), now);
        let members = new.members.iter().copied().collect();
        self.regroup(None, Some(&group.name), &members, &Trace { actor, request_id: None, now });
        self.groups.insert(group.id, group.clone());
        Ok(group)
    }

    pub(super) fn change_group(
        &mut self,
        id: GroupId,
        change: &GroupChange,
        expected_version: Option<u64>,
        actor: &Actor,
        now: UnixTime,
    ) -> Result<Group, DirectoryError> {
        let before = self.expect_group(id, expected_version)?;
        let after = change.applied_to(&before, now);
        self.check_group(&after.name, Some(id))?;
        let added: Vec<UserId> = change.members.iter().flatten().chain(&change.add).copied().collect();
        self.check_new(&added, actor)?;
        self.check_reach(&[&before.name, &after.name], actor)?;
        let members = change.members_of(&self.members(&before.name));
        let trace = Trace { actor, request_id: None, now };
        let is_other = (&before.name, &before.external_id) != (&after.name, &after.external_id);
        if is_other {
            self.note(NewAuditEntry::of_group("group.change", Some(&before), Some(&after), actor), now);
        }
        let moved = self.regroup(Some(&before.name), Some(&after.name), &members, &trace);
        if !moved && !is_other {
            return Ok(before);
        }
        self.groups.insert(id, after.clone());
        Ok(after)
    }

    pub(super) fn delete_group(
        &mut self,
        id: GroupId,
        expected_version: Option<u64>,
        actor: &Actor,
        now: UnixTime,
    ) -> Result<(), DirectoryError> {
        let group = self.expect_group(id, expected_version)?;
        self.check_reach(&[&group.name], actor)?;
        self.note(NewAuditEntry::of_group("group.delete", Some(&group), None, actor), now);
        self.regroup(Some(&group.name), None, &BTreeSet::new(), &Trace { actor, request_id: None, now });
        self.groups.remove(&id);
        Ok(())
    }

    fn expect_group(&self, id: GroupId, expected_version: Option<u64>) -> Result<Group, DirectoryError> {
        let group = self.groups.get(&id).ok_or(DirectoryError::Missing("group"))?;
        if expected_version.is_some_and(|expected| group.version != expected) {
            return Err(DirectoryError::Changed);
        }
        Ok(group.clone())
    }

    pub(super) fn create_token(
        &mut self,
        new: NewAccessToken,
        limit: usize,
        actor: &Actor,
        now: UnixTime,
    ) -> Result<AccessToken, DirectoryError> {
        let valid_from = self.live(new.owner).ok_or(DirectoryError::Missing("user"))?.valid_from;
        if self.tokens.contains_key(&new.id) || self.tokens.values().any(|(hash, _)| *hash == new.hash) {
            return Err(DirectoryError::Taken("id"));
        }
        let counting =
            self.tokens.values().filter(|(_, token)| token.owner == new.owner && token.counts(valid_from, now));
        if counting.count() >= limit {
            return Err(DirectoryError::TooMany(TOO_MANY_TOKENS));
        }
        let day = now.minus(TOKEN_DAY);
        let made = self.tokens.values().filter(|(_, token)| token.owner == new.owner && token.created_at > day);
        if made.count() >= made_in_a_day(limit) {
            return Err(DirectoryError::TooMany(TOO_MANY_NEW_TOKENS));
        }
        let (hash, token) = new.begun(now);
        self.note(NewAuditEntry::of_token("token.create", &token, actor), now);
        self.tokens.insert(token.id, (hash, token.clone()));
        self.pass(token.owner);
        Ok(token)
    }

    pub(super) fn revoke_token(&mut self, owner: UserId, id: AccessTokenId, actor: &Actor, now: UnixTime) -> bool {
        let held = self.tokens.get_mut(&id).map(|(_, token)| token);
        let Some(token) = held.filter(|token| token.owner == owner && token.ended_at() > now) else { return false };
        token.revoked_at = Some(now);
        let entry = NewAuditEntry::of_token("token.revoke", token, actor);
        self.note(entry, now);
        self.pass(owner);
        true
    }

    /// A change of something that belongs to a user: their record stays as it
    /// is, and everybody who follows is told of them.
    fn pass(&mut self, owner: UserId) {
        self.sequence = self.sequence.saturating_add(1);
        if let Some(user) = self.users.get_mut(&owner) {
            user.sequence = self.sequence;
        }
    }

    pub(super) fn note(&mut self, entry: NewAuditEntry, now: UnixTime) {
        let NewAuditEntry { actor, action, target, user, before, after, request_id } = entry;
        self.audited = self.audited.saturating_add(1);
        let number = self.audited;
        let (actor, action) = (actor.to_string(), action.to_owned());
        self.audit.push(AuditEntry { number, at: now, actor, action, target, user, before, after, request_id });
    }

    pub(super) fn audit_page(&self, query: &AuditQuery) -> AuditPage {
        let AuditQuery { user, actor, action, before, limit } = query;
        let found = self.audit.iter().rev().filter(|entry| {
            user.is_none_or(|user| entry.user == Some(user))
                && actor.as_ref().is_none_or(|actor| entry.actor == *actor)
                && action.as_ref().is_none_or(|action| entry.action.starts_with(action))
                && before.is_none_or(|before| entry.number < before)
        });
        let mut entries: Vec<AuditEntry> = found.take(limit.saturating_add(1)).cloned().collect();
        let more = entries.len() > *limit;
        entries.truncate(*limit);
        AuditPage { entries, more }
    }
}

/// Who was here last comes first, who never was comes last.
fn seen_rank(user: &User) -> i64 {
    user.last_seen.map_or(i64::MAX, |seen| seen.as_millis().saturating_neg())
}
