//! `tokens`: each token built as the corpus says and shown at every door.

use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;
use tiergate_testbed::Endpoint;
use tiergate_testbed::provider::now;

use super::ask::{Answered, Ask, Way, ask};
use super::corpus::{Failures, TokenCase, corpus, goes_over, runnable};
use super::forge::{forge, is_known};
use super::service::{Service, base_token, provider, revoking_service, service, token};

/// Where the log says it in other words than the corpus: case or word of the
/// corpus, reason and cause of ours.
const OUR_WORDS: [(&str, &str, &str); 11] = [
    ("ok", "ok", ""),
    ("no_credentials", "no_credentials", ""),
    // The rule asks for a tier; that a scope grants it is the tier's affair.
    ("insufficient_scope", "insufficient_tier", ""),
    // `require` names a domain, which counts among the permissions.
    ("email_domain", "insufficient_permission", ""),
    // Expiry is the one cause that a client may learn, to fetch a new token.
    ("expired", "expired_token", "expired"),
    ("revoked", "invalid_token", "issued_before_sign_out"),
    // 20 000 brackets are more than 16 KiB, and size is looked at first.
    ("T101", "invalid_token", "too_large"),
    // A proxy joins repeated headers with a comma, and JSON has commas.
    ("T080", "multiple_credentials", "multiple_credentials"),
    // A line break is no character of a token.
    ("T092", "invalid_token", "malformed"),
    // They are too long for a token before anybody counts their words.
    ("T157", "invalid_token", "too_large"),
    ("T183", "invalid_token", "too_large"),
];

/// Set-ups that this version can make.
const SETUPS: [&str; 3] = ["require-email-domain:example.com", "prime-cache-with-valid-token", REVOKED];
/// The subject was signed out everywhere.
const REVOKED: &str = "revoke-subject-at:$NOW-500";

impl TokenCase {
    fn can_run(&self) -> bool {
        self.setup.as_deref().is_none_or(|setup| SETUPS.contains(&setup)) && is_known(self)
    }

    fn service(&self) -> &'static Service {
        if self.setup.as_deref() == Some(REVOKED) { revoking_service() } else { service() }
    }

    fn path(&self) -> &'static str {
        if self.setup.as_deref() == Some("require-email-domain:example.com") { "/mail/x" } else { "/apps/devel/x" }
    }

    /// The request with the token where the case presents it.
    fn request(&self, token: &str) -> Ask {
        let request = Ask::get(self.path());
        let authorization = |value: String| Ask::get(self.path()).header("authorization", value);
        match self.present.as_deref() {
            None => request.bearer(token),
            Some("authorization-lowercase-scheme") => authorization(format!("bearer {token}")),
            Some("basic") => authorization(format!("Basic {token}")),
            Some("bearer-x") => authorization(format!("BearerX {token}")),
            Some("bearer-quoted") => authorization(format!("Bearer \"{token}\"")),
            Some("body") => {
                let form = request.header("content-type", "application/x-www-form-urlencoded");
                Ask { body: format!("access_token={token}").into_bytes(), ..form }
            }
            Some(other) => panic!("{}: unknown way to present a token: {other}", self.id),
        }
    }

    /// Reason and cause that the log has to give, any of these.
    fn words(&self) -> Vec<(&str, &str)> {
        let ours =
            |word: &str| OUR_WORDS.iter().find(|(theirs, ..)| *theirs == word).map(|(_, ours, cause)| (*ours, *cause));
        if let Some(words) = ours(&self.id) {
            return vec![words];
        }
        self.reason.split('|').map(|word| ours(word).unwrap_or(("invalid_token", word))).collect()
    }

    fn check_line(&self, line: &Value) -> Result<(), String> {
        let said = (line["reason"].as_str().unwrap_or_default(), line["cause"].as_str().unwrap_or_default());
        if !self.words().contains(&said) {
            return Err(format!("the log says {said:?}, not {:?}", self.words()));
        }
        Ok(())
    }
}

/// Builds and shows a token within one second of the clock, so that a case on
/// the edge of a time is on that edge when it is judged.
fn show(case: &TokenCase, way: Way, port: u16) -> Result<Answered, String> {
    for _ in 0..50 {
        let then = now();
        let answered = ask(case.service(), way, &case.request(&forge(case, then, port)))?;
        if now() == then {
            return Ok(answered);
        }
    }
    Err("no exchange fits into a second".to_owned())
}

/// Nobody came to fetch what the header of a token points to.
fn nobody_came(listener: &TcpListener) -> Result<(), String> {
    listener.set_nonblocking(true).map_err(|error| error.to_string())?;
    match listener.accept() {
        Ok((_, peer)) => Err(format!("the service fetched what the token names, from {peer}")),
        Err(_) => Ok(()),
    }
}

#[test]
fn every_token_is_judged_as_written_at_every_door() {
    let mut failures = Failures::default();
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = elsewhere.local_addr().expect("an address").port();
    let mut judged: Vec<(&TokenCase, Way, Answered)> = Vec::new();
    let mut refusals: BTreeMap<String, (String, String)> = BTreeMap::new();
    for case in runnable(&corpus().tokens, |case| &case.id, TokenCase::can_run, &mut failures) {
        let fetched = provider().count(Endpoint::Jwks);
        for way in Way::ALL.into_iter().filter(|way| goes_over(&case.id, *way)) {
            for _ in 1..case.repeat.unwrap_or(1).div_ceil(Way::ALL.len()) {
                failures.note(&case.id, show(case, way, port));
            }
            let Some(answered) = failures.note(&case.id, show(case, way, port)) else { continue };
            if !case.expected.hold(answered.status) {
                failures.add(&case.id, format!("{way:?}: {} in place of {:?}", answered.status, case.expected));
            }
            if case.assert_no_outbound {
                failures.note(&case.id, nobody_came(&elsewhere));
            }
            if let Some(status) = case.then_valid {
                let good = ask(service(), way, &Ask::get(case.path()).bearer(&token("devel")));
                if failures.note(&case.id, good).is_some_and(|good| good.status != status) {
                    failures.add(&case.id, "the good token is refused afterwards");
                }
            }
            if answered.status == 401 {
                failures.note(&case.id, says_no_more_than_others(&case.id, &answered, &mut refusals));
            }
            judged.push((case, way, answered));
        }
        let more = provider().count(Endpoint::Jwks) - fetched;
        if case.assert_jwks_fetches_max.is_some_and(|most| more > most) {
            failures.add(&case.id, format!("brought {more} fetches of the key set"));
        }
    }
    let mut lines = HashMap::new();
    for from in [service(), revoking_service()] {
        let told = judged.iter().filter(|(case, ..)| std::ptr::eq(case.service(), from));
        let ids: Vec<String> = told.filter_map(|(_, _, answered)| answered.request_id.clone()).collect();
        lines.extend(from.decisions(&ids));
    }
    for (case, way, answered) in judged {
        let line = answered.request_id.as_ref().map(|id| &lines[id]).ok_or_else(|| "was not logged".to_owned());
        let said = line.and_then(|line| case.check_line(line));
        failures.note(&case.id, said.map_err(|what| format!("{way:?}: {what}")));
    }
    failures.report();
}

/// Two refusals for the same public reason differ in their ids and in nothing
/// else, so that none tells which check failed.
fn says_no_more_than_others(
    id: &str,
    answered: &Answered,
    refusals: &mut BTreeMap<String, (String, String)>,
) -> Result<(), String> {
    let mut body: Value = serde_json::from_str(&answered.body).map_err(|error| format!("no JSON: {error}"))?;
    let members = body.as_object_mut().ok_or("no object")?;
    members.remove("request_id").ok_or("no request id")?;
    let reason = members.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
    let kept: Vec<_> = answered
        .headers
        .iter()
        .filter(|(name, _)| !["date", "content-length", "connection"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let (first, same) = refusals.entry(reason).or_insert_with(|| (id.to_owned(), format!("{body} {kept:?}")));
    let this = format!("{body} {kept:?}");
    if *same == this { Ok(()) } else { Err(format!("tells itself apart from {first}: {this} and {same}")) }
}

/// T157, T183: as long as the corpus has them, they do not even travel. Envoy's
/// message is refused in band; over HTTP the head of the request is too large.
#[test]
fn a_token_of_a_megabyte_is_refused_before_it_is_read() {
    for claim in ["aud", "scope"] {
        let spec = base_token(now()).claim(claim, "portal devel ".repeat(100_000));
        let request = Ask::get("/apps/devel/x").bearer(&provider().mint(&spec).expect("a token"));
        let answered = ask(service(), Way::Grpc, &request).expect("an answer in band");
        assert_eq!(answered.status, 400, "{claim}");
        for way in [Way::AuthRequestUrl, Way::ForwardAuth, Way::ExtAuthz] {
            // It may also be gone before the client has sent everything.
            assert!(
                ask(service(), way, &request).is_err_and(|what| what.contains("431") || what.contains("no answer")),
                "{claim} over {way:?}"
            );
        }
    }
}

/// T087: a compressed token is refused by its header, whatever it would inflate to.
#[test]
fn a_compressed_token_costs_no_time() {
    let case = corpus().tokens.iter().find(|case| case.id == "T087").expect("T087");
    let most = case.assert_max_ms.map(Duration::from_millis).expect("a limit");
    // A process may be kept waiting by others; it is the best of a few that tells what the work takes.
    let answers: Vec<Answered> = (0..8).map(|_| show(case, Way::Grpc, 0).expect("an answer")).collect();
    let ids: Vec<String> = answers.iter().filter_map(|answered| answered.request_id.clone()).collect();
    let lines = service().decisions(&ids);
    let took = ids.iter().filter_map(|id| lines[id]["duration_us"].as_u64()).min().map(Duration::from_micros);
    assert!(took.is_some_and(|took| took <= most), "T087 took {took:?}");
}

/// T202: one verified token is kept under all of its bytes. The cache is primed
/// over gRPC before the changed token is shown, whose claims are the same.
#[test]
fn a_kept_token_vouches_for_no_other_signature() {
    let good = token("devel");
    let mut changed = good.clone();
    let at = changed.rfind('.').expect("three parts") + 10;
    let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
    changed.replace_range(at..=at, other);
    for way in Way::ALL {
        for (token, status) in [(&good, 200), (&changed, 401), (&good, 200)] {
            let answered = ask(service(), way, &Ask::get("/apps/devel/x").bearer(token)).expect("T202");
            assert_eq!(answered.status, status, "T202 over {way:?}");
        }
    }
}
