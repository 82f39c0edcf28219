//! `make bench`: what the user directory takes with 100 000 users, on each
//! database. The servers run on this machine and take their share of its cores.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement is what it prints, and times what it measures"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory};
use tiergate::backend::system::SystemRandom;
use tiergate::directory::{
    Actor, ChangeRequest, Report, ReportRequest, Rights, SignedIn, UserChange, UserDirectory, UserId, UserKey,
    UserOrder, UserQuery, UserRef,
};
use tiergate::types::{Email, ProviderId, Secret, UnixTime};
use tiergate_testbed::{MariaDb, Postgres};

const USERS: usize = 100_000;
/// Users of one call of an import.
const AT_ONCE: usize = 1000;
/// How often a small call is made; the middle one is told.
const CALLS: usize = 21;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(measure_all())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure_all() -> Result<(), Failure> {
    println!("user directory, {USERS} users");
    let folder = tempfile::tempdir()?;
    measure("SQLite", &SqlAddress::Sqlite(folder.path().join("users.db"))).await?;
    let server = MariaDb::start()?;
    measure("MariaDB", &SqlAddress::Mysql(Secret::new(server.database()?))).await?;
    drop(server);
    let server = Postgres::start()?;
    measure("PostgreSQL", &SqlAddress::Postgres(Secret::new(server.database()?))).await
}

async fn measure(name: &str, address: &SqlAddress) -> Result<(), Failure> {
    let store = SqlDirectory::open(address).await?;
    let since = Instant::now();
    for first in (0..USERS).step_by(AT_ONCE) {
        let reports = (first..USERS.min(first + AT_ONCE)).map(report).collect();
        store.report(reports, Actor::Shell, false, UnixTime::from_secs(1)).await?;
    }
    let took = since.elapsed();
    println!("\n{name}\n  {:<34} {:>9.1} s", "import", took.as_secs_f64());

    let page = || UserQuery { limit: 50, ..UserQuery::default() };
    let search = |text: &str| UserQuery { search: Some(text.to_owned()), ..page() };
    let deep = store.users(UserQuery { offset: USERS as u64 * 9 / 10, limit: 1, ..page() }).await?;
    let after = deep.users.first().map(|user| user.id);
    for (what, query) in [
        ("first page", page()),
        ("page after 90 %", UserQuery { after, ..page() }),
        ("page of who was here last", UserQuery { order: UserOrder::LastSeen, ..page() }),
        ("page of a group", UserQuery { group: Some("group-7".to_owned()), ..page() }),
        ("search that finds one", search("person 77777")),
        ("search that finds many", search("example.com")),
        ("search that finds nobody", search("no such person")),
    ] {
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let since = Instant::now();
            store.users(query.clone()).await?;
            times.push(since.elapsed());
        }
        tell(what, times);
    }
    let (mut standings, mut changes) = (Vec::new(), Vec::new());
    for number in 0..CALLS * 10 {
        let key = key(number * 7919 % USERS);
        let since = Instant::now();
        store.standing(key.clone()).await?;
        standings.push(since.elapsed());
        let since = Instant::now();
        store.change(sign_in(key)).await?;
        changes.push(since.elapsed());
    }
    tell("one standing", standings);
    tell("one sign-in", changes);
    Ok(())
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0;
    println!("  {what:<34} {:>9.2} ms   (95 %: {:.2} ms)", at(50), at(95));
}

fn key(number: usize) -> UserKey {
    UserKey::new(&ProviderId::new("main"), &format!("auth0|{number:024x}"))
}

fn report(number: usize) -> ReportRequest {
    let report = Report {
        as_of: UnixTime::from_secs(1),
        user_name: Some(format!("person{number}@example.com")),
        email: Some(Some(Email::new(&format!("person{number}@example.com"), true))),
        name: Some(Some(format!("Person {number} of Somewhere"))),
        groups: Some([format!("group-{}", number % 100), "all".to_owned()].into()),
        ..Report::default()
    };
    ReportRequest { key: key(number), report, new_id: UserId::draw(&SystemRandom) }
}

fn sign_in(key: UserKey) -> ChangeRequest {
    let rights = Rights::default();
    let told = SignedIn { as_of: UnixTime::from_secs(2), rights, email: None, name: None, picture: None };
    ChangeRequest {
        target: UserRef::Key(key),
        change: UserChange::SignedIn(told),
        actor: Actor::SignIn,
        new_id: UserId::draw(&SystemRandom),
        expected_version: None,
        event: None,
        request_id: None,
        now: UnixTime::from_secs(2),
    }
}
