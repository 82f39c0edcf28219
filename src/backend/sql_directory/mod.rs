//! The user directory in SQLite, MySQL (MariaDB) or PostgreSQL.
//!
//! ```text
//! standing, access_token         ─▶ lane of checks  ─┐
//! changes, sequence              ─▶ lane of follows ─┤
//! users, groups, audit …         ─▶ lane of reads   ─┼▶ Link ─▶ one of the three
//! change, report, groups, tokens ─▶ lane of writes  ─┘
//! ```
//!
//! One implementation: numbers and bytes are all that is stored and compared,
//! digests stand where a text has to be found, and [`statement::Dialect`] knows
//! the few words that differ. A transaction holds the row that counts the
//! sequence ([`writing`]), so that all replicas write one after the other.

mod address;
mod calls;
mod changes;
mod groups;
mod lane;
mod link;
mod lists;
mod rows;
mod schema;
mod statement;
mod upkeep;
mod writing;

use std::collections::HashMap;
use std::time::Duration;

pub use self::address::{SqlAddress, SqlOpenError};
pub use self::schema::Migrated;

use self::calls::{read, within, write};
use self::changes::{Reports, of_key, of_reports, reported};
use self::groups::{ChangeGroup, CreateGroup, CreateToken, DeleteGroup, RevokeToken};
use self::lane::Lane;
use self::link::Use;
use self::rows::{GROUP, TOKEN, USER, digest_of, group_of, token_of, user_of};
use self::statement::{Dialect, Statement};
use self::upkeep::{Plain, Probe, Sweep};
use self::writing::Work;
use super::sqlite_store::schema as file;
use crate::directory::{
    AccessToken, AccessTokenId, Actor, AuditPage, AuditQuery, ChangeRequest, Changed, Changes, DirectoryError,
    DirectoryFuture, Group, GroupChange, GroupId, GroupPage, GroupQuery, NewAccessToken, NewAuditEntry, NewGroup,
    ReportRequest, Standing, StoredAccessToken, TokenHash, User, UserDirectory, UserId, UserKey, UserPage, UserQuery,
    UserRef,
};
use crate::types::UnixTime;

/// The times of the port, less what being woken late may take.
const CHECK: Duration = Duration::from_millis(140);
const CALL: Duration = Duration::from_millis(4800);
const REPORT: Duration = Duration::from_millis(29_500);
/// Reports of one transaction: others wait no longer than this takes.
const REPORTS: usize = 100;
/// Connections of each lane.
const CHECKS: usize = 4;
/// Apart from the checks: made-up tokens and strangers must not keep what changed from being known.
const FOLLOWS: usize = 1;
const READS: usize = 3;
const WRITES: usize = 1;

/// The directory in a database.
pub struct SqlDirectory {
    dialect: Dialect,
    checks: Lane,
    follows: Lane,
    reads: Lane,
    writes: Lane,
}

impl std::fmt::Debug for SqlDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlDirectory").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl SqlDirectory {
    /// Opens the directory and brings its tables up to date. A SQLite file that is
    /// missing is made, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be opened, or is of a later version.
    pub async fn open(address: &SqlAddress) -> Result<Self, SqlOpenError> {
        Self::make_file(address)?;
        Self::open_existing(address).await
    }

    /// Opens the directory, which has to be there where it is a file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_existing(address: &SqlAddress) -> Result<Self, SqlOpenError> {
        Self::migrate_existing(address).await?;
        let target = address.target()?;
        let checks = Lane::new(target.clone(), Use::Reading, CHECKS);
        // To connect may take longer than the first check waits.
        let first = tokio::time::timeout(CALL, checks.lend()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        first.map_err(SqlOpenError::Unreachable)?.bring_back();
        Ok(Self {
            dialect: target.dialect(),
            checks,
            follows: Lane::new(target.clone(), Use::Reading, FOLLOWS),
            reads: Lane::new(target.clone(), Use::Reading, READS),
            writes: Lane::new(target, Use::Writing, WRITES),
        })
    }

    /// Brings the tables up to date, and says from which version.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn migrate(address: &SqlAddress) -> Result<Migrated, SqlOpenError> {
        Self::make_file(address)?;
        Self::migrate_existing(address).await
    }

    fn make_file(address: &SqlAddress) -> Result<(), SqlOpenError> {
        match address {
            SqlAddress::Sqlite(path) => Ok(file::create(path)?),
            SqlAddress::Mysql(_) | SqlAddress::Postgres(_) => Ok(()),
        }
    }

    async fn migrate_existing(address: &SqlAddress) -> Result<Migrated, SqlOpenError> {
        if let SqlAddress::Sqlite(path) = address {
            file::check_mode(path)?;
        }
        schema::migrate(&address.target()?).await
    }

    async fn write<W: Work>(&self, work: W) -> Result<W::Output, DirectoryError> {
        within(CALL, &self.writes, write(&self.writes, self.dialect, &work)).await
    }

    async fn find_user(&self, whom: UserRef) -> Result<Option<User>, DirectoryError> {
        let condition = match &whom {
            UserRef::Id(id) => Statement::new("id = ?").bind(id.as_bytes()),
            UserRef::Key(key) => of_key(key),
        };
        within(CALL, &self.reads, async { Ok(users(&self.reads, condition).await?.pop()) }).await
    }

    async fn following(&self, after: u64, limit: usize) -> Result<Changes, DirectoryError> {
        // Read before the users: whatever is counted up to here is visible then. Who
        // changed once more in between is among them by that change.
        let through = self.count(&self.follows).await?;
        let some = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let later = Statement::new("sequence > ? ORDER BY sequence LIMIT ?");
        let mut users = users(&self.follows, later.bind(after).bind(some)).await?;
        let is_all = users.len() <= limit;
        users.truncate(limit);
        let last = users.last().map_or(after, |user| user.sequence);
        let users = users.into_iter().map(|user| (user.key.clone(), Standing::of(&user))).collect();
        Ok(Changes { users, through: if is_all { through.max(last) } else { last } })
    }

    async fn count(&self, lane: &Lane) -> Result<u64, DirectoryError> {
        let rows = read(lane, &Statement::new("SELECT value FROM directory_sequence WHERE id = 1")).await?;
        rows.into_iter().next().ok_or(DirectoryError::Corrupt)?.count()
    }

    /// What reports would come to.
    async fn rehearse(&self, reports: &[ReportRequest], now: UnixTime) -> Result<Vec<Changed>, DirectoryError> {
        let mut sequence = self.count(&self.reads).await?;
        let mut known: HashMap<UserKey, User> = HashMap::new();
        let mut all = Vec::with_capacity(reports.len());
        for some in reports.chunks(REPORTS) {
            for user in users(&self.reads, of_reports(some)).await? {
                known.entry(user.key.clone()).or_insert(user);
            }
            for one in some {
                let (changed, _) = reported(&known, one, now, |before, after| {
                    sequence = sequence.saturating_add(1);
                    let version = before.map_or(0, |user| user.version).saturating_add(1);
                    User { version, sequence, ..after }
                });
                known.extend(changed.after.clone().map(|after| (one.key.clone(), after)));
                all.push(changed);
            }
        }
        Ok(all)
    }
}

async fn users(lane: &Lane, condition: Statement) -> Result<Vec<User>, DirectoryError> {
    let Statement { sql, values, is_kept } = condition;
    let sql = format!("SELECT {USER} FROM directory_user WHERE {sql}");
    let rows = read(lane, &Statement { sql, values, is_kept }).await?;
    rows.into_iter().map(|mut row| user_of(&mut row)).collect()
}

impl UserDirectory for SqlDirectory {
    fn kind(&self) -> &'static str {
        self.dialect.name()
    }

    fn standing(&self, key: UserKey) -> DirectoryFuture<'_, Option<Standing>> {
        let found = async move { Ok(users(&self.checks, of_key(&key)).await?.pop().map(|user| Standing::of(&user))) };
        Box::pin(within(CHECK, &self.checks, found))
    }

    fn access_token(&self, hash: TokenHash) -> DirectoryFuture<'_, Option<StoredAccessToken>> {
        let sql = format!(
            "SELECT {TOKEN}, u.provider, u.subject, u.sequence FROM directory_token t \
             JOIN directory_user u ON u.id = t.owner WHERE t.hash = ?"
        );
        Box::pin(within(CHECK, &self.checks, async move {
            let rows = read(&self.checks, &Statement::new(sql).bind(&hash.0)).await?;
            let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
            let token = token_of(&mut row)?;
            let provider = crate::types::ProviderId::new(&row.text()?);
            let owner = UserKey { provider, subject: row.text()?.into_boxed_str() };
            Ok(Some(StoredAccessToken { token, owner, sequence: row.count()? }))
        }))
    }

    fn changes(&self, after: u64, limit: usize) -> DirectoryFuture<'_, Changes> {
        Box::pin(within(CHECK, &self.follows, self.following(after, limit)))
    }

    fn sequence(&self) -> DirectoryFuture<'_, u64> {
        Box::pin(within(CHECK, &self.follows, self.count(&self.follows)))
    }

    fn user(&self, whom: UserRef) -> DirectoryFuture<'_, Option<User>> {
        Box::pin(self.find_user(whom))
    }

    fn users(&self, query: UserQuery) -> DirectoryFuture<'_, UserPage> {
        Box::pin(within(CALL, &self.reads, async move { self.user_page(&query).await }))
    }

    fn change(&self, request: ChangeRequest) -> DirectoryFuture<'_, Changed> {
        Box::pin(self.write(request))
    }

    fn report(
        &self,
        reports: Vec<ReportRequest>,
        actor: Actor,
        dry_run: bool,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Vec<Changed>> {
        Box::pin(async move {
            if dry_run {
                return within(REPORT, &self.reads, self.rehearse(&reports, now)).await;
            }
            let all = async {
                let mut all = Vec::with_capacity(reports.len());
                for some in reports.chunks(REPORTS) {
                    let some = Reports { reports: some, actor: &actor, now };
                    all.extend(write(&self.writes, self.dialect, &some).await?);
                }
                Ok(all)
            };
            within(REPORT, &self.writes, all).await
        })
    }

    fn group(&self, id: GroupId) -> DirectoryFuture<'_, Option<Group>> {
        let select = Statement::new(format!("SELECT {GROUP} FROM directory_group WHERE id = ?")).bind(id.as_bytes());
        Box::pin(within(CALL, &self.reads, async move {
            let rows = read(&self.reads, &select).await?;
            rows.into_iter().next().map(|mut row| group_of(&mut row)).transpose()
        }))
    }

    fn groups(&self, query: GroupQuery) -> DirectoryFuture<'_, GroupPage> {
        Box::pin(within(CALL, &self.reads, async move { self.group_page(&query).await }))
    }

    fn members(&self, id: GroupId, after: Option<UserId>, limit: usize) -> DirectoryFuture<'_, Vec<(UserId, String)>> {
        let select = Statement::new(
            "SELECT u.id, u.user_name FROM directory_group g JOIN directory_user_group m ON m.name_digest = g.name_digest \
             JOIN directory_user u ON u.id = m.user_id WHERE g.id = ?",
        );
        let select = select.bind(id.as_bytes()).given(" AND m.user_id > ?", after.as_ref().map(|id| id.as_bytes()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let select = select.sql(" ORDER BY m.user_id LIMIT ?").bind(limit);
        Box::pin(within(CALL, &self.reads, async move {
            let rows = read(&self.reads, &select).await?;
            rows.into_iter().map(|mut row| Ok((UserId::from_bytes(row.bytes()?), row.text()?))).collect()
        }))
    }

    fn create_group(&self, group: NewGroup, actor: Actor, now: UnixTime) -> DirectoryFuture<'_, Group> {
        Box::pin(self.write(CreateGroup { group, actor, now }))
    }

    fn change_group(
        &self,
        id: GroupId,
        change: GroupChange,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Group> {
        Box::pin(self.write(ChangeGroup { id, change, expected_version, actor, now }))
    }

    fn delete_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, ()> {
        Box::pin(self.write(DeleteGroup { id, expected_version, actor, now }))
    }

    fn access_tokens(&self, owner: UserId) -> DirectoryFuture<'_, Vec<AccessToken>> {
        let sql = format!("SELECT {TOKEN} FROM directory_token t WHERE t.owner = ? ORDER BY t.created_at DESC, t.id");
        let select = Statement::new(sql).bind(owner.as_bytes());
        Box::pin(within(CALL, &self.reads, async move {
            let rows = read(&self.reads, &select).await?;
            rows.into_iter().map(|mut row| token_of(&mut row)).collect()
        }))
    }

    fn create_access_token(
        &self,
        token: NewAccessToken,
        limit: usize,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, AccessToken> {
        Box::pin(self.write(CreateToken { token, limit, actor, now }))
    }

    fn revoke_access_token(
        &self,
        owner: UserId,
        token: AccessTokenId,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, bool> {
        Box::pin(self.write(RevokeToken { owner, token, actor, now }))
    }

    fn access_tokens_used(&self, used: Vec<(AccessTokenId, UnixTime)>) -> DirectoryFuture<'_, ()> {
        let update = "UPDATE directory_token SET last_used_at = ? WHERE id = ? \
            AND (last_used_at IS NULL OR last_used_at < ?)";
        let updates = used.into_iter().map(|(id, at)| Statement::new(update).bind(at).bind(id.as_bytes()).bind(at));
        Box::pin(self.write(Plain(updates.collect())))
    }

    fn note(&self, entry: NewAuditEntry, now: UnixTime) -> DirectoryFuture<'_, ()> {
        let insert = Statement::new(format!("INSERT INTO directory_audit ({}) VALUES ", rows::NEW_AUDIT));
        Box::pin(self.write(Plain(vec![insert.table([rows::entry_values(&entry, now)])])))
    }

    fn audit(&self, query: AuditQuery) -> DirectoryFuture<'_, AuditPage> {
        Box::pin(within(CALL, &self.reads, async move { self.audit_page(&query).await }))
    }

    fn bookmark(&self, name: String) -> DirectoryFuture<'_, Option<String>> {
        let select =
            Statement::new("SELECT value FROM directory_bookmark WHERE name_digest = ?").bind(&digest_of(&name));
        Box::pin(within(CALL, &self.reads, async move {
            read(&self.reads, &select).await?.into_iter().next().map(|mut row| row.text()).transpose()
        }))
    }

    fn set_bookmark(&self, name: String, value: Option<String>) -> DirectoryFuture<'_, ()> {
        let name = digest_of(&name);
        let statement = match value {
            Some(value) => Statement::new("INSERT INTO directory_bookmark (name_digest, value) VALUES (?, ?)")
                .bind(&name)
                .bind(value)
                .sql(&self.dialect.on_conflict("name_digest", &["value"])),
            None => Statement::new("DELETE FROM directory_bookmark WHERE name_digest = ?").bind(&name),
        };
        Box::pin(self.write(Plain(vec![statement])))
    }

    fn probe(&self, now: UnixTime) -> DirectoryFuture<'_, ()> {
        Box::pin(self.write(Probe { now }))
    }

    fn sweep(&self, now: UnixTime) -> DirectoryFuture<'_, ()> {
        Box::pin(async move {
            let all = async {
                for _ in 0..upkeep::SWEEP_STEPS {
                    if write(&self.writes, self.dialect, &Sweep { now }).await? {
                        break;
                    }
                }
                Ok(())
            };
            within(CALL, &self.writes, all).await
        })
    }
}
