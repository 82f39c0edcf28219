//! Sessions whose tokens run out: renewed in silence, once, with what the
//! provider grants then.

use std::time::{Duration, Instant};

use tiergate_testbed::Provider;
use tiergate_testbed::provider::{Endpoint, Fault};

use super::stage::{ask_with, eventually, page, service, session, sign_in};

const DEVEL: &str = "/apps/devel/x";
const STABLE: &str = "/apps/stable/x";
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_removed_tier_goes_away_at_the_next_refresh_and_comes_back_like_that() {
    let provider = Provider::start().unwrap();
    provider.set_access_lifetime(2);
    let tiergate = service(&provider, "memory").start().unwrap();
    let agent = sign_in(&tiergate, "devel").unwrap();
    let cookie = session(&agent).unwrap();
    let ask = |path| ask_with(tiergate.http(), path, &cookie).unwrap();
    assert_eq!(ask(DEVEL), (200, String::new()));
    provider.set_scopes("devel", &[]).unwrap();
    eventually("the tier is gone", SOON, || ask(DEVEL) == (403, "insufficient_tier".to_owned()));
    assert_eq!(ask(STABLE).0, 200, "the person is still signed in");
    provider.set_scopes("devel", &["access:devel"]).unwrap();
    eventually("the tier is back", SOON, || ask(DEVEL).0 == 200);
    assert_eq!(provider.refreshes().1, 0, "no refresh token was used twice");
}

#[test]
fn a_session_lives_on_while_the_provider_is_down_and_ends_when_the_provider_says_so() {
    let provider = Provider::start().unwrap();
    provider.set_access_lifetime(2);
    let tiergate = service(&provider, "memory").start().unwrap();
    let agent = sign_in(&tiergate, "devel").unwrap();
    let cookie = session(&agent).unwrap();
    let ask = |path| ask_with(tiergate.http(), path, &cookie).unwrap();
    provider.fail(Endpoint::Token, Fault::Status(503));
    let before = provider.count(Endpoint::Token);
    // Well past the end of the access token.
    eventually("a refresh was tried", SOON, || {
        assert_eq!(ask(DEVEL).0, 200);
        provider.count(Endpoint::Token) > before
    });
    provider.go_down();
    for _ in 0..150 {
        assert_eq!(ask(DEVEL).0, 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    provider.come_back().unwrap();
    provider.heal();
    eventually("the session is refreshed again", Duration::from_secs(20), || {
        assert_eq!(ask(DEVEL).0, 200);
        provider.refreshes().0 > 0
    });
    provider.end_sessions_of("devel");
    eventually("the session is over", Duration::from_secs(20), || ask(DEVEL) == (401, "session_expired".to_owned()));
}

#[test]
fn signing_out_ends_the_session_here_and_the_refresh_token_there() {
    let provider = Provider::start().unwrap();
    let tiergate = service(&provider, "memory").start().unwrap();
    let mut agent = sign_in(&tiergate, "devel").unwrap();
    let cookie = session(&agent).unwrap();
    assert_eq!(ask_with(tiergate.http(), DEVEL, &cookie).unwrap().0, 200);
    let confirm = agent.open(&page(&tiergate, "/_auth/logout")).unwrap();
    assert_eq!(confirm.status(), 200);
    assert_eq!(ask_with(tiergate.http(), DEVEL, &cookie).unwrap().0, 200, "to look at the page signs nobody out");
    agent.submit(&confirm, &[]).unwrap();
    assert_eq!(ask_with(tiergate.http(), DEVEL, &cookie).unwrap(), (401, "session_expired".to_owned()));
    assert!(agent.cookie("__Host-tiergate-session").is_none(), "the cookie is gone");
    eventually("the refresh token is revoked", SOON, || provider.revoked().len() == 1);
}

/// Case G035 of the attack corpus.
pub(crate) fn two_tabs_refresh_a_session_once() {
    const LIFETIME: i64 = 8;
    let provider = Provider::start().unwrap();
    provider.set_access_lifetime(LIFETIME);
    let tiergate = service(&provider, "memory").start().unwrap();
    let agent = sign_in(&tiergate, "devel").unwrap();
    let cookie = session(&agent).unwrap();
    // An answer that takes its time: the other tab asks while the first one waits for it.
    provider.fail(Endpoint::Token, Fault::Delay(Duration::from_millis(300)));
    let start = Instant::now();
    // Some rounds more after the refresh: a second one would come in them.
    let mut left = 20;
    while left > 0 && start.elapsed() < 2 * SOON {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let answer = ask_with(tiergate.http(), DEVEL, &cookie).unwrap();
                    assert_eq!(answer, (200, String::new()), "after {:?}", start.elapsed());
                });
            }
        });
        left -= usize::from(provider.refreshes().0 > 0);
    }
    assert_eq!(provider.refreshes(), (1, 0), "after {:?}", start.elapsed());
}
