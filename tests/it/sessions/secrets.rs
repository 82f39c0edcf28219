//! What is secret in a sign-in stands in no log, at no level, and in no answer
//! but the one that has to carry it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tiergate_testbed::Provider;
use tiergate_testbed::provider::WEB_CLIENT_SECRET;

use super::stage::{SECRET, ask, ask_with, eventually, page, service, session, sign_in};

#[test]
fn no_log_holds_a_secret_of_a_sign_in() {
    let provider = Provider::start().unwrap();
    provider.set_access_lifetime(2);
    let tokens: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&tokens);
    provider.shape_token_answers(move |answer| {
        let texts = ["access_token", "refresh_token", "id_token"].iter().filter_map(|name| answer[*name].as_str());
        kept.lock().unwrap().extend(texts.map(str::to_owned));
        answer
    });
    let tiergate = service(&provider, "sqlite:sessions.db").start().unwrap();
    provider.set_backchannel_logout(&format!("http://127.0.0.1:{}/_auth/backchannel-logout", tiergate.http().port()));
    let mut secrets: Vec<String> = vec![SECRET.to_owned(), WEB_CLIENT_SECRET.to_owned()];

    let mut agent = sign_in(&tiergate, "devel").unwrap();
    let cookie = session(&agent).unwrap();
    // Every parameter that a redirect carried: state, nonce, challenge, code.
    let again = agent.open(&page(&tiergate, "/_auth/login?rd=%2Fpublic%2Fx")).unwrap();
    assert!(again.steps.len() <= 2, "a live session just goes on: {}", again.trail());
    let mut other = tiergate_testbed::UserAgent::new();
    let choice = other.open(&page(&tiergate, "/_auth/login?rd=%2Fpublic%2Fx")).unwrap();
    let visit = other.submit(&choice, &[("account", "ea")]).unwrap();
    for url in choice.steps.iter().chain(&visit.steps).map(|step| step.url.as_str()) {
        let query = url.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        secrets.extend(
            pairs
                .filter(|(name, _)| ["state", "nonce", "code", "code_challenge"].contains(name))
                .map(|(_, value)| value.to_owned()),
        );
    }
    assert!(secrets.len() >= 6, "the redirects carried their parameters: {}", visit.trail());
    secrets.extend([&agent, &other].iter().flat_map(|agent| agent.cookies()).map(|cookie| cookie.value.clone()));

    // Answers of every kind, faults and a refresh.
    for path in ["/apps/devel/x", "/apps/admin/x", "/nowhere"] {
        ask_with(tiergate.http(), path, &cookie).unwrap();
    }
    let me = agent.fetch("GET", &page(&tiergate, "/_auth/me"), &[]).unwrap();
    assert_eq!(me.status, 200, "{}", me.text());
    let broken = format!("{cookie}x");
    ask(tiergate.http(), "/apps/devel/x", &[("Cookie", &broken)]).unwrap();
    let replayed = visit.step("/_auth/callback").unwrap().url.clone();
    assert_eq!(other.open(&replayed).unwrap().steps[0].answer.status, 400, "a code counts once");
    eventually("a refresh", Duration::from_secs(10), || {
        ask_with(tiergate.http(), "/apps/devel/x", &cookie).unwrap();
        provider.refreshes().0 > 0
    });
    let listing = agent.open(&page(&tiergate, "/_auth/sessions")).unwrap();
    assert_eq!(listing.status(), 200);
    provider.log_out("devel").unwrap();
    secrets.extend(tokens.lock().unwrap().iter().flat_map(|token| {
        let parts: Vec<&str> = token.split('.').collect();
        // Claims and signature each say enough; the header says nothing.
        if parts.len() == 3 { vec![parts[1].to_owned(), parts[2].to_owned()] } else { vec![token.clone()] }
    }));
    secrets.sort();
    secrets.dedup();
    secrets.retain(|secret| secret.len() >= 16);

    let log = tiergate.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the service was to write down everything it can");
    assert!(log.contains("\"subject\":\"dev|devel\""), "the decisions are there");
    for secret in &secrets {
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "the log holds a secret ({} …): {}", &secret[..6], line.unwrap_or_default());
        for text in [me.text(), listing.text()] {
            assert!(!text.contains(secret.as_str()), "a page holds a secret: {text}");
        }
    }
    println!("{} secrets looked for in {} lines", secrets.len(), log.lines().count());
}
