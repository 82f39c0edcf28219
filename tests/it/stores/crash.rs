//! A process that dies in the middle of its writes: what it was told is kept,
//! and nothing is half there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};
use tiergate::backend::sqlite_store::SqliteStore;
use tiergate::session::{IndexKey, OnceKey, SessionKey, SessionStore, StoreError, StoredSession};
use tiergate::types::UnixTime;

use super::stage::{patiently, quick_folder, run};

/// Tells this test, run anew as a process of its own, which file to write to.
const CHILD: &str = "TIERGATE_TEST_CRASHING_STORE";
const NAME: &str = "stores::crash::what_was_answered_outlives_a_kill";
const WORKERS: u8 = 4;
/// Long before this everything is live, and long after it nothing.
const NOW: UnixTime = UnixTime::from_secs(2_000_000_000);

/// What a worker does with its sessions, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Insert = 1,
    Replace,
    Remove,
    Put,
    Take,
}

/// A third of the sessions stays, and half of what is put.
fn steps_of(number: u32) -> Vec<Step> {
    let mut steps = vec![Step::Insert, Step::Replace, Step::Remove, Step::Put, Step::Take];
    steps.retain(|step| match step {
        Step::Remove => !number.is_multiple_of(3),
        Step::Take => number.is_multiple_of(2),
        Step::Insert | Step::Replace | Step::Put => true,
    });
    steps
}

fn key_of(round: u8, worker: u8, number: u32) -> [u8; 32] {
    let mut key = [round; 32];
    key[1] = worker;
    key[2..6].copy_from_slice(&number.to_be_bytes());
    key
}

/// Longer than a page, and telling what it is, so that half of it is seen.
fn session_of(key: [u8; 32], version: u64) -> StoredSession {
    let sealed = [key.as_slice(), &version.to_be_bytes()].concat().repeat(150);
    let (idle_until, ends_at) = (NOW.plus(Duration::from_secs(1800)), NOW.plus(Duration::from_secs(3600)));
    let subject = IndexKey::from_bytes(key);
    StoredSession { sealed, card: key.to_vec(), version, idle_until, ends_at, subject, sid: Some(subject) }
}

/// The child: writes until it is killed, and says what was answered.
fn write_until_killed(path: &Path, round: u8) {
    run(async {
        let store = SqliteStore::open(path).await.unwrap();
        let work = async |worker: u8| {
            for number in 0.. {
                let key = key_of(round, worker, number);
                for step in steps_of(number) {
                    take_step(&store, key, step).await;
                    // The test runner may have begun a line of its own.
                    let line = format!("\ndone {worker} {number} {}\n", step as u8);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            }
        };
        futures_util::future::join_all((0..WORKERS).map(work)).await;
    });
}

/// Takes the step until it is answered; one that was refused may have been taken.
async fn take_step(store: &SqliteStore, key: [u8; 32], step: Step) {
    let (session, once) = (SessionKey::from_bytes(key), OnceKey(key));
    match step {
        Step::Insert => {
            let again = |error| if matches!(error, StoreError::Corrupt) { Ok(()) } else { Err(error) };
            patiently(|| async { store.insert(session, session_of(key, 1), NOW).await.or_else(again) }).await;
        }
        Step::Replace => {
            patiently(|| store.replace(session, 1, session_of(key, 2), NOW)).await;
        }
        Step::Remove => {
            patiently(|| store.remove(session, NOW)).await;
        }
        Step::Put => {
            let expires = NOW.plus(Duration::from_secs(600));
            patiently(|| store.put_once(once, key.repeat(200), expires, NOW)).await;
        }
        Step::Take => {
            patiently(|| store.take(once, NOW)).await;
        }
    }
}

/// Version of the session, and whether the value is there, after so many steps.
fn after(number: u32, steps: usize) -> (Option<u64>, bool) {
    steps_of(number).into_iter().take(steps).fold((None, false), |(version, put), step| match step {
        Step::Insert => (Some(1), put),
        Step::Replace => (Some(2), put),
        Step::Remove => (None, put),
        Step::Put => (version, true),
        Step::Take => (version, false),
    })
}

fn start_child(path: &Path, round: u8) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, path)
        .env("TIERGATE_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts a child, kills it after so many answers, and gives all that it said:
/// for each worker and number, the steps that were answered.
fn kill_after(answers: usize, path: &Path, round: u8) -> BTreeMap<(u8, u32), usize> {
    let mut child = start_child(path, round);
    let mut done = BTreeMap::new();
    let mut seen = 0;
    // To the end: what was answered before the kill counts.
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let Some(step) = line.strip_prefix("done ") else { continue };
        let numbers: Vec<u32> = step.split(' ').map(|number| number.parse().unwrap()).collect();
        *done.entry((u8::try_from(numbers[0]).unwrap(), numbers[1])).or_insert(0) += 1;
        seen += 1;
        if seen == answers {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "the child ended by itself: {status}");
    assert!(seen >= answers);
    done
}

#[test]
fn what_was_answered_outlives_a_kill() {
    if let Some(path) = std::env::var_os(CHILD) {
        let round = std::env::var("TIERGATE_TEST_ROUND").unwrap().parse().unwrap();
        return write_until_killed(Path::new(&path), round);
    }
    let folder = quick_folder();
    let path = folder.path().join("sessions.db");
    let mut expected = 0;
    for (round, answers) in (0..).zip([1, 23, 60, 141, 377, 500]) {
        let done = kill_after(answers, &path, round);
        run(async {
            let store: Arc<dyn SessionStore> = Arc::new(SqliteStore::open(&path).await.unwrap());
            for worker in 0..WORKERS {
                // The last one may be under way, or the one behind it.
                let last = done.keys().filter(|(own, _)| *own == worker).map(|(_, number)| *number).max();
                for number in 0..=last.map_or(0, |last| last + 1) {
                    let answered = done.get(&(worker, number)).copied().unwrap_or(0);
                    let there = look_at(&*store, key_of(round, worker, number)).await;
                    // Only of the last one may a step have been taken that was not answered.
                    let behind = last.is_some_and(|last| number < last);
                    let under_way = if behind { answered } else { answered + 1 };
                    let fits = (answered..=under_way).any(|steps| after(number, steps) == there);
                    assert!(fits, "round {round}, {worker}/{number}: {answered} steps answered, found {there:?}");
                    expected += usize::from(there.0.is_some());
                }
            }
            let all = patiently(|| store.list(100_000, NOW)).await;
            assert_eq!(all.len(), expected, "sessions that nobody wrote");
            drop(store);
            let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            let checked = sqlx::query("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
            assert_eq!(checked.get::<String, _>(0), "ok");
        });
    }
}

/// What is there under a key; that it is whole is asked here.
async fn look_at(store: &dyn SessionStore, key: [u8; 32]) -> (Option<u64>, bool) {
    let found = patiently(|| store.find(SessionKey::from_bytes(key), NOW)).await;
    if let Some(found) = &found {
        assert!(**found == session_of(key, found.version), "a session that is half there");
    }
    let indexed = patiently(|| store.indexed(IndexKey::from_bytes(key), 10, NOW)).await;
    assert_eq!(indexed.len(), usize::from(found.is_some()));
    let put = store.take(OnceKey(key), NOW).await.unwrap();
    assert!(put.as_ref().is_none_or(|value| *value == key.repeat(200)), "a value that is half there");
    (found.map(|found| found.version), put.is_some())
}

#[test]
fn two_processes_that_write_all_the_time_both_get_their_turn() {
    let folder = quick_folder();
    let path = folder.path().join("sessions.db");
    let mut child = start_child(&path, 0);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("done ")), "the child writes");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // Read on, or the child would stop at a full pipe.
    let reader = std::thread::spawn(move || {
        let during = lines.filter(|line| line.starts_with("done ")).take_while(|_| stopped.try_recv().is_err());
        during.count()
    });
    run(async {
        let store = SqliteStore::open(&path).await.unwrap();
        let mut refused = 0;
        for number in 0..200 {
            let key = key_of(1, 0, number);
            refused += usize::from(store.insert(SessionKey::from_bytes(key), session_of(key, 1), NOW).await.is_err());
        }
        assert!(refused < 20, "{refused} of 200 writes were refused");
    });
    stop.send(()).unwrap();
    let during = reader.join().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(during > 50, "the child wrote {during} times meanwhile");
}
