//! `jwks`: a provider that fails, lies or changes its keys. One service knows
//! many providers, one for each case, so that no fault disturbs another case.
//!
//! J009 and J010 say that the start is refused. This service starts while a
//! provider is down, on purpose: what a discovery document says must not decide
//! whether everybody else is served. A document of another issuer, or one that
//! sends us to another host, is therefore a refresh that failed: no key of it
//! is ever used, the service is not ready, and the metric says why.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prost::Message as _;
use serde_json::{Value, json};
use tiergate::token::{Freshness, JwksCache, KeySet, UnknownKid};
use tiergate::types::Monotonic;
use tiergate_testbed::provider::base64url;
use tiergate_testbed::{Endpoint, Fault, Key, Provider, Tiergate, TokenSpec};

use super::ask::{Answered, Ask, Way, ask, of_check};
use super::corpus::{Failures, corpus, runnable};
use super::service::{PATIENCE, Service};

type Check = fn() -> Result<(), String>;

/// The check of a case.
fn check(id: &str) -> Option<Check> {
    Some(match id {
        "J001" => || keeps_the_last_good_set("J001", Fault::Json(json!({ "keys": [] }).to_string()), "empty"),
        "J002" => || keeps_the_last_good_set("J002", Fault::Json("{}".to_owned()), "invalid"),
        "J008" => no_redirect_is_followed,
        "J009" => no_other_host_is_asked,
        "J010" => another_issuer_is_not_believed,
        "J016" => only_the_first_keys_are_considered,
        "J017" => || skips_a_key("J017", &json!({ "n": base64url([0xC1; 2048]) }), "rsa_size"),
        "J018" => || {
            let huge: Vec<u8> = [0x80].into_iter().chain([0; 254]).chain([1]).collect();
            skips_a_key("J018", &json!({ "e": base64url(huge) }), "rsa_exponent")
        },
        "J020" => a_stampede_fetches_once,
        "J021" => a_minute_of_unknown_kids_fetches_three_times_at_most,
        "J023" => a_withdrawn_key_is_gone_after_the_refresh,
        "J026" => a_clock_set_back_prolongs_nothing,
        _ => return None,
    })
}

#[test]
fn a_provider_that_fails_lies_or_changes_does_no_harm() {
    let mut failures = Failures::default();
    for case in runnable(&corpus().jwks, |case| &case.id, |case| check(&case.id).is_some(), &mut failures) {
        if let Some(check) = check(&case.id) {
            failures.note(&case.id, check().map_err(|what| format!("{what} ({})", case.desc)));
        }
    }
    failures.report();
}

/// The service and its providers by case.
struct World {
    service: Service,
    providers: BTreeMap<&'static str, Provider>,
}

impl World {
    /// A service with one provider for each of these, found as `jwks` says.
    fn start(cases: &[&'static str], jwks: impl Fn(&Provider) -> String, prepare: impl Fn(&str, &Provider)) -> Self {
        let providers: BTreeMap<_, _> = std::thread::scope(|threads| {
            let started = cases
                .iter()
                .map(|case| (*case, threads.spawn(|| Provider::start_with(0, "portal").expect("the provider starts"))));
            let started: Vec<_> = started.collect();
            started.into_iter().map(|(case, provider)| (case, provider.join().expect("a provider"))).collect()
        });
        let mut config = "public_url: https://portal.example.com\ntrusted_proxies: [127.0.0.1/32]\n".to_owned();
        config.push_str(
            "tiers: { devel: { grant: { scopes: [devel] } } }\nrules: [{ path: /apps/devel/**, tier: devel }]\n",
        );
        config.push_str("identity_providers:\n");
        for (case, provider) in &providers {
            prepare(case, provider);
            let (id, issuer, jwks) = (case.to_ascii_lowercase(), provider.issuer(), jwks(provider));
            config.push_str(&format!("  - {{ id: {id}, issuer: \"{issuer}\", audience: [portal], jwks: {jwks} }}\n"));
        }
        let service = Service::start(&Tiergate::builder(env!("CARGO_BIN_EXE_tiergate"), &config).only_live());
        Self { service, providers }
    }

    fn provider(&self, case: &str) -> &Provider {
        &self.providers[case]
    }

    fn refreshes(&self, case: &str, result: &str) -> Result<f64, String> {
        let labels = [format!("provider=\"{}\"", case.to_ascii_lowercase()), format!("result=\"{result}\"")];
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.service.tiergate.metric("tiergate_jwks_refresh_total", &labels).map_err(|error| format!("{error:#}"))
    }

    /// Waits until so many more refreshes have ended with this result.
    fn wait_refreshes(&self, case: &str, result: &str, more: f64) -> Result<(), String> {
        let wanted = self.refreshes(case, result)? + more;
        until(&format!("{more} more refreshes with result {result}"), || Ok(self.refreshes(case, result)? >= wanted))
    }

    /// What a caller with this token of the case's provider gets, with the decision line.
    fn ask(&self, case: &str, spec: TokenSpec) -> Result<(Answered, Value), String> {
        let token = self.provider(case).mint(&spec.scope("devel")).map_err(|error| error.to_string())?;
        let answered = ask(&self.service, Way::Grpc, &Ask::get("/apps/devel/x").bearer(&token))?;
        let id = answered.request_id.clone().ok_or("no request id")?;
        let line = self.service.decisions(std::slice::from_ref(&id)).remove(&id).unwrap_or_default();
        Ok((answered, line))
    }

    fn expect(&self, case: &str, spec: TokenSpec, status: u16, cause: &str) -> Result<(), String> {
        let (answered, line) = self.ask(case, spec)?;
        let said = line["cause"].as_str().unwrap_or_default();
        if answered.status == status && said == cause {
            return Ok(());
        }
        Err(format!("{} {said:?} in place of {status} {cause:?}", answered.status))
    }

    /// The lines of the service's log about this provider with this message.
    fn warnings(&self, case: &str, message: &str) -> Vec<Value> {
        let provider = case.to_ascii_lowercase();
        let about = |line: &Value| {
            let line = line.to_string();
            line.contains(&format!("\"provider\":\"{provider}\"")) && line.contains(message)
        };
        self.service.tiergate.log_lines().into_iter().filter(about).collect()
    }
}

/// Providers with good keys, asked every second.
fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let cases = ["J001", "J002", "J008", "J016", "J017", "J018", "J020", "J023", "G003"];
        let jwks = |provider: &Provider| format!("{{ uri: \"{}\", refresh: 1s }}", provider.jwks_uri());
        let world = World::start(&cases, jwks, |_, _| {});
        for case in cases {
            until("the first keys", || Ok(world.refreshes(case, "ok")? >= 1.0))
                .unwrap_or_else(|what| panic!("{case}: {what}"));
        }
        world
    })
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("waited in vain for {what}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn unknown_kid(number: usize) -> TokenSpec {
    TokenSpec::new().header("kid", format!("unknown-{number}"))
}

fn keeps_the_last_good_set(case: &str, fault: Fault, result: &str) -> Result<(), String> {
    let world = world();
    world.provider(case).fail(Endpoint::Jwks, fault);
    until(result, || Ok(world.refreshes(case, result)? >= 1.0))?;
    world.expect(case, TokenSpec::new(), 200, "")?;
    let failed = world.refreshes(case, result)?;
    until("a warning", || Ok(!world.warnings(case, "key set not refreshed").is_empty()))?;
    let warnings = world.warnings(case, "key set not refreshed").len();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    if warnings as f64 > world.refreshes(case, result)? {
        return Err(format!("{warnings} warnings of {failed} failures"));
    }
    // A failure lifts no limit: unknown keys bring about one fetch at most.
    let fetched = world.provider(case).count(Endpoint::Jwks);
    for number in 0..20 {
        world.expect(case, unknown_kid(number), 401, "kid_unknown")?;
    }
    match world.provider(case).count(Endpoint::Jwks) - fetched {
        0 | 1 => world.expect(case, TokenSpec::new(), 200, ""),
        more => Err(format!("{more} fetches within the cooldown")),
    }
}

fn no_redirect_is_followed() -> Result<(), String> {
    let elsewhere = Elsewhere::listen();
    let world = world();
    world.provider("J008").fail(Endpoint::Jwks, Fault::Redirect(format!("http://127.0.0.1:{}/", elsewhere.port())));
    until("redirect", || Ok(world.refreshes("J008", "redirect")? >= 1.0))?;
    elsewhere.nobody_came()?;
    world.expect("J008", TokenSpec::new(), 200, "")
}

/// A port that nobody may call.
struct Elsewhere(TcpListener);

impl Elsewhere {
    fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a listener"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    fn nobody_came(&self) -> Result<(), String> {
        self.0.set_nonblocking(true).map_err(|error| error.to_string())?;
        self.0.accept().map_or(Ok(()), |(_, peer)| Err(format!("{peer} followed")))
    }
}

fn only_the_first_keys_are_considered() -> Result<(), String> {
    let world = world();
    let provider = world.provider("J016");
    let jwk = |key: &Key| provider.jwk(key).map_err(|error| error.to_string());
    let mut keys = vec![json!({ "kty": "oct" }); 10_000];
    keys[0] = jwk(&Key::Rsa)?;
    keys[63] = jwk(&Key::Ed25519)?;
    keys[64] = jwk(&Key::P256)?;
    provider.publish_jwks(&json!({ "keys": keys }));
    world.wait_refreshes("J016", "ok", 2.0)?;
    world.expect("J016", TokenSpec::new(), 200, "")?;
    world.expect("J016", TokenSpec::new().key(Key::Ed25519), 200, "")?;
    world.expect("J016", TokenSpec::new().key(Key::P256), 401, "kid_unknown")?;
    until("a warning", || Ok(!world.warnings("J016", "more keys than are considered").is_empty()))
}

fn skips_a_key(case: &str, odd: &Value, reason: &str) -> Result<(), String> {
    let world = world();
    let provider = world.provider(case);
    let good = provider.jwk(&Key::Rsa).map_err(|error| error.to_string())?;
    let mut huge = good.clone();
    huge["kid"] = json!("huge");
    for (name, value) in odd.as_object().into_iter().flatten() {
        huge[name] = value.clone();
    }
    provider.publish_jwks(&json!({ "keys": [good, huge] }));
    world.wait_refreshes(case, "ok", 2.0)?;
    world.expect(case, TokenSpec::new(), 200, "")?;
    world.expect(case, TokenSpec::new().header("kid", "huge"), 401, "kid_unknown")?;
    until(reason, || Ok(world.warnings(case, "key not used").iter().any(|line| line.to_string().contains(reason))))
}

fn a_stampede_fetches_once() -> Result<(), String> {
    let world = world();
    let provider = world.provider("J020");
    // The timer's own refreshes would count too: it waits while the provider fails.
    provider.fail(Endpoint::Jwks, Fault::Status(500));
    until("the provider failing", || Ok(world.refreshes("J020", "http_status")? >= 1.0))?;
    provider.heal();
    provider.fail(Endpoint::Jwks, Fault::Delay(Duration::from_millis(100)));
    let fetched = provider.count(Endpoint::Jwks);
    let mint = |number| provider.mint(&unknown_kid(number)).expect("a token");
    let messages =
        (0..200).map(|number| Ask::get("/apps/devel/x").bearer(&mint(number)).check_request().encode_to_vec());
    let answers = world.service.grpc.check_all(messages.collect());
    for answer in answers {
        let answer = answer.map_err(|status| format!("a gRPC error: {status}"))?;
        let response = prost::Message::decode(&*answer).map_err(|error| format!("{error}"))?;
        let status = of_check(response)?.status;
        if status != 401 {
            return Err(format!("{status} for an unknown key"));
        }
    }
    match provider.count(Endpoint::Jwks) - fetched {
        1 => Ok(()),
        more => Err(format!("{more} fetches")),
    }
}

fn keys_of(provider: &Provider) -> Result<Arc<KeySet>, String> {
    let document = provider.jwks().map_err(|error| error.to_string())?.to_string();
    KeySet::parse(document.as_bytes()).map(Arc::new).map_err(|error| error.to_string())
}

fn at(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

/// A minute is too long to wait for: the state machine gets its times from here.
fn a_minute_of_unknown_kids_fetches_three_times_at_most() -> Result<(), String> {
    let keys = keys_of(world().provider("J020"))?;
    let mut cache = JwksCache::new(Duration::from_secs(600), Duration::from_secs(86_400), at(0));
    cache.on_success(Arc::clone(&keys), at(0));
    let fetches = (0..600).filter(|tenth| cache.on_unknown_kid(at(tenth * 100)) == UnknownKid::Refresh).count();
    if (1..=3).contains(&fetches) { Ok(()) } else { Err(format!("{fetches} fetches")) }
}

fn a_withdrawn_key_is_gone_after_the_refresh() -> Result<(), String> {
    let world = world();
    let provider = world.provider("J023");
    let old = provider.mint(&TokenSpec::new().scope("devel")).map_err(|error| error.to_string())?;
    let status = |token: &str| {
        ask(&world.service, Way::Grpc, &Ask::get("/apps/devel/x").bearer(token)).map(|answered| answered.status)
    };
    if status(&old)? != 200 {
        return Err("the old key does not even count while it is published".to_owned());
    }
    provider.rotate().map_err(|error| error.to_string())?;
    until("the end of the old key", || Ok(status(&old)? == 401))?;
    world.expect("J023", TokenSpec::new(), 200, "")
}

/// No wall clock is asked: every time is monotonic by its type, and one that is
/// before another counts as the same.
fn a_clock_set_back_prolongs_nothing() -> Result<(), String> {
    let mut cache = JwksCache::new(Duration::from_secs(600), Duration::from_secs(3600), at(0));
    cache.on_success(keys_of(world().provider("J020"))?, at(100_000));
    let seen = [50_000, 100_000, 3_700_000, 3_700_001].map(|millis| cache.freshness(at(millis)));
    let expected = [Freshness::Fresh, Freshness::Fresh, Freshness::Stale, Freshness::TooOld];
    if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) }
}

/// Providers whose discovery documents are wrong, so that nobody's keys are there.
fn misled() -> &'static (World, Elsewhere) {
    static WORLD: OnceLock<(World, Elsewhere)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let elsewhere = Elsewhere::listen();
        let port = elsewhere.port();
        let world = World::start(
            &["J009", "J009-host", "J010"],
            |_| "{}".to_owned(),
            |case, provider| {
                let issuer = provider.issuer();
                let (issuer, jwks_uri) = match case {
                    "J009" => (issuer, "http://169.254.169.254/jwks.json".to_owned()),
                    "J009-host" => (issuer, format!("http://localhost:{port}/jwks.json")),
                    _ => (issuer.trim_end_matches('/'), provider.jwks_uri()),
                };
                let document = json!({ "issuer": issuer, "jwks_uri": jwks_uri });
                provider.fail(Endpoint::Discovery, Fault::Json(document.to_string()));
            },
        );
        (world, elsewhere)
    })
}

fn no_other_host_is_asked() -> Result<(), String> {
    let (world, elsewhere) = misled();
    for case in ["J009", "J009-host"] {
        until("discovery", || Ok(world.refreshes(case, "discovery")? >= 1.0))?;
        is_undecided(world, case)?;
    }
    elsewhere.nobody_came()
}

fn another_issuer_is_not_believed() -> Result<(), String> {
    let (world, _) = misled();
    until("issuer_mismatch", || Ok(world.refreshes("J010", "issuer_mismatch")? >= 1.0))?;
    is_undecided(world, "J010")?;
    match world.provider("J010").count(Endpoint::Jwks) {
        0 => Ok(()),
        more => Err(format!("its keys were fetched {more} times")),
    }
}

/// Nothing is decided by the provider's tokens, and the service says that it cannot.
fn is_undecided(world: &World, case: &str) -> Result<(), String> {
    world.expect(case, TokenSpec::new(), 503, "keys_unavailable")?;
    match world.service.tiergate.readyz() {
        Ok(503) => Ok(()),
        other => Err(format!("/readyz answers {other:?}")),
    }
}

/// G003: nobody waits for a provider longer than Envoy, by default 200 ms, waits for us.
pub(super) fn is_answered_within_envoys_deadline() -> Result<(), String> {
    let world = world();
    world.provider("G003").fail(Endpoint::Jwks, Fault::Delay(Duration::from_secs(30)));
    let mut took = Vec::new();
    // The first brings about the fetch, the others wait for it; others may keep
    // this process waiting, so the best of a few tells.
    for number in 0..5 {
        let (answered, line) = world.ask("G003", unknown_kid(number))?;
        if answered.status != 401 {
            return Err(format!("{} for an unknown key", answered.status));
        }
        took.extend(line["duration_us"].as_u64());
    }
    let waited: Vec<_> = took.iter().filter(|micros| **micros > 50_000).collect();
    match waited.iter().min() {
        Some(best) if **best < 200_000 => Ok(()),
        _ => Err(format!("took {took:?} µs")),
    }
}
