//! What lists, pages and the audit ask for.

use super::calls::read;
use super::lanes::Lanes;
use super::rows::{AUDIT, GROUP, USER, digest_of, entry_of, group_of, user_of};
use super::statement::{Dialect, Row, Statement, Value};
use crate::directory::{
    AuditPage, AuditQuery, DirectoryError, GroupPage, GroupQuery, UserOrder, UserPage, UserQuery, fold,
};

impl Lanes {
    pub(super) async fn user_page(&self, query: &UserQuery) -> Result<UserPage, DirectoryError> {
        let filter = filter(query, self.dialect);
        let total = self.total("directory_user", &filter).await?;
        let column = match query.order {
            UserOrder::UserName => "sort_name",
            UserOrder::LastSeen => "seen_rank",
            UserOrder::Created => "created_at",
            UserOrder::Id => "id",
        };
        let mut page = Statement { sql: format!("SELECT {USER} FROM directory_user WHERE {}", filter.sql), ..filter };
        if let Some(after) = query.after {
            let place = Statement::new(format!("SELECT {column} FROM directory_user WHERE id = ?"));
            let found = read(&self.reads, &place.bind(after.as_bytes())).await?.pop();
            let mut found = found.ok_or(DirectoryError::Missing("user"))?;
            let place = match query.order {
                UserOrder::UserName | UserOrder::Id => Value::Bytes(found.maybe_bytes()?),
                UserOrder::LastSeen | UserOrder::Created => Value::from(found.int()?),
            };
            page = page.sql(&format!(" AND {column} >= ?")).bind(place.clone());
            page = page.sql(&format!(" AND ({column} > ? OR id > ?)")).bind(place).bind(after.as_bytes());
        }
        let page = page.sql(&format!(" ORDER BY {column}, id LIMIT ? OFFSET ?"));
        let (limit, offset) = (number(query.limit).saturating_add(1), query.offset);
        let rows = read(&self.reads, &page.bind(limit).bind(offset)).await?;
        let more = rows.len() > query.limit;
        let users = rows.into_iter().take(query.limit).map(|mut row| user_of(&mut row));
        Ok(UserPage { users: users.collect::<Result<_, _>>()?, total, more })
    }

    async fn total(&self, table: &str, filter: &Statement) -> Result<u64, DirectoryError> {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE {}", filter.sql);
        let rows = read(&self.reads, &Statement { sql, ..filter.clone() }).await?;
        rows.into_iter().next().ok_or(DirectoryError::Corrupt)?.count()
    }

    pub(super) async fn group_page(&self, query: &GroupQuery) -> Result<GroupPage, DirectoryError> {
        let GroupQuery { name, external_id, member, after, offset, limit } = query;
        let filter = Statement::new("1 = 1")
            .given(" AND name_digest = ?", name.as_deref().map(|name| Some(digest_of(name))))
            .given(" AND external_digest = ?", external_id.as_deref().map(|id| Some(digest_of(id))))
            .given(
                " AND name_digest IN (SELECT name_digest FROM directory_user_group WHERE user_id = ?)",
                member.as_ref().map(|member| member.as_bytes()),
            );
        let total = self.total("directory_group", &filter).await?;
        let page = Statement { sql: format!("SELECT {GROUP} FROM directory_group WHERE {}", filter.sql), ..filter };
        let page = page.given(" AND name > ?", after.as_deref()).sql(" ORDER BY name LIMIT ? OFFSET ?");
        let rows = read(&self.reads, &page.bind(number(*limit)).bind(*offset)).await?;
        let groups = rows.into_iter().map(|mut row: Row| group_of(&mut row));
        Ok(GroupPage { groups: groups.collect::<Result<_, _>>()?, total })
    }

    pub(super) async fn audit_page(&self, query: &AuditQuery) -> Result<AuditPage, DirectoryError> {
        let AuditQuery { user, actor, action, before, limit } = query;
        let mut page = Statement::new(format!("SELECT {AUDIT} FROM directory_audit WHERE 1 = 1"))
            .given(" AND user_id = ?", user.as_ref().map(|user| user.as_bytes()))
            .given(" AND actor_digest = ?", actor.as_deref().map(|actor| Some(digest_of(actor))))
            .given(" AND number < ?", *before);
        if let Some(action) = action.as_deref().filter(|action| !action.is_empty()) {
            page = page.sql(&format!(" AND substr(action, 1, {}) = ?", action.len())).bind(action);
            page.is_kept = false;
        }
        let page = page.sql(" ORDER BY number DESC LIMIT ?").bind(number(*limit).saturating_add(1));
        let rows = read(&self.reads, &page).await?;
        let more = rows.len() > *limit;
        let entries = rows.into_iter().take(*limit).map(|mut row| entry_of(&mut row));
        Ok(AuditPage { entries: entries.collect::<Result<_, _>>()?, more })
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What stands behind `WHERE`.
fn filter(query: &UserQuery, dialect: Dialect) -> Statement {
    let UserQuery {
        search,
        provider,
        user_name,
        external_id,
        email,
        disabled,
        group,
        granted_tier,
        is_scim,
        order: _,
        after: _,
        offset: _,
        limit: _,
    } = query;
    let exactly = |text: &Option<String>| text.as_deref().map(|text| Some(digest_of(text)));
    let folded = |text: &Option<String>| text.as_deref().map(|text| Some(digest_of(&fold(text))));
    let filter = Statement::new("is_live = 1")
        .given(" AND provider = ?", provider.as_ref().map(|provider| provider.as_str()))
        .given(" AND is_disabled = ?", *disabled)
        .given(" AND user_name_digest = ?", folded(user_name))
        .given(" AND email_digest = ?", folded(email))
        .given(" AND external_digest = ?", exactly(external_id))
        .given(" AND id IN (SELECT user_id FROM directory_user_group WHERE name_digest = ?)", exactly(group))
        .given(" AND id IN (SELECT user_id FROM directory_user_grant WHERE tier_digest = ?)", exactly(granted_tier))
        .given(&format!(" AND {}", dialect.holds()), search.as_deref().map(fold));
    match is_scim {
        Some(true) => filter.sql(" AND scim IS NOT NULL"),
        Some(false) => filter.sql(" AND scim IS NULL"),
        None => filter,
    }
}
