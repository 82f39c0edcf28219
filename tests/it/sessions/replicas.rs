//! Two instances with one Redis: one session for both, refreshed once for both.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tiergate_testbed::Provider;
use tiergate_testbed::Redis;

use super::stage::{ask_with, eventually, service, session, sign_in};

const DEVEL: &str = "/apps/devel/x";
/// Access tokens live this long.
const LIFETIME: u64 = 4;
/// So many of them run out while the test goes on.
const EXPIRIES: usize = 10;
const THREADS: usize = 4;
/// Together 200 requests in a second.
const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn a_session_on_two_replicas_is_refreshed_once_for_both_and_never_lost() {
    let provider = Provider::start().unwrap();
    provider.set_access_lifetime(i64::try_from(LIFETIME).unwrap());
    let redis = Redis::standalone().unwrap();
    let replicas = [0, 1].map(|_| service(&provider, redis.url()).start().unwrap());
    let agent = sign_in(&replicas[0], "devel").unwrap();
    let cookie = session(&agent).unwrap();
    let start = Instant::now();
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (replica, cookie, done, asked) = (&replicas[thread % 2], &cookie, &done, &asked);
            scope.spawn(move || {
                let mut next = Instant::now();
                while !done.load(Ordering::Relaxed) {
                    let answer = ask_with(replica.http(), DEVEL, cookie);
                    if !matches!(&answer, Ok((200, _))) {
                        done.store(true, Ordering::Relaxed);
                        panic!("after {:?}: {answer:?}", start.elapsed());
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    next += PAUSE;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
        }
        let enough = Duration::from_secs(LIFETIME * u64::try_from(EXPIRIES).unwrap() * 2);
        while provider.refreshes().0 < EXPIRIES && start.elapsed() < enough && !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        done.store(true, Ordering::Relaxed);
    });
    let (good, refused) = provider.refreshes();
    let (asked, took) = (asked.load(Ordering::Relaxed), start.elapsed());
    println!("{asked} requests in {took:?}, {good} refreshes, {refused} refused");
    assert_eq!(refused, 0, "a refresh token was used twice");
    assert!(good >= EXPIRIES, "{good} refreshes in {took:?}");
    // A token is renewed when a quarter of its life is left, and its times are whole seconds: more refreshes than one
    // in each two seconds were not one for each expiry.
    let most = took.as_millis() / (u128::from(LIFETIME) * 750 - 1000) + 1;
    assert!(u128::try_from(good).unwrap() <= most, "{good} refreshes in {took:?}");
    assert!(asked > took.as_millis() as usize / 10, "only {asked} requests in {took:?}");
    let renewed = |replica: &tiergate_testbed::Tiergate| {
        replica.metric("tiergate_session_refresh_total", &["result=\"renewed\""]).unwrap()
    };
    assert!((renewed(&replicas[0]) + renewed(&replicas[1]) - good as f64).abs() <= 1.0);
}

#[test]
fn a_session_that_ended_on_one_replica_is_over_on_the_other_within_100_ms() {
    let provider = Provider::start().unwrap();
    let redis = Redis::standalone().unwrap();
    let replicas = [0, 1].map(|_| service(&provider, redis.url()).start().unwrap());
    provider
        .set_backchannel_logout(&format!("http://127.0.0.1:{}/_auth/backchannel-logout", replicas[0].http().port()));
    let mut seen = Vec::new();
    for _ in 0..10 {
        let agent = sign_in(&replicas[0], "devel").unwrap();
        let cookie = session(&agent).unwrap();
        for replica in &replicas {
            for _ in 0..3 {
                assert_eq!(ask_with(replica.http(), DEVEL, &cookie).unwrap().0, 200);
            }
        }
        assert_eq!(provider.log_out("devel").unwrap(), [200]);
        let ended = Instant::now();
        eventually("the session is over on the other replica", Duration::from_secs(5), || {
            ask_with(replicas[1].http(), DEVEL, &cookie).unwrap().0 == 401
        });
        seen.push(ended.elapsed());
        assert_eq!(ask_with(replicas[0].http(), DEVEL, &cookie).unwrap().0, 401);
    }
    println!("over on the other replica after {seen:?}");
    seen.sort_unstable();
    // A process of its own asks over HTTP here: a busy machine delays some of the rounds, and never most of them.
    assert!(seen[5] < Duration::from_millis(100) && seen[9] < Duration::from_millis(500), "{seen:?}");
}
