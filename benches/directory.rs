//! `make bench`: what the user directory takes with 100 000 users, on each
//! database. The servers run on this machine and take their share of its cores.
//!
//! ```text
//! cargo bench --bench directory [-- USERS [FILE]]     FILE: the figures as JSON, too
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement is what it prints, and times what it measures"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory};
use tiergate::backend::system::SystemRandom;
use tiergate::directory::{
    Actor, ChangeRequest, Report, ReportRequest, Rights, SignedIn, UserChange, UserDirectory, UserId, UserKey,
    UserOrder, UserQuery, UserRef,
};
use tiergate::types::{Email, ProviderId, Secret, UnixTime};
use tiergate_testbed::{MariaDb, Postgres};

/// Unless another number is asked for.
const USERS: usize = 100_000;
/// Users of one call of an import.
const AT_ONCE: usize = 1000;
/// How often a small call is made; the middle one is told.
const CALLS: usize = 21;

type Failure = Box<dyn std::error::Error>;

/// One figure, in milliseconds.
struct Figure {
    database: &'static str,
    what: &'static str,
    median: f64,
    /// 95 of 100 calls take no longer.
    most: f64,
}

fn main() -> ExitCode {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let users = arguments.next().map_or(Some(USERS), |users| users.parse().ok());
    let Some(users) = users.filter(|users| *users > 0) else {
        eprintln!("usage: cargo bench --bench directory [-- USERS [FILE]]");
        return ExitCode::from(2);
    };
    let file = arguments.next();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(measure_all(users, file.as_deref()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure_all(users: usize, file: Option<&str>) -> Result<(), Failure> {
    println!("user directory, {users} users");
    let mut figures = Vec::new();
    let folder = tempfile::tempdir()?;
    measure("SQLite", &SqlAddress::Sqlite(folder.path().join("users.db")), users, &mut figures).await?;
    let server = MariaDb::start()?;
    measure("MariaDB", &SqlAddress::Mysql(Secret::new(server.database()?)), users, &mut figures).await?;
    drop(server);
    let server = Postgres::start()?;
    measure("PostgreSQL", &SqlAddress::Postgres(Secret::new(server.database()?)), users, &mut figures).await?;
    if let Some(file) = file {
        let figures = figures.iter().map(|Figure { database, what, median, most }| {
            json!({ "database": database, "what": what, "median_ms": median, "most_ms": most })
        });
        std::fs::write(file, Value::from_iter(figures).to_string())?;
    }
    Ok(())
}

async fn measure(
    name: &'static str,
    address: &SqlAddress,
    users: usize,
    figures: &mut Vec<Figure>,
) -> Result<(), Failure> {
    let mut tell = |what, times| {
        let figure = figure(name, what, times);
        println!("  {what:<34} {:>9.2} ms   (95 %: {:.2} ms)", figure.median, figure.most);
        figures.push(figure);
    };
    let store = SqlDirectory::open(address).await?;
    println!("\n{name}");
    let since = Instant::now();
    for first in (0..users).step_by(AT_ONCE) {
        let reports = (first..users.min(first + AT_ONCE)).map(report).collect();
        store.report(reports, Actor::Shell, false, UnixTime::from_secs(1)).await?;
    }
    tell("import", vec![since.elapsed()]);

    let page = || UserQuery { limit: 50, ..UserQuery::default() };
    let search = |text: &str| UserQuery { search: Some(text.to_owned()), ..page() };
    let deep = store.users(UserQuery { offset: users as u64 * 9 / 10, limit: 1, ..page() }).await?;
    let after = deep.users.first().map(|user| user.id);
    for (what, query) in [
        ("first page", page()),
        ("page after 90 %", UserQuery { after, ..page() }),
        ("page of who was here last", UserQuery { order: UserOrder::LastSeen, ..page() }),
        ("page of a group", UserQuery { group: Some("group-7".to_owned()), ..page() }),
        ("search that finds one", search(&format!("person {}", users * 7 / 9))),
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
        let key = key(number * 7919 % users);
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

fn figure(database: &'static str, what: &'static str, mut times: Vec<Duration>) -> Figure {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0;
    Figure { database, what, median: at(50), most: at(95) }
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
