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
//! sequence ([`writing`]), so that all replicas write one after the other; the
//! writes of one replica wait for their one connection in the order they came,
//! and hold none meanwhile. Each call runs on the thread of [`engine`].

mod address;
mod calls;
mod changes;
mod engine;
mod groups;
mod lane;
mod lanes;
mod link;
mod lists;
mod rows;
mod schema;
mod statement;
mod upkeep;
mod writing;

use std::sync::Arc;
use std::time::Duration;

pub use self::address::{SqlAddress, SqlOpenError};
pub use self::schema::Migrated;

use self::calls::{read, write};
use self::changes::{Reports, of_key};
use self::engine::Engine;
use self::groups::{ChangeGroup, CreateGroup, CreateToken, DeleteGroup, RevokeToken};
use self::lane::{Lane, Lent};
use self::lanes::{Lanes, users};
use self::link::Use;
use self::rows::{GROUP, TOKEN, digest_of, group_of, token_of};
use self::statement::Statement;
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
    lanes: Arc<Lanes>,
    engine: Engine,
}

impl std::fmt::Debug for SqlDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlDirectory").field("dialect", &self.lanes.dialect).finish_non_exhaustive()
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
        let lanes = Arc::new(Lanes {
            dialect: target.dialect(),
            checks: Lane::new(target.clone(), Use::Reading, CHECKS),
            follows: Lane::new(target.clone(), Use::Reading, FOLLOWS),
            reads: Lane::new(target.clone(), Use::Reading, READS),
            writes: Lane::new(target, Use::Writing, WRITES),
        });
        let engine = Engine::start().map_err(SqlOpenError::Thread)?;
        let directory = Self { lanes, engine };
        // To connect may take longer than the first check waits.
        let lanes = Arc::clone(&directory.lanes);
        let first = async move { lanes.checks.lend().await.map(Lent::bring_back) };
        let first = directory.engine.run(CALL, &directory.lanes.checks, first).await;
        first.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(SqlOpenError::Unreachable)?;
        Ok(directory)
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

    async fn call<T, F>(
        &self,
        limit: Duration,
        lane: fn(&Lanes) -> &Lane,
        work: impl FnOnce(Arc<Lanes>) -> F,
    ) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DirectoryError>> + Send + 'static,
    {
        let ended = self.engine.run(limit, lane(&self.lanes), work(Arc::clone(&self.lanes))).await;
        ended.unwrap_or_else(|why| Err(DirectoryError::Unavailable(Box::new(why))))
    }

    async fn check<T, F>(&self, work: impl FnOnce(Arc<Lanes>) -> F) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DirectoryError>> + Send + 'static,
    {
        self.call(CHECK, |lanes| &lanes.checks, work).await
    }

    async fn read<T, F>(&self, work: impl FnOnce(Arc<Lanes>) -> F) -> Result<T, DirectoryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DirectoryError>> + Send + 'static,
    {
        self.call(CALL, |lanes| &lanes.reads, work).await
    }

    async fn write<W: Work + Send + 'static>(&self, work: W) -> Result<W::Output, DirectoryError> {
        let written = move |lanes: Arc<Lanes>| async move { write(&lanes.writes, lanes.dialect, &work).await };
        self.call(CALL, |lanes| &lanes.writes, written).await
    }
}

impl UserDirectory for SqlDirectory {
    fn kind(&self) -> &'static str {
        self.lanes.dialect.name()
    }

    fn standing(&self, key: UserKey) -> DirectoryFuture<'_, Option<Standing>> {
        Box::pin(self.check(move |lanes| async move {
            Ok(users(&lanes.checks, of_key(&key)).await?.pop().map(|user| Standing::of(&user)))
        }))
    }

    fn access_token(&self, hash: TokenHash) -> DirectoryFuture<'_, Option<StoredAccessToken>> {
        let sql = format!(
            "SELECT {TOKEN}, u.provider, u.subject, u.sequence FROM directory_token t \
             JOIN directory_user u ON u.id = t.owner WHERE t.hash = ?"
        );
        Box::pin(self.check(move |lanes| async move {
            let rows = read(&lanes.checks, &Statement::new(sql).bind(&hash.0)).await?;
            let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
            let token = token_of(&mut row)?;
            let provider = crate::types::ProviderId::new(&row.text()?);
            let owner = UserKey { provider, subject: row.text()?.into_boxed_str() };
            Ok(Some(StoredAccessToken { token, owner, sequence: row.count()? }))
        }))
    }

    fn changes(&self, after: u64, limit: usize) -> DirectoryFuture<'_, Changes> {
        let followed = move |lanes: Arc<Lanes>| async move { lanes.following(after, limit).await };
        Box::pin(self.call(CHECK, |lanes| &lanes.follows, followed))
    }

    fn sequence(&self) -> DirectoryFuture<'_, u64> {
        let counted = |lanes: Arc<Lanes>| async move { lanes.count(&lanes.follows).await };
        Box::pin(self.call(CHECK, |lanes| &lanes.follows, counted))
    }

    fn user(&self, whom: UserRef) -> DirectoryFuture<'_, Option<User>> {
        Box::pin(self.read(move |lanes| async move { lanes.find_user(whom).await }))
    }

    fn users(&self, query: UserQuery) -> DirectoryFuture<'_, UserPage> {
        Box::pin(self.read(move |lanes| async move { lanes.user_page(&query).await }))
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
        if dry_run {
            let rehearsed = move |lanes: Arc<Lanes>| async move { lanes.rehearse(&reports, now).await };
            return Box::pin(self.call(REPORT, |lanes| &lanes.reads, rehearsed));
        }
        let written = move |lanes: Arc<Lanes>| async move {
            let mut all = Vec::with_capacity(reports.len());
            for some in reports.chunks(REPORTS) {
                let some = Reports { reports: some, actor: &actor, now };
                all.extend(write(&lanes.writes, lanes.dialect, &some).await?);
            }
            Ok(all)
        };
        Box::pin(self.call(REPORT, |lanes| &lanes.writes, written))
    }

    fn group(&self, id: GroupId) -> DirectoryFuture<'_, Option<Group>> {
        let select = Statement::new(format!("SELECT {GROUP} FROM directory_group WHERE id = ?")).bind(id.as_bytes());
        Box::pin(self.read(move |lanes| async move {
            let rows = read(&lanes.reads, &select).await?;
            rows.into_iter().next().map(|mut row| group_of(&mut row)).transpose()
        }))
    }

    fn groups(&self, query: GroupQuery) -> DirectoryFuture<'_, GroupPage> {
        Box::pin(self.read(move |lanes| async move { lanes.group_page(&query).await }))
    }

    fn members(&self, id: GroupId, after: Option<UserId>, limit: usize) -> DirectoryFuture<'_, Vec<(UserId, String)>> {
        let select = Statement::new(
            "SELECT u.id, u.user_name FROM directory_group g JOIN directory_user_group m ON m.name_digest = g.name_digest \
             JOIN directory_user u ON u.id = m.user_id WHERE g.id = ?",
        );
        let select = select.bind(id.as_bytes()).given(" AND m.user_id > ?", after.as_ref().map(|id| id.as_bytes()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let select = select.sql(" ORDER BY m.user_id LIMIT ?").bind(limit);
        Box::pin(self.read(move |lanes| async move {
            let rows = read(&lanes.reads, &select).await?;
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
        Box::pin(self.read(move |lanes| async move {
            let rows = read(&lanes.reads, &select).await?;
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
        Box::pin(self.read(move |lanes| async move { lanes.audit_page(&query).await }))
    }

    fn bookmark(&self, name: String) -> DirectoryFuture<'_, Option<String>> {
        let select =
            Statement::new("SELECT value FROM directory_bookmark WHERE name_digest = ?").bind(&digest_of(&name));
        Box::pin(self.read(move |lanes| async move {
            read(&lanes.reads, &select).await?.into_iter().next().map(|mut row| row.text()).transpose()
        }))
    }

    fn set_bookmark(&self, name: String, value: Option<String>) -> DirectoryFuture<'_, ()> {
        let name = digest_of(&name);
        let statement = match value {
            Some(value) => Statement::new("INSERT INTO directory_bookmark (name_digest, value) VALUES (?, ?)")
                .bind(&name)
                .bind(value)
                .sql(&self.lanes.dialect.on_conflict("name_digest", &["value"])),
            None => Statement::new("DELETE FROM directory_bookmark WHERE name_digest = ?").bind(&name),
        };
        Box::pin(self.write(Plain(vec![statement])))
    }

    fn probe(&self, now: UnixTime) -> DirectoryFuture<'_, ()> {
        Box::pin(self.write(Probe { now }))
    }

    fn sweep(&self, now: UnixTime, audit_from: UnixTime) -> DirectoryFuture<'_, ()> {
        let swept = move |lanes: Arc<Lanes>| async move {
            for _ in 0..upkeep::SWEEP_STEPS {
                if write(&lanes.writes, lanes.dialect, &Sweep { now, audit_from }).await? {
                    break;
                }
            }
            Ok(())
        };
        Box::pin(self.call(CALL, |lanes| &lanes.writes, swept))
    }
}
