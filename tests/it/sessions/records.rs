//! Records that somebody changed in the store.

use std::time::Duration;

use tiergate_testbed::{Provider, Redis};

use super::stage::{ask, ask_with, eventually, service, session, sign_in};

const DEVEL: &str = "/apps/devel/x";
const ANOTHER_SECRET: &str = "another secret";
/// How long a machine that is busy may take.
const SOON: Duration = Duration::from_secs(10);

/// Case G031 of the attack corpus.
pub(crate) fn a_record_that_was_changed_is_no_session_and_is_removed() {
    let provider = Provider::start().unwrap();
    let redis = Redis::standalone().unwrap();
    let tiergate = service(&provider, redis.url()).start().unwrap();
    let port = redis.ports()[0];
    let keys = || -> Vec<String> {
        let all = redis.cli(port, &["KEYS", "tiergate:*:s"]).unwrap();
        all.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let own = "local d = redis.call('HGET', KEYS[1], 'd') ";
    let put = "redis.call('HSET', KEYS[1], 'd', ";
    for (what, change) in [
        ("an older format", "string.char(0) .. string.sub(d, 2))"),
        (ANOTHER_SECRET, "string.sub(d, 1, 1) .. 'abcd' .. string.sub(d, 6))"),
        ("one bit", "string.sub(d, 1, -2) .. string.char((string.byte(d, -1) + 1) % 256))"),
        ("cut short", "string.sub(d, 1, 10))"),
        ("nothing", "'')"),
        ("no record at all", "string.rep('x', 300))"),
        ("that of another session", "redis.call('HGET', KEYS[2], 'd'))"),
    ] {
        let cookie = session(&sign_in(&tiergate, "devel").unwrap()).unwrap();
        assert_eq!(ask_with(tiergate.http(), DEVEL, &cookie).unwrap().0, 200);
        let [changed] = keys().try_into().unwrap();
        let other = session(&sign_in(&tiergate, "devel").unwrap()).unwrap();
        let untouched = keys().into_iter().find(|key| *key != changed).unwrap();
        redis.cli(port, &["EVAL", &format!("{own}{put}{change}"), "2", &changed, &untouched]).unwrap();
        eventually(what, SOON, || {
            ask_with(tiergate.http(), DEVEL, &cookie).unwrap() == (401, "session_expired".to_owned())
        });
        // Another instance may know that secret, and open what it sealed.
        let stays = what == ANOTHER_SECRET;
        eventually("the record is removed", SOON, || keys().contains(&changed) == stays);
        let answer = ask(tiergate.http(), DEVEL, &[("Cookie", &cookie)]).unwrap();
        assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{what}: it stays");
        assert_eq!(ask_with(tiergate.http(), DEVEL, &other).unwrap().0, 200, "{what}: the other one goes on");
        redis.cli(port, &["DEL", &changed, &untouched]).unwrap();
        eventually("the other one is gone too", SOON, || ask_with(tiergate.http(), DEVEL, &other).unwrap().0 == 401);
    }
}
