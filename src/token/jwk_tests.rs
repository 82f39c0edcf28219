use proptest::prelude::*;
use serde_json::{Value, json};

use super::{KeySet, KeySetError, SkipReason};
use crate::token::test_keys::{b64, ec_jwk, ed_jwk, jwks, key_set, keys, rsa_jwk, with};

/// What becomes of one key beside a good one.
fn skipped(jwk: &Value) -> Option<SkipReason> {
    let good = with(&ed_jwk(&keys().ed25519), &json!({ "kid": "good" }));
    let set = key_set(&json!({ "keys": [jwk, good] }));
    assert_eq!(set.usable() + set.skipped().len(), 2);
    set.skipped().first().map(|key| key.reason)
}

fn refusal(document: &str) -> KeySetError {
    KeySet::parse(document.as_bytes()).unwrap_err()
}

#[test]
fn the_keys_of_the_corpus_are_sorted_out() {
    let set = key_set(&jwks());
    let skipped: Vec<_> = set.skipped().iter().map(|key| (key.position, key.reason)).collect();
    assert_eq!(set.usable(), 5);
    assert_eq!(
        skipped,
        [
            (5, SkipReason::Use),
            (6, SkipReason::KeyOps),
            (7, SkipReason::DuplicateKid),
            (8, SkipReason::DuplicateKid),
            (9, SkipReason::RsaSize),
            (10, SkipReason::RsaExponent),
            (11, SkipReason::NotAKey),
            (12, SkipReason::Symmetric),
        ]
    );
}

#[test]
fn weak_and_odd_keys_are_skipped() {
    let rsa = rsa_jwk(&keys().rsa);
    let p256 = ec_jwk(&keys().p256, "P-256");
    let ed = ed_jwk(&keys().ed25519);
    let huge_exponent: Vec<u8> = [&[0x80], [0; 254].as_slice(), &[1]].concat();
    let with_zero = [&[0], bytes(&rsa["n"]).as_slice()].concat();
    let mut even = bytes(&rsa["n"]);
    *even.last_mut().unwrap() &= 0xFE;
    let cases = [
        (rsa.clone(), None),
        (with(&rsa, &json!({ "n": b64(with_zero) })), None),
        (with(&rsa, &json!({ "key_ops": ["verify"], "use": "sig" })), None),
        (with(&rsa, &json!({ "n": b64(vec![0xFF; 2048]) })), Some(SkipReason::RsaSize)), // J017
        (with(&rsa, &json!({ "n": b64([0xC1; 255]) })), Some(SkipReason::RsaSize)),
        (with(&rsa, &json!({ "n": "" })), Some(SkipReason::RsaSize)),
        (with(&rsa, &json!({ "n": b64(even) })), Some(SkipReason::NotAKey)),
        (with(&rsa, &json!({ "e": b64(huge_exponent) })), Some(SkipReason::RsaExponent)), // J018
        (with(&rsa, &json!({ "e": b64([1, 0, 0, 0, 1]) })), Some(SkipReason::RsaExponent)),
        (with(&rsa, &json!({ "e": b64([2]) })), Some(SkipReason::RsaExponent)),
        (with(&rsa, &json!({ "e": b64([1]) })), Some(SkipReason::RsaExponent)),
        (with(&rsa, &json!({ "e": "" })), Some(SkipReason::RsaExponent)),
        (with(&rsa, &json!({ "e": "AQAB=" })), Some(SkipReason::Malformed)),
        (with(&rsa, &json!({ "e": 65537 })), Some(SkipReason::Malformed)),
        (with(&rsa, &json!({ "kid": 1 })), Some(SkipReason::Malformed)),
        (with(&rsa, &json!({ "kid": "k".repeat(257) })), Some(SkipReason::Malformed)),
        (with(&rsa, &json!({ "d": "AQAB" })), Some(SkipReason::Private)),
        (with(&rsa, &json!({ "alg": "ES256" })), Some(SkipReason::Algorithm)),
        (with(&rsa, &json!({ "alg": "HS256" })), Some(SkipReason::Algorithm)),
        (with(&rsa, &json!({ "alg": "RSA-OAEP" })), Some(SkipReason::Algorithm)),
        (with(&rsa, &json!({ "use": "enc" })), Some(SkipReason::Use)),
        (with(&rsa, &json!({ "use": 1 })), Some(SkipReason::Malformed)),
        (with(&rsa, &json!({ "key_ops": "verify" })), Some(SkipReason::KeyOps)),
        (with(&rsa, &json!({ "key_ops": [] })), Some(SkipReason::KeyOps)),
        (with(&p256, &json!({ "crv": "P-384" })), Some(SkipReason::NotAKey)),
        (with(&p256, &json!({ "crv": "P-521" })), Some(SkipReason::KeyType)),
        (with(&p256, &json!({ "alg": "ES384" })), Some(SkipReason::Algorithm)),
        (with(&p256, &json!({ "y": p256["x"] })), Some(SkipReason::NotAKey)),
        (with(&p256, &json!({ "x": b64([0; 32]), "y": b64([0; 32]) })), Some(SkipReason::NotAKey)),
        (with(&p256, &json!({ "x": b64([1; 31]) })), Some(SkipReason::NotAKey)),
        (with(&ed, &json!({ "x": b64([1; 31]) })), Some(SkipReason::NotAKey)),
        (with(&ed, &json!({ "crv": "Ed448" })), Some(SkipReason::KeyType)),
        (with(&ed, &json!({ "crv": "X25519" })), Some(SkipReason::KeyType)),
        (json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }), Some(SkipReason::Symmetric)),
        (json!({ "kty": "AKP", "alg": "ML-DSA-44" }), Some(SkipReason::Algorithm)),
        (json!({ "kty": "XYZ" }), Some(SkipReason::KeyType)),
        (json!({}), Some(SkipReason::Malformed)),
        (json!("key"), Some(SkipReason::Malformed)),
    ];
    for (jwk, expected) in cases {
        assert_eq!(skipped(&jwk), expected, "{jwk}");
    }
}

fn bytes(encoded: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded.as_str().unwrap()).unwrap()
}

#[test]
fn what_is_no_key_set_is_an_error() {
    assert_eq!(refusal(r#"{"keys":[]}"#), KeySetError::Empty, "J001");
    assert_eq!(refusal(r#"{"KEYS":[]}"#), KeySetError::NoKeys, "J002");
    assert_eq!(refusal(r#"{"keys":{}}"#), KeySetError::NoKeys);
    assert_eq!(refusal(r#"{"keys":[],"keys":[]}"#), KeySetError::DuplicateMember);
    assert!(
        matches!(refusal(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#), KeySetError::NoUsableKey(skipped) if skipped.len() == 1)
    );
    for text in ["", "[]", "null", "<html>", "{", "{\"keys\":[]}x"] {
        assert_eq!(refusal(text), KeySetError::Malformed, "{text}");
    }
    assert_eq!(refusal(&" ".repeat(KeySet::MAX_BYTES + 1)), KeySetError::TooLarge);
}

#[test]
fn sixty_four_keys_are_considered() {
    // J016
    let mut many = vec![json!({ "kty": "oct" }); 9_999];
    many.insert(63, ed_jwk(&keys().ed25519));
    let set = key_set(&json!({ "keys": many }));
    assert_eq!((set.usable(), set.skipped().len(), set.ignored()), (1, 63, 9_936));
    many.swap(63, 64);
    assert!(KeySet::parse(json!({ "keys": many }).to_string().as_bytes()).is_err(), "the 65th does not count");
}

#[test]
fn a_reference_holds_for_the_same_key_only() {
    let reference = |jwk: &Value| {
        let set = key_set(&json!({ "keys": [jwk] }));
        set.keys[0].reference()
    };
    let rsa = rsa_jwk(&keys().rsa);
    let named = with(&rsa, &json!({ "kid": "k1" }));
    assert_eq!(reference(&named), reference(&with(&named, &json!({ "x5t": "other" }))));
    let others = [
        rsa.clone(),
        with(&named, &json!({ "kid": "k2" })),
        with(&named, &json!({ "alg": "RS256" })),
        with(&rsa_jwk(&keys().attacker), &json!({ "kid": "k1" })),
        with(&rsa, &json!({ "kid": "" })),
    ];
    for other in others {
        assert_ne!(reference(&named), reference(&other), "{other}");
    }
    assert_ne!(reference(&rsa), reference(&with(&rsa, &json!({ "kid": "" }))));
    assert_eq!(reference(&named).to_string().len(), 16, "shown short");
}

proptest! {
    #[test]
    fn no_document_panics(document in any::<Vec<u8>>(), n in "[A-Za-z0-9_-]{0,400}", x in "[A-Za-z0-9_-]{43}") {
        prop_assert!(KeySet::parse(&document).is_err());
        for jwk in [
            json!({ "kty": "RSA", "n": n, "e": "AQAB" }),
            json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
        ] {
            let _ = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes());
        }
    }
}
