//! The API at 100 000 users.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tiergate::backend::system::{SystemClock, SystemRandom};
use tiergate::directory::{Actor, Report, ReportRequest, UserDirectory as _, UserId, UserKey};
use tiergate::types::{Clock as _, Email, ProviderId};

use crate::admin::stage::Stage;

const USERS: usize = 100_000;
/// In a build without optimisation, on a machine that does other things too.
const LIMIT: Duration = Duration::from_millis(300);

fn report(number: usize) -> ReportRequest {
    let groups =
        if number.is_multiple_of(1000) { vec!["rare".to_owned()] } else { vec![format!("team-{}", number % 50)] };
    ReportRequest {
        key: UserKey::new(&ProviderId::new("main"), &format!("auth0|{number:06}")),
        report: Report {
            as_of: SystemClock::new().now(),
            user_name: Some(format!("user{number:06}@example.com")),
            email: Some(Some(Email::new(&format!("user{number:06}@example.com"), true))),
            name: Some(Some(format!("Person Number{number:06}"))),
            groups: Some(groups.into_iter().collect::<BTreeSet<_>>()),
            disabled: Some(number % 500 == 7),
            ..Report::default()
        },
        new_id: UserId::draw(&SystemRandom),
    }
}

#[test]
fn lists_searches_and_pages_are_quick_at_a_hundred_thousand_users() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let store = Stage::store(folder.path()).await.unwrap();
        let all: Vec<usize> = (0..USERS).collect();
        for some in all.chunks(2000) {
            let reports = some.iter().copied().map(report).collect();
            store.report(reports, Actor::Shell, false, SystemClock::new().now()).await.unwrap();
        }
    });
    println!("{USERS} users imported in {:.1?}", start.elapsed());
    let stage = Stage::start_in(folder).unwrap();
    let mut cursor = None;
    let mut seen = BTreeSet::new();
    let cases: Vec<(&str, String, Option<u64>)> = vec![
        ("the first page", "?limit=50".to_owned(), Some(USERS as u64)),
        ("the largest page", "?limit=200".to_owned(), Some(USERS as u64)),
        ("who was here last", "?order=last_seen&limit=50".to_owned(), Some(USERS as u64)),
        ("one person by address", "?search=user042424%40example.com".to_owned(), Some(1)),
        ("one person by name", "?search=number099999".to_owned(), Some(1)),
        ("one person by subject", "?search=auth0%7C012345".to_owned(), Some(1)),
        ("nobody", "?search=zzzzzz".to_owned(), Some(0)),
        ("everybody by a part", "?search=example.com&limit=50".to_owned(), Some(USERS as u64)),
        ("who is refused", "?disabled=true".to_owned(), Some(200)),
        ("a small group", "?group=rare".to_owned(), Some(100)),
        ("a large group", "?group=team-7&limit=50".to_owned(), None),
        ("a provider", "?provider=main&limit=50".to_owned(), Some(USERS as u64)),
        ("a tier that nobody was given", "?tier=admin".to_owned(), Some(0)),
    ];
    let mut slow = Vec::new();
    let mut ask = |what: &str, query: &str| -> Value {
        // The best of three: others use the machine as well.
        let mut best = Duration::MAX;
        let mut found = Value::Null;
        for _ in 0..3 {
            let start = Instant::now();
            found = stage.done("GET", &format!("/users{query}"), None, 200).unwrap();
            best = best.min(start.elapsed());
        }
        println!("{what:<30} {:>7.1} ms", best.as_secs_f64() * 1000.0);
        if best > LIMIT {
            slow.push(format!("{what}: {best:?}"));
        }
        found
    };
    for (what, query, total) in &cases {
        let found = ask(what, query);
        if let Some(total) = total {
            assert_eq!(found["total"], *total, "{what}");
        }
    }
    for page in 0..5 {
        let query = cursor.map_or("?limit=200".to_owned(), |cursor: String| format!("?limit=200&cursor={cursor}"));
        let found = ask(&format!("page {page}"), &query);
        for user in found["users"].as_array().unwrap() {
            assert!(seen.insert(user["id"].as_str().unwrap().to_owned()), "twice: {user}");
        }
        cursor = found["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen.len(), 1000);
    assert!(slow.is_empty(), "slower than {LIMIT:?}:\n{}", slow.join("\n"));
}
