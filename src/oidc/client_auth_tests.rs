use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    KeyPair as _, UnparsedPublicKey,
};
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::session::fixture::CountingRandom;

fn pem(label: &str, der: &[u8]) -> Secret {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    Secret::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_statement_says_who_for_whom_and_for_how_long() {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key = SigningKey::from_pem(&pem("PRIVATE KEY", der.as_ref())).unwrap();
    let now = UnixTime::from_secs(1_800_000_000);
    let sign = || key.assertion("client", Some("k7"), "https://idp.example.com/", &CountingRandom, now).unwrap();
    let statement = sign();
    let [header, claims, signature] = statement.expose().split('.').collect::<Vec<_>>()[..] else { panic!("a jws") };
    assert_eq!(decoded(header), json!({ "alg": "ES256", "typ": "JWT", "kid": "k7" }));
    let claims_read = decoded(claims);
    assert_eq!(claims_read["iss"], "client");
    assert_eq!(claims_read["sub"], "client");
    assert_eq!(claims_read["aud"], "https://idp.example.com/");
    assert_eq!(claims_read["exp"], 1_800_000_060);
    assert_ne!(claims_read["jti"], decoded(sign().expose().split('.').nth(1).unwrap())["jti"]);

    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
    let message = format!("{header}.{claims}");
    assert!(public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok());
    assert!(!format!("{key:?}").contains(&STANDARD.encode(der.as_ref())[..8]));
}

#[test]
fn only_keys_that_can_sign_are_read() {
    let p384 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    for broken in [
        pem("PRIVATE KEY", p384.as_ref()),
        pem("PRIVATE KEY", b"nothing"),
        pem("PUBLIC KEY", p384.as_ref()),
        Secret::new("text".to_owned()),
        Secret::new(String::new()),
    ] {
        assert_eq!(SigningKey::from_pem(&broken).map(|_| ()), Err(NoSigningKey));
    }
}

#[test]
fn an_rsa_key_signs_with_rs256() {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let key = SigningKey::from_pem(&pem("PRIVATE KEY", der.as_ref())).unwrap();
    let now = UnixTime::from_secs(1_800_000_000);
    let statement = key.assertion("client", None, "https://idp.example.com/", &CountingRandom, now).unwrap();
    let header = decoded(statement.expose().split('.').next().unwrap());
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT" }));
}
