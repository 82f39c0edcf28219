//! `/Users`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::answer::{Answer, refusal, unavailable};
use super::{MOST_SCANNED, SCANNED_AT_ONCE, ScimArea, TRIES, request};
use crate::directory::{
    Because, Changed, DirectoryError, GroupQuery, User, UserChange, UserId, UserKey, UserOrder, UserQuery, UserRef,
};
use crate::http::pages::Visit;
use crate::scim::schema::USERS;
use crate::scim::{
    Filter, HeldGroup, ListQuery, Parameters, Patch, ScimError, ScimType, Tags, WrittenUser, gone_as_of, list_response,
    show_user,
};

/// The ids of groups by their names, as far as they were asked for.
type GroupIds = HashMap<String, Option<String>>;

impl ScimArea {
    pub(super) async fn users(&self, parameters: &Parameters) -> Result<Answer, ScimError> {
        let query = parameters.list(&USERS)?;
        let (resources, total) = self.find_users(&query).await?;
        Ok(Answer::ok(list_response(&resources, total, query.start_index)))
    }

    /// The users of one page, and how many there are on all.
    pub(super) async fn find_users(&self, query: &ListQuery) -> Result<(Vec<Value>, u64), ScimError> {
        let order = if query.by_user_name { UserOrder::UserName } else { UserOrder::Created };
        let all = UserQuery {
            provider: Some(self.provider.clone()),
            is_scim: Some(true),
            order,
            limit: query.count,
            ..UserQuery::default()
        };
        let mut groups = GroupIds::new();
        let (users, total) = match &query.filter {
            None => {
                let page = UserQuery { offset: query.start_index.saturating_sub(1), ..all };
                let page = self.ports.directory.store().users(page).await.map_err(|error| refusal(&error))?;
                (page.users, page.total)
            }
            Some(filter) => self.filtered_users(filter, query, all, &mut groups).await?,
        };
        let mut resources = Vec::new();
        for user in users {
            let shown = self.shown(&user, query.projection.shows("groups"), &mut groups).await?;
            resources.push(Value::Object(query.projection.of(shown)));
        }
        Ok((resources, total))
    }

    async fn filtered_users(
        &self,
        filter: &Filter,
        query: &ListQuery,
        all: UserQuery,
        groups: &mut GroupIds,
    ) -> Result<(Vec<User>, u64), ScimError> {
        let with_groups = filter.mentions("groups") > 0;
        let mut found = Vec::new();
        let mut total = 0u64;
        let mut take = |user: User| {
            total = total.saturating_add(1);
            if total >= query.start_index && found.len() < query.count {
                found.push(user);
            }
        };
        if let Some(id) = filter.wanted("id") {
            if let Some(user) = self.managed(id).await?
                && filter.holds(&self.shown(&user, with_groups, groups).await?)
            {
                take(user);
            }
            return Ok((found, total));
        }
        let mut page = UserQuery {
            user_name: filter.wanted("userName").map(str::to_owned),
            external_id: filter.wanted("externalId").map(str::to_owned),
            disabled: filter.wanted_flag("active").map(|active| !active),
            limit: SCANNED_AT_ONCE,
            ..all
        };
        loop {
            let part = self.ports.directory.store().users(page.clone()).await.map_err(|error| refusal(&error))?;
            if part.total > MOST_SCANNED {
                // The address that counts, where there are too many to look at every address.
                match (filter.wanted("emails"), &page.email) {
                    (Some(address), None) => {
                        page.email = Some(address.to_owned());
                        continue;
                    }
                    _ => return Err(too_many()),
                }
            }
            page.after = part.users.last().map(|user| user.id);
            for user in part.users {
                // Others have their turn, and the limit of the answer counts, however much there is to compare.
                tokio::task::yield_now().await;
                if filter.holds(&self.shown(&user, with_groups, groups).await?) {
                    take(user);
                }
            }
            if !part.more {
                return Ok((found, total));
            }
        }
    }

    pub(super) async fn user(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let projection = request::parameters(visit)?.projection(&USERS)?;
        let user = self.managed(id).await?.ok_or_else(ScimError::not_found)?;
        if request::tags(visit, "if-none-match").is_some_and(|tags| tags.name(user.version)) {
            return Ok(Answer::empty(304).at_version(user.version));
        }
        let shown = self.shown(&user, projection.shows("groups"), &mut GroupIds::new()).await?;
        Ok(Answer::resource(200, projection.of(shown), user.version))
    }

    pub(super) async fn create_user(&self, visit: &Visit<'_>) -> Result<Answer, ScimError> {
        let projection = request::parameters(visit)?.projection(&USERS)?;
        let written = WrittenUser::created(request::body(visit)?)?;
        let key = UserKey::new(&self.provider, written.subject(self.subject));
        for _ in 0..TRIES {
            let target = UserRef::Key(key.clone());
            let held = self.ports.directory.store().user(target.clone()).await.map_err(|error| refusal(&error))?;
            if held.as_ref().is_some_and(|user| user.scim.is_some() && user.deleted_at.is_none()) {
                return Err(ScimError::new(ScimType::Uniqueness, "this user is there already"));
            }
            let report = written.clone().report(held.as_ref(), self.ports.clock.now());
            // Somebody who signed in, or was told of, becomes SCIM's; the record stays one.
            let version = held.map_or(0, |user| user.version);
            match self.change(visit, target, UserChange::Reported(Box::new(report)), version).await {
                Ok(changed) => {
                    let user = changed.after.filter(|user| user.scim.is_some()).ok_or_else(unavailable)?;
                    let shown = self.shown(&user, projection.shows("groups"), &mut GroupIds::new()).await?;
                    let location = format!("{}/Users/{}", self.base, user.id);
                    return Ok(Answer::resource(201, projection.of(shown), user.version).at(location));
                }
                Err(DirectoryError::Changed) => {}
                Err(error) => return Err(refusal(&error)),
            }
        }
        Err(unavailable())
    }

    pub(super) async fn replace_user(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let body = request::body(visit)?;
        self.write_user(visit, id, |before| WrittenUser::replaced(body.clone(), before)).await
    }

    pub(super) async fn patch_user(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let patch = Patch::parse(request::body(visit)?, &USERS)?;
        self.write_user(visit, id, |before| WrittenUser::patched(&patch, before)).await
    }

    async fn write_user(
        &self,
        visit: &Visit<'_>,
        id: &str,
        write: impl Fn(&User) -> Result<WrittenUser, ScimError>,
    ) -> Result<Answer, ScimError> {
        let projection = request::parameters(visit)?.projection(&USERS)?;
        let wanted = request::tags(visit, "if-match");
        for _ in 0..TRIES {
            let before = self.managed(id).await?.ok_or_else(ScimError::not_found)?;
            check_version(wanted.as_ref(), before.version)?;
            let written = write(&before)?;
            written.check_identity(&before, self.subject)?;
            let change = UserChange::Reported(Box::new(written.report(Some(&before), self.ports.clock.now())));
            match self.change(visit, UserRef::Id(before.id), change, before.version).await {
                Ok(changed) => {
                    let user = changed.after.ok_or_else(unavailable)?;
                    let shown = self.shown(&user, projection.shows("groups"), &mut GroupIds::new()).await?;
                    return Ok(Answer::resource(200, projection.of(shown), user.version));
                }
                Err(DirectoryError::Changed) => {}
                Err(error) => return Err(refusal(&error)),
            }
        }
        Err(unavailable())
    }

    pub(super) async fn delete_user(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let wanted = request::tags(visit, "if-match");
        for _ in 0..TRIES {
            let before = self.managed(id).await?.ok_or_else(ScimError::not_found)?;
            check_version(wanted.as_ref(), before.version)?;
            let change = UserChange::Gone { as_of: gone_as_of(&before, self.ports.clock.now()) };
            match self.change(visit, UserRef::Id(before.id), change, before.version).await {
                Ok(_) => return Ok(Answer::empty(204)),
                Err(DirectoryError::Changed) => {}
                Err(error) => return Err(refusal(&error)),
            }
        }
        Err(unavailable())
    }

    async fn change(
        &self,
        visit: &Visit<'_>,
        target: UserRef,
        change: UserChange,
        version: u64,
    ) -> Result<Changed, DirectoryError> {
        let request_id = Some(visit.request_id().to_owned());
        let because = Because { expected_version: Some(version), event: None, request_id };
        self.ports.directory.change(target, change, self.actor(), because).await
    }

    /// The user with this id, where it is one that this client manages.
    pub(super) async fn managed(&self, id: &str) -> Result<Option<User>, ScimError> {
        let Some(id) = UserId::parse(id) else { return Ok(None) };
        let user = self.ports.directory.store().user(UserRef::Id(id)).await.map_err(|error| refusal(&error))?;
        let is_own =
            |user: &User| user.deleted_at.is_none() && user.key.provider == self.provider && user.scim.is_some();
        Ok(user.filter(is_own))
    }

    async fn shown(
        &self,
        user: &User,
        with_groups: bool,
        known: &mut GroupIds,
    ) -> Result<Map<String, Value>, ScimError> {
        let mut held = Vec::new();
        for name in user.groups.iter().filter(|_| with_groups) {
            let id = match known.get(name) {
                Some(id) => id.clone(),
                None => {
                    let query = GroupQuery { name: Some(name.clone()), limit: 1, ..GroupQuery::default() };
                    let page = self.ports.directory.store().groups(query).await.map_err(|error| refusal(&error))?;
                    let id = page.groups.first().map(|group| group.id.to_string());
                    known.insert(name.clone(), id.clone());
                    id
                }
            };
            held.push(HeldGroup { id, name: name.clone() });
        }
        Ok(show_user(user, &held, &self.base))
    }
}

/// That a resource is at one of the versions that the client names.
pub(super) fn check_version(wanted: Option<&Tags>, version: u64) -> Result<(), ScimError> {
    if wanted.is_none_or(|tags| tags.name(version)) { Ok(()) } else { Err(ScimError::changed()) }
}

pub(super) fn too_many() -> ScimError {
    let why = format!("more than {MOST_SCANNED} resources would have to be looked through: ask for one by `eq`");
    ScimError::new(ScimType::TooMany, why)
}
