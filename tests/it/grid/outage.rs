//! Outages behind all six proxies: no answer is a refusal, and what can still
//! be decided is.

use std::time::Duration;

use tiergate_testbed::{Gateway, Provider, Tiergate, TokenSpec};

use super::stage::{AskedAll, BINARY, Stage, config, eventually};

const RULES: &str = r#"
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /public/**, tier: public }
"#;

/// Long enough for HAProxy's four connection attempts.
const SOON: Duration = Duration::from_secs(15);
/// Traefik gives up on a check after 30 s.
const AT_LAST: Duration = Duration::from_secs(45);

const APP: &str = "/apps/stable/maps/";
const PUBLIC: &str = "/public/x";

#[test]
fn outages_refuse_and_end() {
    let provider = Provider::start().unwrap();
    let token = provider.mint(&TokenSpec::for_account("stable")).unwrap();
    let bearer = format!("Bearer {token}");
    let with_token = [("Authorization", bearer.as_str())];
    provider.go_down();
    let tiergate = Tiergate::builder(BINARY, &config(&provider, RULES)).only_live();
    let mut stage = Stage::start(provider, &tiergate, false).unwrap();

    // The provider is down since before the start: what needs no keys is decided.
    assert_eq!(stage.tiergate.readyz().unwrap(), 503);
    let no_keys = |gateway| if gateway == Gateway::EnvoyHttp { 403 } else { 503 };
    answered(&stage, PUBLIC, &[], |_| vec![200]);
    answered(&stage, PUBLIC, &with_token, |_| vec![200]);
    answered(&stage, APP, &[], |_| vec![401]);
    answered(&stage, APP, &with_token, |gateway| vec![no_keys(gateway)]);
    answered(&stage, "/nowhere", &with_token, |_| vec![403]);

    // It comes up, and nobody has to restart anything.
    stage.provider.come_back().unwrap();
    eventually("ready once the provider is", Duration::from_secs(20), || stage.tiergate.readyz().unwrap() == 200);
    answered(&stage, APP, &with_token, |_| vec![200]);

    // It goes down again: its keys are known.
    stage.provider.go_down();
    answered(&stage, APP, &with_token, |_| vec![200]);

    // The service hangs: its sockets are open and nothing comes.
    stage.tiergate.process.pause();
    refused(APP, stage.ask_all(APP, &with_token, AT_LAST).unwrap(), "hangs");
    stage.tiergate.process.resume();

    // The service is gone.
    stage.tiergate.process.kill();
    for target in [APP, PUBLIC, "/nowhere"] {
        refused(target, stage.ask_all(target, &with_token, SOON).unwrap(), "is gone");
    }

    // And back.
    stage.provider.come_back().unwrap();
    stage.tiergate.process.restart().unwrap();
    eventually("ready again", Duration::from_secs(20), || stage.tiergate.readyz().unwrap() == 200);
    eventually("admitted through every proxy again", Duration::from_secs(20), || {
        let asked = stage.ask_all(APP, &with_token, SOON).unwrap();
        asked.answers.iter().all(|(_, answer)| answer.as_ref().is_ok_and(|answer| answer.status == 200))
    });
}

/// Each proxy answers with one of its statuses, and the upstreams hear of what was admitted alone.
fn answered(stage: &Stage, target: &str, headers: &[(&str, &str)], expected: impl Fn(Gateway) -> Vec<u16>) {
    let AskedAll { answers, landed } = stage.ask_all(target, headers, SOON).unwrap();
    let mut admitted = 0;
    for (gateway, answer) in answers {
        let status = answer.unwrap().status;
        let expected = expected(gateway);
        assert!(
            expected.contains(&status),
            "{} answered {status} in place of {expected:?} for {target}",
            gateway.name()
        );
        admitted += usize::from(status == 200);
    }
    assert_eq!(landed.len(), admitted, "{target}: {landed:?}");
}

fn refused(target: &str, asked: AskedAll, how: &str) {
    let AskedAll { answers, landed } = asked;
    for (gateway, answer) in answers {
        let status = answer.unwrap().status;
        let is_refusal = status == 403 || (500..=599).contains(&status);
        assert!(is_refusal, "the service {how}, and {} answered {status} for {target}", gateway.name());
    }
    assert!(landed.is_empty(), "the service {how}, and the upstreams received {landed:?}");
}
