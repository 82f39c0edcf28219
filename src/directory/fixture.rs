//! A directory for tests: in memory, with its calls counted, held up and failed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::*;
use crate::backend::memory_directory::MemoryDirectory;
use crate::types::UnixTime;

/// A store that does as the test says.
pub(crate) struct GuardedStore {
    kept: MemoryDirectory,
    calls: Mutex<BTreeMap<&'static str, usize>>,
    down: AtomicBool,
    loses_answers: AtomicBool,
    holds: Mutex<Option<&'static str>>,
    gate: Semaphore,
}

impl Default for GuardedStore {
    fn default() -> Self {
        Self {
            kept: MemoryDirectory::new(),
            calls: Mutex::default(),
            down: AtomicBool::new(false),
            loses_answers: AtomicBool::new(false),
            holds: Mutex::default(),
            gate: Semaphore::new(0),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the test says so")]
struct TestSaysSo;

fn unavailable() -> DirectoryError {
    DirectoryError::Unavailable(Box::new(TestSaysSo))
}

impl GuardedStore {
    /// How often it was called so.
    pub(crate) fn calls(&self, op: &str) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(op).copied().unwrap_or(0)
    }

    /// How often it was called.
    pub(crate) fn total(&self) -> usize {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Whether it does not answer.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Whether it does what it is told, and does not answer.
    pub(crate) fn set_loses_answers(&self, loses: bool) {
        self.loses_answers.store(loses, Ordering::SeqCst);
    }

    /// From now on, answers to `standing` that were read are held back until [`Self::let_go`].
    pub(crate) fn hold(&self) {
        self.hold_back("standing");
    }

    /// The same for answers to another call.
    pub(crate) fn hold_back(&self, op: &'static str) {
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) = Some(op);
    }

    /// Lets answers out that are held back, and holds back no more.
    pub(crate) fn let_go(&self) {
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.gate.add_permits(1000);
    }

    fn guarded<'a, T: Send + 'a>(&'a self, op: &'static str, answer: DirectoryFuture<'a, T>) -> DirectoryFuture<'a, T> {
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(op).or_default() += 1;
        Box::pin(async move {
            if self.down.load(Ordering::SeqCst) {
                return Err(unavailable());
            }
            let answer = answer.await;
            let is_held = *self.holds.lock().unwrap_or_else(PoisonError::into_inner) == Some(op);
            if is_held {
                self.gate.acquire().await.expect("the gate stands").forget();
            }
            if self.loses_answers.load(Ordering::SeqCst) { Err(unavailable()) } else { answer }
        })
    }
}

/// Hands each call on to the store in memory.
macro_rules! hand_on {
    ($($op:ident($($name:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl UserDirectory for GuardedStore {
            fn kind(&self) -> &'static str {
                "memory"
            }
            $(fn $op(&self, $($name: $type),*) -> DirectoryFuture<'_, $answer> {
                // What is down is not even asked: nothing is written then.
                if self.down.load(Ordering::SeqCst) {
                    return self.guarded(stringify!($op), Box::pin(async { Err(unavailable()) }));
                }
                self.guarded(stringify!($op), self.kept.$op($($name),*))
            })*
        }
    };
}

hand_on! {
    standing(key: UserKey) -> Option<Standing>;
    access_token(hash: TokenHash) -> Option<StoredAccessToken>;
    changes(after: u64, limit: usize) -> Changes;
    sequence() -> u64;
    user(whom: UserRef) -> Option<User>;
    users(query: UserQuery) -> UserPage;
    change(request: ChangeRequest) -> Changed;
    report(reports: Vec<ReportRequest>, actor: Actor, dry_run: bool, now: UnixTime) -> Vec<Changed>;
    group(id: GroupId) -> Option<Group>;
    groups(query: GroupQuery) -> GroupPage;
    members(id: GroupId, after: Option<UserId>, limit: usize) -> Vec<(UserId, String)>;
    create_group(group: NewGroup, actor: Actor, now: UnixTime) -> Group;
    change_group(id: GroupId, change: GroupChange, expected: Option<u64>, actor: Actor, now: UnixTime) -> Group;
    delete_group(id: GroupId, expected: Option<u64>, actor: Actor, now: UnixTime) -> ();
    access_tokens(owner: UserId) -> Vec<AccessToken>;
    create_access_token(token: NewAccessToken, limit: usize, actor: Actor, now: UnixTime) -> AccessToken;
    revoke_access_token(owner: UserId, token: AccessTokenId, actor: Actor, now: UnixTime) -> bool;
    access_tokens_used(used: Vec<(AccessTokenId, UnixTime)>) -> ();
    note(entry: NewAuditEntry, now: UnixTime) -> ();
    audit(query: AuditQuery) -> AuditPage;
    bookmark(name: String) -> Option<String>;
    set_bookmark(name: String, value: Option<String>) -> ();
    probe(now: UnixTime) -> ();
    sweep(now: UnixTime, audit_from: UnixTime) -> ();
}

/// Clocks that stand where the test puts them, and bytes that count.
pub(crate) struct TestWorld {
    now: Mutex<(UnixTime, Monotonic)>,
    drawn: Mutex<u8>,
}

use std::time::Duration;

use crate::types::{Clock, Monotonic, Random};

impl Default for TestWorld {
    fn default() -> Self {
        let start = (UnixTime::from_secs(1_800_000_000), Monotonic::from_start(Duration::from_secs(100)));
        Self { now: Mutex::new(start), drawn: Mutex::default() }
    }
}

impl TestWorld {
    pub(crate) fn pass(&self, time: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (now.0.plus(time), now.1.plus(time));
    }
}

impl Clock for TestWorld {
    fn now(&self) -> UnixTime {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Monotonic {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Random for TestWorld {
    fn fill(&self, out: &mut [u8]) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        *drawn = drawn.wrapping_add(1);
        out.fill(*drawn);
    }
}

/// Several replicas on one store.
pub(crate) struct Replicas {
    pub(crate) store: Arc<GuardedStore>,
    pub(crate) world: Arc<TestWorld>,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { store: Arc::new(GuardedStore::default()), world: Arc::new(TestWorld::default()) }
    }
}

impl Replicas {
    /// One more.
    pub(crate) fn start(&self) -> Arc<Directory> {
        let ports = DirectoryPorts { store: self.store.clone(), clock: self.world.clone(), random: self.world.clone() };
        Arc::new(Directory::new(ports))
    }
}
