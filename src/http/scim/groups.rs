//! `/Groups`.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::answer::{Answer, refusal};
use super::users::{check_version, too_many};
use super::{MOST_SCANNED, SCANNED_AT_ONCE, ScimArea, request};
use crate::directory::{Group, GroupId, GroupQuery, NewGroup, UserId, UserOrder, UserQuery};
use crate::http::pages::Visit;
use crate::scim::schema::GROUPS;
use crate::scim::{
    Filter, ListQuery, Parameters, Patch, Projection, ScimError, ScimType, WrittenGroup, list_response, show_group,
};

/// How many members one answer lists. A group with more says nothing of them.
const MOST_MEMBERS: usize = 10_000;
/// How many members are looked up at a time.
const AT_A_TIME: usize = 16;

impl ScimArea {
    pub(super) async fn groups(&self, parameters: &Parameters) -> Result<Answer, ScimError> {
        let query = parameters.list(&GROUPS)?;
        let (resources, total) = self.find_groups(&query).await?;
        Ok(Answer::ok(list_response(&resources, total, query.start_index)))
    }

    /// The groups of one page, and how many there are on all.
    pub(super) async fn find_groups(&self, query: &ListQuery) -> Result<(Vec<Value>, u64), ScimError> {
        let (groups, total) = match &query.filter {
            None => {
                let offset = query.start_index.saturating_sub(1);
                let page = GroupQuery { offset, limit: query.count, ..GroupQuery::default() };
                let page = self.ports.directory.store().groups(page).await.map_err(|error| refusal(&error))?;
                (page.groups, page.total)
            }
            Some(filter) => self.filtered_groups(filter, query).await?,
        };
        let mut resources = Vec::new();
        let mut room = MOST_MEMBERS;
        for group in groups {
            resources.push(Value::Object(self.shown_group(&group, &query.projection, &mut room).await?));
        }
        Ok((resources, total))
    }

    async fn filtered_groups(&self, filter: &Filter, query: &ListQuery) -> Result<(Vec<Group>, u64), ScimError> {
        let member = filter.wanted("members");
        if filter.mentions("members") > usize::from(member.is_some()) {
            let why = "`members` is looked for once, by `members eq \"id\"`, joined by `and`";
            return Err(ScimError::new(ScimType::InvalidFilter, why));
        }
        let member_id = member.map(UserId::parse);
        if let Some(id) = member
            && self.managed(id).await?.is_none()
        {
            return Ok((Vec::new(), 0));
        }
        let mut found = Vec::new();
        let mut total = 0u64;
        let mut take = |group: Group| {
            // The directory has seen to it that the member is in it.
            let members = member.map(|id| json!([{ "value": id }]));
            let mut shown = show_group(&group, None, &self.base);
            shown.extend(members.map(|members| ("members".to_owned(), members)));
            if filter.holds(&shown) {
                total = total.saturating_add(1);
                if total >= query.start_index && found.len() < query.count {
                    found.push(group);
                }
            }
        };
        let mut page = GroupQuery {
            name: filter.wanted("displayName").map(str::to_owned),
            external_id: filter.wanted("externalId").map(str::to_owned),
            member: member_id.flatten(),
            after: None,
            offset: 0,
            limit: SCANNED_AT_ONCE,
        };
        if let Some(id) = filter.wanted("id") {
            let Some(group) = self.kept_group(id).await? else { return Ok((found, total)) };
            page.name = Some(group.name);
        }
        loop {
            let part = self.ports.directory.store().groups(page.clone()).await.map_err(|error| refusal(&error))?;
            if part.total > MOST_SCANNED {
                return Err(too_many());
            }
            page.after = part.groups.last().map(|group| group.name.clone());
            let is_last = part.groups.len() < SCANNED_AT_ONCE;
            part.groups.into_iter().for_each(&mut take);
            if is_last {
                return Ok((found, total));
            }
        }
    }

    pub(super) async fn group(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let projection = request::parameters(visit)?.projection(&GROUPS)?;
        let group = self.kept_group(id).await?.ok_or_else(ScimError::not_found)?;
        if request::tags(visit, "if-none-match").is_some_and(|tags| tags.name(group.version)) {
            return Ok(Answer::empty(304).at_version(group.version));
        }
        self.answer_group(200, &group, &projection).await
    }

    pub(super) async fn create_group(&self, visit: &Visit<'_>) -> Result<Answer, ScimError> {
        let projection = request::parameters(visit)?.projection(&GROUPS)?;
        let WrittenGroup { name, external_id, members } = WrittenGroup::parse(request::body(visit)?)?;
        self.check_members(&members).await?;
        let group = NewGroup { id: GroupId::draw(self.ports.random.as_ref()), name, external_id, members };
        let made = self.ports.directory.create_group(group, self.actor()).await.map_err(|error| refusal(&error))?;
        let location = format!("{}/Groups/{}", self.base, made.id);
        Ok(self.answer_group(201, &made, &projection).await?.at(location))
    }

    pub(super) async fn replace_group(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let projection = request::parameters(visit)?.projection(&GROUPS)?;
        let change = WrittenGroup::parse(request::body(visit)?)?.into_change();
        let changed = self.change_group(visit, id, change).await?;
        self.answer_group(200, &changed, &projection).await
    }

    pub(super) async fn patch_group(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let projection = request::parameters(visit)?.projection(&GROUPS)?;
        let change = Patch::parse(request::body(visit)?, &GROUPS)?.group_change()?;
        let changed = self.change_group(visit, id, change).await?;
        if projection.is_asked_for() {
            return self.answer_group(200, &changed, &projection).await;
        }
        // A group may have very many members, and the client knows what it wrote.
        Ok(Answer::empty(204).at_version(changed.version))
    }

    async fn change_group(
        &self,
        visit: &Visit<'_>,
        id: &str,
        change: crate::directory::GroupChange,
    ) -> Result<Group, ScimError> {
        let group = self.kept_group(id).await?.ok_or_else(ScimError::not_found)?;
        let wanted = request::tags(visit, "if-match");
        check_version(wanted.as_ref(), group.version)?;
        let added: Vec<UserId> = change.members.iter().flatten().chain(&change.add).copied().collect();
        self.check_members(&added).await?;
        let version = wanted.map(|_| group.version);
        let changed = self.ports.directory.change_group(group.id, change, version, self.actor()).await;
        changed.map_err(|error| refusal(&error))
    }

    pub(super) async fn delete_group(&self, visit: &Visit<'_>, id: &str) -> Result<Answer, ScimError> {
        let group = self.kept_group(id).await?.ok_or_else(ScimError::not_found)?;
        let wanted = request::tags(visit, "if-match");
        check_version(wanted.as_ref(), group.version)?;
        let version = wanted.map(|_| group.version);
        let deleted = self.ports.directory.delete_group(group.id, version, self.actor()).await;
        deleted.map_err(|error| refusal(&error))?;
        Ok(Answer::empty(204))
    }

    async fn kept_group(&self, id: &str) -> Result<Option<Group>, ScimError> {
        let Some(id) = GroupId::parse(id) else { return Ok(None) };
        self.ports.directory.store().group(id).await.map_err(|error| refusal(&error))
    }

    /// That all of them are users whom this client manages.
    async fn check_members(&self, ids: &[UserId]) -> Result<(), ScimError> {
        let checks: Vec<_> = ids.iter().map(|id| self.check_member(*id)).collect();
        stream::iter(checks).buffer_unordered(AT_A_TIME).try_collect().await
    }

    async fn check_member(&self, id: UserId) -> Result<(), ScimError> {
        let id = id.to_string();
        match self.managed(&id).await? {
            Some(_) => Ok(()),
            None => Err(ScimError::new(ScimType::InvalidValue, format!("there is no user `{id}`"))),
        }
    }

    async fn answer_group(&self, status: u16, group: &Group, projection: &Projection) -> Result<Answer, ScimError> {
        let shown = self.shown_group(group, projection, &mut { MOST_MEMBERS }).await?;
        Ok(Answer::resource(status, shown, group.version))
    }

    /// A group with its members, where they are asked for and there is room for them.
    async fn shown_group(
        &self,
        group: &Group,
        projection: &Projection,
        room: &mut usize,
    ) -> Result<Map<String, Value>, ScimError> {
        let mut members = None;
        if projection.shows("members") {
            members = self.own_members(group, *room).await?;
            *room = room.saturating_sub(members.as_ref().map_or(0, Vec::len));
        }
        Ok(projection.of(show_group(group, members.as_deref(), &self.base)))
    }

    /// The members whom this client manages: it learns nothing of others. `None`
    /// where they are more than `room`.
    async fn own_members(&self, group: &Group, room: usize) -> Result<Option<Vec<(UserId, String)>>, ScimError> {
        let store = self.ports.directory.store();
        let mut page = UserQuery {
            provider: Some(self.provider.clone()),
            is_scim: Some(true),
            group: Some(group.name.clone()),
            order: UserOrder::Id,
            ..UserQuery::default()
        };
        let own = store.users(page.clone()).await.map_err(|error| refusal(&error))?.total;
        let Some(own) = usize::try_from(own).ok().filter(|own| *own <= room) else { return Ok(None) };
        let all = store.members(group.id, None, own.saturating_add(1)).await.map_err(|error| refusal(&error))?;
        // As many as there are: nobody else is in it, and the records need not be read.
        if all.len() == own {
            return Ok(Some(all));
        }
        let mut members = Vec::new();
        page.limit = SCANNED_AT_ONCE;
        loop {
            let part = store.users(page.clone()).await.map_err(|error| refusal(&error))?;
            page.after = part.users.last().map(|user| user.id);
            members.extend(part.users.into_iter().map(|user| (user.id, user.user_name)));
            if !part.more {
                return Ok((members.len() <= room).then_some(members));
            }
            if members.len() > room {
                return Ok(None);
            }
        }
    }
}
