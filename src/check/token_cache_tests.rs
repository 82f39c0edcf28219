use std::sync::Mutex;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::session::fixture::SetClock;
use crate::token::test_keys::{Sign, jwks, key_set, rsa_jwk, settings, token, with};
use crate::token::test_keys::{issuers, keys};
use crate::token::{IssuerSettings, KeySet, verify};
use crate::types::ProviderId;

/// A key set that is replaced.
struct Live(Mutex<Option<Arc<KeySet>>>);

impl Live {
    fn new() -> Self {
        Self(Mutex::new(Some(key_set(&jwks()))))
    }

    fn put(&self, set: Option<Arc<KeySet>>) {
        *self.0.lock().unwrap() = set;
    }
}

impl KeySource for Live {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        self.0.lock().unwrap().clone()
    }
}

struct Stage {
    cache: TokenCache,
    issuers: Issuers,
    keys: Live,
    clock: Arc<SetClock>,
}

impl Stage {
    fn new() -> Self {
        Self { cache: TokenCache::new(1000), issuers: issuers(), keys: Live::new(), clock: SetClock::new() }
    }

    fn ask(&self, token: &str) -> (Result<Arc<VerifiedToken>, NotVerified>, CacheResult) {
        self.cache.verify(token, &self.issuers, &self.keys, self.clock.as_ref())
    }

    fn result(&self, token: &str) -> CacheResult {
        self.ask(token).1
    }

    /// Bad tokens, no two alike, until one is not looked at; how many were.
    fn flood(&self) -> usize {
        let bad = token(&json!({}), &json!({}), Sign::Attacker);
        let (signed, signature) = bad.rsplit_once('.').unwrap();
        let flood = (0..).map(|number| format!("{signed}.{number:06}{}", &signature[6..]));
        flood.take_while(|token| self.result(token) == CacheResult::Rejected).count()
    }
}

fn good(number: u64) -> String {
    token(&json!({ "alg": "EdDSA", "kid": "k3" }), &json!({ "jti": number }), Sign::K3)
}

#[test]
fn a_flood_of_bad_tokens_takes_its_share_and_hides_no_token_that_is_known() {
    let stage = Stage::new();
    let known = good(0);
    assert_eq!(stage.result(&known), CacheResult::Miss);
    let looked_at = stage.flood();
    // A quarter of a second at some 30 µs each.
    assert!((5_000..10_500).contains(&looked_at), "{looked_at}");
    assert_eq!(stage.result(&known), CacheResult::Hit);
    let (unseen, result) = stage.ask(&good(1));
    let unseen = unseen.unwrap_err();
    assert_eq!((unseen.reason(), unseen.as_str()), (Reason::Overloaded, "too_many_bad_tokens"));
    assert_eq!(result, CacheResult::Unseen);
    // What is no token at all costs no more to say.
    assert_eq!(stage.result(&"a".repeat(MAX_TOKEN_BYTES + 1)), CacheResult::Rejected);

    stage.clock.forward(Duration::from_millis(1));
    assert_eq!(stage.result(&good(1)), CacheResult::Miss);
    assert_eq!(stage.result(&good(2)), CacheResult::Miss, "good tokens use nothing up");
    assert!((1..=8).contains(&stage.flood()), "an eighth of a millisecond");
    stage.clock.forward(Duration::from_secs(60));
    assert_eq!(stage.flood(), looked_at, "and never more than that at once");
}

#[test]
fn ten_thousand_new_good_tokens_pass_at_once() {
    let stage = Stage { cache: TokenCache::new(0), ..Stage::new() };
    let tokens: Vec<String> = (0..100).map(good).collect();
    for _ in 0..100 {
        for token in &tokens {
            assert_eq!(stage.result(token), CacheResult::Miss);
        }
    }
    assert!(stage.flood() > 5_000, "nothing was used up");
}

#[test]
fn ten_thousand_good_tokens_whose_keys_are_missing_use_nothing_up() {
    let stage = Stage::new();
    let tokens: Vec<String> = (0..100).map(good).collect();
    let other = with(&rsa_jwk(&keys().attacker), &json!({ "kid": "k9", "alg": "RS256" }));
    let main = || ProviderId::new("main");
    for (set, rejection) in [
        (None, Rejection::KeysUnavailable { provider: main() }),
        (Some(key_set(&json!({ "keys": [other] }))), Rejection::KidUnknown { provider: main() }),
    ] {
        stage.keys.put(set);
        for _ in 0..100 {
            for token in &tokens {
                assert_eq!(stage.ask(token).0.unwrap_err(), NotVerified::Rejected(rejection.clone()));
            }
        }
    }
    stage.keys.put(Some(key_set(&jwks())));
    assert_eq!(stage.result(&tokens[0]), CacheResult::Miss, "known as soon as the keys are there");
    assert!(stage.flood() > 5_000, "nothing was used up");
}

#[test]
fn what_is_no_token_is_charged_for_what_was_read_of_it() {
    for (begin, looked_at) in [("a", 15_259), ("a!", 15_259), ("a.b.c.", 15_259), ("a.b.", 15_259), ("e30.e30.", 1526)]
    {
        let stage = Stage::new();
        let junk = |number: u64| format!("{begin}{number:x>0$}", MAX_TOKEN_BYTES - begin.len());
        let seen = (0..).take_while(|number| stage.result(&junk(*number)) == CacheResult::Rejected).count();
        assert_eq!(seen, looked_at, "{begin}");
    }
}

#[test]
fn a_signature_that_no_key_makes_is_charged_as_read_only() {
    let stage = Stage::new();
    let bad = token(&json!({}), &json!({}), Sign::Attacker);
    let (signed, _) = bad.rsplit_once('.').unwrap();
    let short = |number: u64| format!("{signed}.{number:08}");
    let looked_at = (0..).take_while(|number| stage.result(&short(*number)) == CacheResult::Rejected).count();
    assert!(looked_at > 3 * stage_flood_of_whole_signatures(), "{looked_at}");
}

fn stage_flood_of_whole_signatures() -> usize {
    Stage::new().flood()
}

#[test]
fn what_is_rejected_before_the_signature_is_charged_by_its_length() {
    let stage = Stage::new();
    let long = "x".repeat(8000);
    let other_issuer = |number: u64| {
        token(&json!({}), &json!({ "iss": "https://evil.example.com", "jti": number, "x": long }), Sign::No)
    };
    let looked_at = (0..).take_while(|number| stage.result(&other_issuer(*number)) == CacheResult::Rejected).count();
    // A quarter of a second at more than 80 µs each.
    assert!((1_500..3_000).contains(&looked_at), "{looked_at}");
}

#[test]
fn the_same_bad_token_is_looked_at_once() {
    let stage = Stage::new();
    for bad in [
        token(&json!({}), &json!({}), Sign::Attacker),
        token(&json!({}), &json!({ "aud": "other" }), Sign::K1),
        token(&json!({}), &json!({ "exp": 1_799_999_000, "iat": 1_799_998_000 }), Sign::K1),
        token(&json!({}), &json!({ "nonce": "n" }), Sign::K1),
    ] {
        let (first, _) = stage.ask(&bad);
        for _ in 0..20_000 {
            let (again, result) = stage.ask(&bad);
            assert_eq!(result, CacheResult::Rejected);
            assert_eq!(again.as_ref().unwrap_err(), first.as_ref().unwrap_err());
        }
    }
}

#[test]
fn a_token_that_was_bad_is_looked_at_again_when_that_may_have_changed() {
    // Signed by a key that takes over a `kid`.
    let stage = Stage::new();
    let early = token(&json!({}), &json!({}), Sign::Attacker);
    assert_eq!(stage.result(&early), CacheResult::Rejected);
    let next = with(&rsa_jwk(&keys().attacker), &json!({ "kid": "k1", "alg": "RS256" }));
    stage.keys.put(Some(key_set(&json!({ "keys": [next] }))));
    assert_eq!(stage.result(&early), CacheResult::Miss);

    // For an audience that is ours from now on.
    let mut stage = Stage::new();
    let other = token(&json!({}), &json!({ "aud": "other" }), Sign::K1);
    assert_eq!(stage.result(&other), CacheResult::Rejected);
    stage.issuers = Issuers::new([IssuerSettings { audiences: vec!["other".to_owned()], ..settings() }]).unwrap();
    assert_eq!(stage.result(&other), CacheResult::Miss);

    // Ahead of its time.
    let stage = Stage::new();
    let ahead = token(&json!({}), &json!({ "nbf": 1_800_000_065 }), Sign::K1);
    assert_eq!(stage.result(&ahead), CacheResult::Rejected);
    stage.clock.forward(Duration::from_secs(6));
    assert_eq!(stage.result(&ahead), CacheResult::Miss);
}

/// What happens between two looks at a token.
#[derive(Debug, Clone)]
enum Step {
    Ask(usize),
    Pass(u64),
    /// The key set that is live from now on, if any.
    Keys(Option<bool>),
    Settings(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..7).prop_map(Step::Ask),
        2 => (0u64..400_000).prop_map(Step::Pass),
        1 => (0u64..9_000).prop_map(Step::Pass),
        1 => prop::option::weighted(0.8, any::<bool>()).prop_map(Step::Keys),
        1 => any::<bool>().prop_map(Step::Settings),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was asked and changed before: the answer is that of a look at the
    /// token alone, now.
    #[test]
    fn the_cache_answers_as_if_it_were_not_there(steps in steps()) {
        let tokens = [
            good(1),
            token(&json!({}), &json!({}), Sign::K1),
            token(&json!({}), &json!({}), Sign::Attacker),
            token(&json!({}), &json!({ "aud": "other" }), Sign::K1),
            token(&json!({}), &json!({ "nbf": 1_800_000_100 }), Sign::K1),
            token(&json!({}), &json!({ "exp": 1_800_000_200 }), Sign::K1),
            token(&json!({}), &json!({ "exp": 1_800_086_500 }), Sign::K1),
        ];
        let rotated = with(&rsa_jwk(&keys().attacker), &json!({ "kid": "k1", "alg": "RS256" }));
        let sets = [key_set(&jwks()), key_set(&json!({ "keys": [rotated] }))];
        let mut stage = Stage::new();
        for step in steps {
            match step {
                Step::Pass(millis) => stage.clock.forward(Duration::from_millis(millis)),
                Step::Keys(which) => stage.keys.put(which.map(|other| Arc::clone(&sets[usize::from(other)]))),
                Step::Settings(other) => {
                    let audience = if other { "other" } else { "portal" };
                    let settings = IssuerSettings { audiences: vec![audience.to_owned()], ..settings() };
                    stage.issuers = Issuers::new([settings]).unwrap();
                }
                Step::Ask(which) => {
                    let plain = verify(&tokens[which], &stage.issuers, &stage.keys, stage.clock.now());
                    let (cached, _) = stage.ask(&tokens[which]);
                    match (plain, cached) {
                        (Ok(plain), Ok(cached)) => {
                            prop_assert_eq!(plain.principal(), cached.principal());
                            prop_assert_eq!(plain.key(), cached.key());
                        }
                        (Err(plain), Err(cached)) => prop_assert_eq!(NotVerified::Rejected(plain), cached),
                        (plain, cached) => prop_assert!(false, "{:?} and not {:?}", cached, plain),
                    }
                }
            }
        }
    }
}
