//! A session store that does not answer: nobody is let in, nobody is signed
//! out, and what needs no session goes on.

use std::time::{Duration, Instant};

use tiergate_testbed::Redis;
use tiergate_testbed::{Provider, TokenSpec};

use super::stage::{ask, ask_with, eventually, page, service, session, sign_in};

const DEVEL: &str = "/apps/devel/x";

/// Case G030 of the attack corpus.
pub(crate) fn a_store_that_is_down_is_told_apart_from_a_session_that_is_over() {
    let provider = Provider::start().unwrap();
    let redis = Redis::standalone().unwrap();
    let tiergate = service(&provider, redis.url()).start().unwrap();
    let mut agent = sign_in(&tiergate, "devel").unwrap();
    let cookie = session(&agent).unwrap();
    assert_eq!(ask_with(tiergate.http(), DEVEL, &cookie).unwrap().0, 200);
    let bearer = format!("Bearer {}", provider.mint(&TokenSpec::for_account("devel")).unwrap());

    redis.pause();
    eventually("the store is known to be down", Duration::from_secs(10), || tiergate.readyz().unwrap() == 503);
    for _ in 0..20 {
        let start = Instant::now();
        let answer = ask(tiergate.http(), DEVEL, &[("Cookie", &cookie)]).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
        assert!(answer.header("set-cookie").is_none(), "the cookie stays");
        assert_eq!(ask(tiergate.http(), DEVEL, &[("Authorization", &bearer)]).unwrap().status, 200);
        assert_eq!(ask(tiergate.http(), "/public/x", &[("Cookie", &cookie)]).unwrap().status, 200);
        assert_eq!(ask(tiergate.http(), "/public/x", &[]).unwrap().status, 200);
        assert_eq!(ask(tiergate.http(), DEVEL, &[]).unwrap().status, 401);
    }
    let login = agent.open(&page(&tiergate, "/_auth/login?rd=%2Fpublic%2Fx")).unwrap();
    assert_eq!(login.status(), 503, "{}", login.text());
    assert!(agent.cookie("__Host-tiergate-session").is_some());
    assert!(tiergate.metric("tiergate_store_errors_total", &["store=\"redis\""]).unwrap() > 0.0);

    redis.resume();
    eventually("the store is back", Duration::from_secs(15), || tiergate.readyz().unwrap() == 200);
    eventually("the session is there", Duration::from_secs(15), || {
        ask_with(tiergate.http(), DEVEL, &cookie).unwrap().0 == 200
    });
}
