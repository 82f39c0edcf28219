//! What the directory says counts in every decision, on every replica, at once,
//! and while its database is away.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tiergate::types::UnixTime;
use tiergate_testbed::{
    Backends, Gateway, KeepAlive, Load, MariaDb, Observed, Postgres, Provider, Redis, Stream, Upstream,
};

use super::stage::{admin, ask, eventually, service, sign_in, user_id};

const DEVEL: &str = "/apps/devel/x";
/// What is asked of each of cookie and bearer token in a second, over both replicas.
const PER_SECOND: u32 = 200;
/// What each stream sends in a second: somewhat more than its half, for the load begins with new connections.
const OF_STREAM: u32 = 108;
const CONNECTIONS: usize = 12;
/// The load before the user is disabled, and after the answer to that.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_secs(20);

/// What came of disabling somebody under load.
struct Measured {
    called: Instant,
    answered: Instant,
    /// How many requests a second were answered while the load went on, of each stream.
    reached: Vec<f64>,
    streams: Vec<Vec<Observed>>,
}

/// Disables somebody by `disable` while these streams go on.
fn disable_under(streams: Vec<Stream>, disable: impl FnOnce()) -> Measured {
    let begun = Instant::now();
    let load = Load::start(streams);
    std::thread::sleep(BEFORE);
    let called = Instant::now();
    disable();
    let answered = Instant::now();
    std::thread::sleep(AFTER);
    let window = begun.elapsed();
    let streams = load.end().unwrap();
    let reached = streams.iter().map(|seen| {
        let within = seen.iter().filter(|one| one.answered.duration_since(begun) <= window).count();
        within as f64 / window.as_secs_f64()
    });
    Measured { called, answered, reached: reached.collect(), streams }
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

    let streams = [(0, 0), (0, 1), (1, 0), (1, 1)];
    let load: Vec<Stream> = streams
        .iter()
        .map(|(gateway, credential)| {
            let (name, value) = &credentials[*credential];
            let accept = ("Accept".to_owned(), "application/json".to_owned());
            Stream {
                address: gateways[*gateway].address(),
                target: DEVEL.to_owned(),
                headers: vec![((*name).to_owned(), value.clone()), accept],
                per_second: OF_STREAM,
                connections: CONNECTIONS,
            }
        })
        .collect();
    let disable = || {
        admin(&replicas[0], &boss, "POST", &format!("/users/{id}/disable"), Some(&json!({}))).unwrap();
    };
    let rate = |measured: &Measured| {
        let of = |credential: usize| streams.iter().zip(&measured.reached).filter(move |(of, _)| of.1 == credential);
        [0, 1].map(|credential| of(credential).map(|(_, reached)| reached).sum::<f64>())
    };
    let mut measured = disable_under(load.clone(), disable);
    println!("requests a second by cookie and bearer: {:.0?}", rate(&measured));
    if rate(&measured).iter().any(|reached| *reached < f64::from(PER_SECOND)) {
        // Something else had the machine: once more.
        admin(&replicas[0], &boss, "POST", &format!("/users/{id}/enable"), None).unwrap();
        for (gateway, credential) in streams {
            eventually("they are let in again", SOON, || {
                through(gateway, DEVEL, Some(&credentials[credential])) == 200
            });
        }
        measured = disable_under(load, disable);
        println!("requests a second by cookie and bearer, once more: {:.0?}", rate(&measured));
    }
    for ((gateway, credential), seen) in streams.iter().zip(&measured.streams) {
        let what = format!("{} by {}", gateways[*gateway].kind().name(), credentials[*credential].0);
        let (admitted, refused): (Vec<&Observed>, Vec<&Observed>) = seen.iter().partition(|one| one.status == 200);
        let after = |moment: Option<Instant>| moment.unwrap().saturating_duration_since(measured.answered);
        let late = after(admitted.iter().map(|one| one.sent).max());
        let last = after(admitted.iter().map(|one| one.answered).max());
        println!(
            "{what}: {} admitted, {} refused; the last admitted was sent {late:?} and answered {last:?} after the answer",
            admitted.len(),
            refused.len()
        );
        assert!(late < Duration::from_secs(1), "{what}: {late:?}");
        let other: Vec<u16> = refused.iter().map(|one| one.status).filter(|status| *status != 403).collect();
        assert!(other.is_empty(), "{what}: {other:?}");
        assert!(!admitted.is_empty() && !refused.is_empty(), "{what}");
        let before = refused.iter().filter(|one| one.answered < measured.called).count();
        assert_eq!(before, 0, "{what}: refused before they were disabled");
    }
    let reached = rate(&measured);
    assert!(
        reached.iter().all(|reached| *reached >= f64::from(PER_SECOND)),
        "by cookie and bearer {reached:.0?} requests a second were reached, and {PER_SECOND} on each are wanted: \
         the bound holds, and this machine is too busy to show it under that load"
    );

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
