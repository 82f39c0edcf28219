//! A service that signs people in is told to stop.

use std::time::{Duration, Instant};

use tiergate_testbed::Provider;
use tiergate_testbed::provider::{Endpoint, Fault};

use super::stage::{ask_with, eventually, page, service, session, sign_in};

#[test]
fn an_idle_service_stops_at_once() {
    let provider = Provider::start().unwrap();
    let mut tiergate = service(&provider, "memory").start().unwrap();
    let mut agent = sign_in(&tiergate, "devel").unwrap();
    assert_eq!(agent.open(&page(&tiergate, "/_auth/")).unwrap().status(), 200);
    let start = Instant::now();
    tiergate.process.terminate();
    let status = tiergate.process.wait_exit(Duration::from_secs(20)).unwrap().expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", tiergate.log());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(!tiergate.log().contains("did not end in time"), "{}", tiergate.log());
}

/// The provider has given new tokens and the service was told to stop before they came: the next start knows them.
#[test]
fn a_refresh_under_way_is_brought_to_its_end() {
    let provider = Provider::start().unwrap();
    provider.set_access_lifetime(4);
    let mut tiergate = service(&provider, "sqlite:sessions.db").start().unwrap();
    let agent = sign_in(&tiergate, "devel").unwrap();
    let cookie = session(&agent).unwrap();
    provider.fail(Endpoint::Token, Fault::Delay(Duration::from_secs(2)));
    let asked = provider.count(Endpoint::Token);
    eventually("a refresh is under way", Duration::from_secs(10), || {
        ask_with(tiergate.http(), "/apps/devel/x", &cookie).unwrap();
        provider.count(Endpoint::Token) > asked
    });
    tiergate.process.terminate();
    let status = tiergate.process.wait_exit(Duration::from_secs(20)).unwrap().expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", tiergate.log());
    provider.heal();
    tiergate.process.restart().unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        assert_eq!(ask_with(tiergate.http(), "/apps/devel/x", &cookie).unwrap().0, 200, "{}", tiergate.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let (good, refused) = provider.refreshes();
    assert!(good >= 2 && refused == 0, "{good} refreshes, {refused} refused");
}
