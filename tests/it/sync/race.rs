//! Sign-in, hook, SCIM and `user sync` speak of one user at once, on several replicas: one row, and what was said as of last.

use std::sync::Arc;

use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory};
use tiergate::backend::system::{SystemClock, SystemRandom};
use tiergate::directory::{
    Actor, Because, Directory, DirectoryPorts, Report, ReportRequest, Rights, SignedIn, UserChange, UserDirectory,
    UserId, UserKey, UserQuery, UserRef,
};
use tiergate::types::{ProviderId, Secret, UnixTime};
use tiergate_testbed::{MariaDb, Postgres};
use tokio::task::JoinSet;

const ROUNDS: i64 = 40;
/// How often each of the four speaks in a round.
const TIMES: i64 = 4;

/// Who speaks.
#[derive(Debug, Clone, Copy)]
enum Speaker {
    SignIn,
    Hook,
    Scim,
    Sync,
}

fn replica(store: Arc<dyn UserDirectory>) -> Arc<Directory> {
    let ports = DirectoryPorts { store, clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom) };
    Arc::new(Directory::new(ports))
}

/// Says that the user is called after the moment, and, where it counts, in which group they are and whether they are refused.
async fn speak(directory: &Directory, speaker: Speaker, key: UserKey, moment: i64) {
    let (as_of, name) = (UnixTime::from_millis(moment), Some(format!("n{moment}")));
    let report = || Report {
        as_of,
        name: Some(name.clone()),
        groups: Some([format!("g{moment}")].into()),
        disabled: Some(moment % 2 == 0),
        ..Report::default()
    };
    let provider = key.provider.clone();
    let (change, actor) = match speaker {
        Speaker::SignIn => {
            let told = SignedIn { as_of, rights: Rights::default(), email: None, name: name.clone(), picture: None };
            (UserChange::SignedIn(told), Actor::SignIn)
        }
        Speaker::Hook => (UserChange::Reported(Box::new(report())), Actor::Hook(provider)),
        Speaker::Scim => (UserChange::Reported(Box::new(report())), Actor::Scim(provider)),
        Speaker::Sync => {
            let request = ReportRequest { key, report: report(), new_id: UserId::draw(&SystemRandom) };
            directory.report(vec![request], Actor::Sync(provider), false).await.expect("reported");
            return;
        }
    };
    directory.change(UserRef::Key(key), change, actor, Because::default()).await.expect("changed");
}

/// Runs all rounds over these replicas of one empty directory.
pub(crate) async fn race(replicas: &[Arc<dyn UserDirectory>]) {
    let provider = ProviderId::new("main");
    let directories: Vec<Arc<Directory>> = replicas.iter().map(|store| replica(Arc::clone(store))).collect();
    for round in 0..ROUNDS {
        let key = UserKey::new(&provider, &format!("user-{round}"));
        let mut speaking = JoinSet::new();
        let speakers = [Speaker::SignIn, Speaker::Hook, Speaker::Scim, Speaker::Sync];
        for (number, (turn, speaker)) in (0..TIMES).flat_map(|turn| speakers.map(|speaker| (turn, speaker))).enumerate()
        {
            // Another order of moments in each round: 7 and 16 share no divisor.
            let number = i64::try_from(number).expect("small");
            let moment = 1_000_000 + round * 1000 + (number * 7 + round) % (4 * TIMES);
            let directory =
                Arc::clone(&directories[usize::try_from(turn + number).expect("small") % directories.len()]);
            let key = key.clone();
            speaking.spawn(async move {
                speak(&directory, speaker, key, moment).await;
                (speaker, moment)
            });
        }
        let said = speaking.join_all().await;
        let last = |of: fn(Speaker) -> bool| {
            said.iter().filter(|(who, _)| of(*who)).map(|(_, moment)| *moment).max().expect("one")
        };
        let (last, last_report) = (last(|_| true), last(|who| !matches!(who, Speaker::SignIn)));
        let store = replicas[0].as_ref();
        let user = store.user(UserRef::Key(key.clone())).await.expect("the store").expect("a user");
        assert_eq!(user.name, Some(format!("n{last}")), "{said:?}");
        assert_eq!(user.groups, [format!("g{last_report}")].into(), "{said:?}");
        assert_eq!(user.disabled_there, last_report % 2 == 0, "{said:?}");
        for directory in &directories {
            directory.catch_up().await;
            let standing = directory.standing(&key).await.expect("told").expect("known");
            assert_eq!((standing.id, standing.is_disabled), (user.id, last_report % 2 == 0), "round {round}");
        }
        let found = store.users(UserQuery { limit: 1, ..UserQuery::default() }).await.expect("the store");
        assert_eq!(found.total, u64::try_from(round + 1).expect("small"), "one row a user");
    }
}

async fn race_at(address: SqlAddress) {
    let mut replicas: Vec<Arc<dyn UserDirectory>> = Vec::new();
    for _ in 0..2 {
        replicas.push(Arc::new(SqlDirectory::open(&address).await.expect("a directory")));
    }
    race(&replicas).await;
}

#[tokio::test]
async fn the_latest_word_stays_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    race_at(SqlAddress::Sqlite(folder.path().join("directory.db"))).await;
}

#[tokio::test]
async fn the_latest_word_stays_on_mariadb() {
    let server = MariaDb::start().expect("MariaDB");
    race_at(SqlAddress::Mysql(Secret::new(server.database().expect("a database")))).await;
}

#[tokio::test]
async fn the_latest_word_stays_on_postgresql() {
    let server = Postgres::start().expect("PostgreSQL");
    race_at(SqlAddress::Postgres(Secret::new(server.database().expect("a database")))).await;
}
