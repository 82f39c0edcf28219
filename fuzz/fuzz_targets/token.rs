//! Nobody without a private key makes a token that verifies, and none makes the
//! gate panic.
//!
//! The input is a token; or, where it holds a line feed, the plain header,
//! payload and signature of one, so that the fuzzer reaches what is behind the
//! base64.

#![no_main]

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use tiergate::token::{Algorithm, ClaimNames, ClaimPath, IssuerSettings, Issuers, KeySet, KeySource, inspect, verify};
use tiergate::types::{ProviderId, UnixTime};

/// The keys of RFC 8037 appendix A and of RFC 7517 appendix A.1, public parts.
const KEYS: &str = r#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","kid":"ed","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwaaPJHURo"},
    {"kty":"EC","crv":"P-256","kid":"ec","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},
    {"kty":"RSA","kid":"rs","alg":"RS256","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}
]}"#;

struct Keys(Arc<KeySet>);

impl KeySource for Keys {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0))
    }
}

static KEY_SET: LazyLock<Keys> = LazyLock::new(|| Keys(Arc::new(KeySet::parse(KEYS.as_bytes()).expect("key set"))));

static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let claim = |name: &str| ClaimPath::parse(name).expect("a claim name");
    let settings = IssuerSettings {
        provider: ProviderId::new("main"),
        issuer: Arc::from("https://idp.example.com/"),
        audiences: vec!["https://api.example.com".to_owned()],
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        token_types: IssuerSettings::DEFAULT_TOKEN_TYPES.map(str::to_owned).to_vec(),
        leeway: IssuerSettings::DEFAULT_LEEWAY,
        max_lifetime: IssuerSettings::DEFAULT_MAX_LIFETIME,
        claims: ClaimNames {
            scopes: vec![claim("scope")],
            permissions: vec![claim("permissions")],
            groups: vec![claim("/realm/groups")],
            email: Some(claim("email")),
            name: Some(claim("name")),
        },
    };
    Issuers::new([settings]).expect("issuers")
});

fuzz_target!(|input: &[u8]| {
    let parts: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let token = match parts.as_slice() {
        [header, payload, rest @ ..] => {
            let signature = rest.concat();
            let parts = [header, payload, signature.as_slice()].map(|part| URL_SAFE_NO_PAD.encode(part));
            parts.join(".")
        }
        _ => String::from_utf8_lossy(input).into_owned(),
    };
    let now = UnixTime::from_secs(1_800_000_000);
    assert!(verify(&token, &ISSUERS, &*KEY_SET, now).is_err(), "a token that nobody signed: {token}");
    let _ = inspect(&token, &ISSUERS, &*KEY_SET, now);
});
