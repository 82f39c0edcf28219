//! What the directory says counts in every decision, on every replica, at once,
//! and while its database is away.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tiergate::types::UnixTime;
use tiergate_testbed::{Backends, Gateway, KeepAlive, MariaDb, Postgres, Provider, Redis, Upstream};

use super::stage::{admin, ask, eventually, service, sign_in, user_id};

const DEVEL: &str = "/apps/devel/x";
/// Requests of one stream come at this distance; four streams make 200 in a second.
const PAUSE: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_secs(20);

/// What one stream of requests saw.
#[derive(Debug, Default)]
struct Seen {
    admitted: usize,
    refused: usize,
    /// When the last request that was admitted was sent.
    last_admitted: Option<Instant>,
    statuses_of_refusals: Vec<u16>,
}

#[test]
fn a_disabled_user_is_refused_everywhere_within_a_second_and_stays_so_without_cache_and_database() {
    let (provider, redis, database) =
        (Provider::start().unwrap(), Redis::standalone().unwrap(), MariaDb::start().unwrap());
    let url = database.database().unwrap();
    // Without the directory they are not ready, and open what asks for nobody.
    let mut replicas = [0, 1].map(|_| service(&provider, redis.url(), &url, "10m").only_live().start().unwrap());
    for replica in &replicas {
        eventually("the replica is ready", SOON, || replica.readyz().is_ok_and(|status| status == 200));
    }
    let upstream = Upstream::start().unwrap();
    let gateways = [(Gateway::EnvoyGrpc, &replicas[0]), (Gateway::Nginx, &replicas[1])]
        .map(|(gateway, replica)| gateway.start(&Backends::echo(replica, &upstream)).unwrap());
    let credentials = [
        ("Cookie", sign_in(&replicas[0], "devel").unwrap()),
        ("Authorization", format!("Bearer {}", provider.token("devel").unwrap())),
    ];
    let boss = provider.token("admin").unwrap();
    let id = user_id(&replicas[0], &boss, "devel").unwrap();
    let through = |gateway: usize, path: &str, credential: Option<&(&str, String)>| {
        let mut headers = vec![("Accept", "application/json")];
        headers.extend(credential.map(|(name, value)| (*name, value.as_str())));
        KeepAlive::to(gateways[gateway].address()).get(path, &headers).unwrap().status
    };
    for gateway in [0, 1] {
        for credential in &credentials {
            assert_eq!(through(gateway, DEVEL, Some(credential)), 200);
        }
    }

    let streams: Vec<(usize, usize)> = vec![(0, 0), (0, 1), (1, 0), (1, 1)];
    let seen: Vec<Mutex<Seen>> = streams.iter().map(|_| Mutex::default()).collect();
    let done = AtomicBool::new(false);
    let mut answered = None;
    std::thread::scope(|scope| {
        for ((gateway, credential), seen) in streams.iter().zip(&seen) {
            let (address, (name, value), done) = (gateways[*gateway].address(), &credentials[*credential], &done);
            scope.spawn(move || {
                let (mut way, mut next) = (KeepAlive::to(address), Instant::now());
                while !done.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let status = way.get(DEVEL, &[(name, value), ("Accept", "application/json")]).unwrap().status;
                    let mut seen = seen.lock().unwrap();
                    if status == 200 {
                        seen.admitted += 1;
                        seen.last_admitted = Some(sent);
                    } else {
                        seen.refused += 1;
                        if !seen.statuses_of_refusals.contains(&status) {
                            seen.statuses_of_refusals.push(status);
                        }
                    }
                    drop(seen);
                    next += PAUSE;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
        }
        std::thread::sleep(Duration::from_secs(2));
        let disabled = admin(&replicas[0], &boss, "POST", &format!("/users/{id}/disable"), Some(&json!({})));
        answered = Some(Instant::now());
        std::thread::sleep(Duration::from_secs(4));
        done.store(true, Ordering::Relaxed);
        disabled.unwrap();
    });
    let answered = answered.unwrap();
    for ((gateway, credential), seen) in streams.iter().zip(seen) {
        let seen = seen.into_inner().unwrap();
        let what = format!("{} by {}", gateways[*gateway].kind().name(), credentials[*credential].0);
        let late = seen.last_admitted.unwrap().saturating_duration_since(answered);
        println!(
            "{what}: {} admitted, {} refused, the last admitted {late:?} after the answer",
            seen.admitted, seen.refused
        );
        assert!(seen.admitted > 10 && seen.refused > 10, "{what}: {seen:?}");
        assert!(late < Duration::from_secs(1), "{what}: {late:?}");
        assert_eq!(seen.statuses_of_refusals, [403], "{what}");
    }

    // The caches are gone with the processes, and the database does not answer.
    database.kill();
    for replica in &mut replicas {
        replica.process.restart().unwrap();
    }
    for replica in &replicas {
        eventually("the replica answers", SOON, || {
            ask(replica, "/public/x", None).is_ok_and(|(status, _)| status == 200)
        });
    }
    for _ in 0..20 {
        for (gateway, replica) in replicas.iter().enumerate() {
            for credential in &credentials {
                let (status, reason) = ask(replica, DEVEL, Some(credential)).unwrap();
                assert_eq!((status, reason.as_str()), (503, "unavailable"), "{}", credential.0);
                assert_ne!(through(gateway, DEVEL, Some(credential)), 200, "{}", credential.0);
            }
            assert_eq!(through(gateway, "/public/x", None), 200, "a page for anybody opens");
        }
    }
    assert!(replicas.iter().all(|replica| replica.readyz().unwrap() == 503));

    database.restart().unwrap();
    for replica in &replicas {
        for credential in &credentials {
            eventually("the directory is back, and they are disabled", SOON, || {
                ask(replica, DEVEL, Some(credential)).unwrap() == (403, "disabled_user".to_owned())
            });
        }
    }
    admin(&replicas[1], &boss, "POST", &format!("/users/{id}/enable"), None).unwrap();
    for (gateway, replica) in replicas.iter().enumerate() {
        for credential in &credentials {
            eventually("they are let in again", SOON, || ask(replica, DEVEL, Some(credential)).unwrap().0 == 200);
            assert_eq!(through(gateway, DEVEL, Some(credential)), 200);
        }
    }
}

#[test]
fn a_grant_counts_on_every_replica_and_ends_by_itself() {
    let (provider, redis, database) =
        (Provider::start().unwrap(), Redis::standalone().unwrap(), Postgres::start().unwrap());
    let url = database.database().unwrap();
    let replicas = [0, 1].map(|_| service(&provider, redis.url(), &url, "10m").start().unwrap());
    let cookie = ("Cookie", sign_in(&replicas[0], "stable").unwrap());
    let boss = provider.token("admin").unwrap();
    let id = user_id(&replicas[0], &boss, "stable").unwrap();
    assert_eq!(ask(&replicas[1], DEVEL, Some(&cookie)).unwrap().0, 403);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let until = UnixTime::from_secs(i64::try_from(now.as_secs()).unwrap() + 6);
    let path = format!("/users/{id}/grants/devel");
    admin(&replicas[0], &boss, "PUT", &path, Some(&json!({ "until": until.to_string() }))).unwrap();
    assert_eq!(ask(&replicas[0], DEVEL, Some(&cookie)).unwrap().0, 200, "with the answer");
    eventually("the other replica knows", Duration::from_secs(3), || {
        ask(&replicas[1], DEVEL, Some(&cookie)).unwrap().0 == 200
    });
    for replica in &replicas {
        eventually("the grant is over", SOON, || ask(replica, DEVEL, Some(&cookie)).unwrap().0 == 403);
    }
    let over = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(i64::try_from(over.as_secs()).unwrap() >= until.as_secs(), "not before its end");
}

#[test]
fn while_the_database_is_away_what_is_known_counts_for_max_stale() {
    let (provider, redis, database) =
        (Provider::start().unwrap(), Redis::standalone().unwrap(), MariaDb::start().unwrap());
    let url = database.database().unwrap();
    let replica = service(&provider, redis.url(), &url, "5s").start().unwrap();
    let known = ("Authorization", format!("Bearer {}", provider.token("devel").unwrap()));
    let stranger = ("Authorization", format!("Bearer {}", provider.token("ea").unwrap()));
    let refused = ("Cookie", sign_in(&replica, "stable").unwrap());
    let boss = provider.token("admin").unwrap();
    let id = user_id(&replica, &boss, "stable").unwrap();
    assert_eq!(ask(&replica, DEVEL, Some(&known)).unwrap().0, 200);
    assert_eq!(ask(&replica, "/apps/stable/x", Some(&refused)).unwrap().0, 200);
    admin(&replica, &boss, "POST", &format!("/users/{id}/disable"), Some(&json!({}))).unwrap();

    database.pause();
    let away = Instant::now();
    assert_eq!(ask(&replica, "/apps/ea/x", Some(&stranger)).unwrap(), (503, "unavailable".to_owned()));
    assert_eq!(ask(&replica, DEVEL, Some(&known)).unwrap().0, 200);
    eventually("what was known counts no more", SOON, || ask(&replica, DEVEL, Some(&known)).unwrap().0 == 503);
    let counted = away.elapsed();
    println!("what was known counted for {counted:?}");
    // A look that was under way when the database went away may have begun a little before.
    assert!((Duration::from_millis(4000)..Duration::from_secs(8)).contains(&counted), "{counted:?}");
    assert_eq!(ask(&replica, "/apps/stable/x", Some(&refused)).unwrap(), (403, "disabled_user".to_owned()));
    assert_eq!(ask(&replica, "/public/x", Some(&known)).unwrap().0, 200);
    assert!(replica.metric("tiergate_directory_following", &[]).unwrap() < 1.0);
    assert!(
        replica.metric("tiergate_store_errors_total", &["store=\"directory_mysql\"", "op=\"changes\""]).unwrap() > 0.0
    );

    database.resume();
    eventually("the directory is back", SOON, || ask(&replica, DEVEL, Some(&known)).unwrap().0 == 200);
    eventually("it is followed", SOON, || replica.metric("tiergate_directory_following", &[]).unwrap() > 0.0);
}
