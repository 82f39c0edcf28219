//! The tokens of the corpus, built as each case describes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use tiergate_testbed::provider::base64url;
use tiergate_testbed::{Key, TokenSpec};

use super::corpus::{Sign, TokenCase};
use super::service::{ISSUER, base_token, provider};

/// What fits into the header of a request that a proxy lets through. Longer
/// lists of words are cut to that: they still are four times what a token may be.
const TRAVELS: usize = 48 * 1024;

/// Whether [`forge`] knows what the case asks for.
pub(super) fn is_known(case: &TokenCase) -> bool {
    let wire = case.wire.as_deref().unwrap_or_default();
    let (name, argument) = wire.split_once(':').unwrap_or((wire, ""));
    match name {
        "dup-header" => ["alg", "kid"].contains(&argument),
        "dup-claim" | "dup-claim-escaped" => ["scope", "sub", "exp"].contains(&argument),
        "payload-depth" => argument.parse::<usize>().is_ok(),
        "flip-bit" => argument == "signature",
        ""
        | "header-json-with-spaces"
        | "header-json-escaped-alg"
        | "splice-signature"
        | "append-zero-signature"
        | "sig-zero-64"
        | "json-flattened"
        | "extra-part"
        | "jwe"
        | "jwe-zip-bomb"
        | "nested"
        | "b64-padding"
        | "inner-newline"
        | "bom-header" => true,
        _ => false,
    }
}

/// The token of a case at the time `now`; `port` is where nobody may call.
pub(super) fn forge(case: &TokenCase, now: i64, port: u16) -> String {
    let mut spec = signed(base_token(now), case.sign.as_ref());
    for (name, value) in &case.claims {
        spec = spec.claim(name, filled(value, now, port));
    }
    for name in &case.claims_del {
        spec = spec.without_claim(name);
    }
    for (name, value) in &case.header {
        spec = spec.header(name, filled(value, now, port));
    }
    for name in &case.header_del {
        spec = spec.without_header(name);
    }
    mint(&sent(spec, case.wire.as_deref(), now))
}

fn mint(spec: &TokenSpec) -> String {
    provider().mint(spec).expect("a token")
}

/// The header is that of the base token until the case changes it, whatever signs.
fn signed(spec: TokenSpec, sign: Option<&Sign>) -> TokenSpec {
    let spec = spec.header("alg", "RS256").header("typ", "at+jwt").header("kid", "k1");
    let Some(sign) = sign else { return spec };
    let spec = spec.key(sign.key.as_deref().map_or(Key::Unsigned, key));
    match &sign.alg {
        Some(algorithm) => spec.sign_as(algorithm),
        None => spec,
    }
}

fn key(name: &str) -> Key {
    let pem = || provider().public_pem(&Key::Rsa).expect("a key");
    match name {
        // No library here makes RSA keys of 1024 bits; which key signs is no
        // matter where the one that is named must not be loaded.
        "K1" | "K1024" => Key::Rsa,
        "K2" => Key::P256,
        "K3" => Key::Ed25519,
        "ATT" => Key::ForeignRsa,
        "hmac:pem-spki(K1)" => Key::Hmac(pem().trim_end().as_bytes().to_vec()),
        "hmac:pem-spki-nl(K1)" => Key::Hmac(pem().into_bytes()),
        "hmac:der-spki(K1)" => Key::Hmac(provider().public_der(&Key::Rsa).expect("a key")),
        "hmac:jwk-json(K1)" => Key::Hmac(provider().jwk(&Key::Rsa).expect("a key").to_string().into_bytes()),
        "hmac:empty" => Key::Hmac(Vec::new()),
        "hmac:b64:AAAA" => Key::Hmac(vec![0; 3]),
        other => panic!("unknown key {other}"),
    }
}

/// The value with the corpus' placeholders filled in.
fn filled(value: &Value, now: i64, port: u16) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| filled(item, now, port)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), filled(value, now, port))).collect::<Map<_, _>>().into()
        }
        Value::String(text) => {
            placeholder(text, now).unwrap_or_else(|| text.replace("$PORT", &port.to_string()).into())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn placeholder(text: &str, now: i64) -> Option<Value> {
    Some(match text {
        "$ISS" => ISSUER.into(),
        "$RANDOM" => random_name().into(),
        // Nobody may read it, so what it certifies is no matter.
        "$selfsigned(ATT)" => STANDARD.encode(provider().public_der(&Key::ForeignRsa).expect("a key")).into(),
        "$ARR*100000" => vec!["portal"; TRAVELS / 12].into(),
        "$WORDS*100000" => "devel ".repeat(TRAVELS / 8).into(),
        "$NOW*1000" => (now * 1000).into(),
        _ => {
            let offset = text.strip_prefix("$NOW")?;
            match offset.parse::<i64>() {
                Ok(whole) => (now + whole).into(),
                Err(_) => {
                    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
                    let now = now as f64;
                    (now + offset.parse::<f64>().expect("a number of seconds")).into()
                }
            }
        }
    })
}

fn random_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("unknown-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The change that is made on the wire.
fn sent(spec: TokenSpec, wire: Option<&str>, now: i64) -> TokenSpec {
    let Some(wire) = wire else { return spec };
    let (name, argument) = wire.split_once(':').unwrap_or((wire, ""));
    match name {
        "header-json-with-spaces" => spec.map_header_json(|json| format!("  {} ", json.replace(':', " : "))),
        "header-json-escaped-alg" => spec.map_header_json(|json| json.replace("\"RS256\"", "\"n\\u006fne\"")),
        "bom-header" => spec.map_header_json(|json| format!("\u{feff}{json}")),
        "payload-depth" => {
            let depth = argument.parse().expect("a depth");
            spec.map_claims_json(move |json| {
                inserted(&json, &format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)))
            })
        }
        "dup-header" => {
            let first = if argument == "alg" { "\"alg\":\"none\"" } else { "\"kid\":\"k2\"" };
            spec.map_header_json(move |json| inserted(&json, first))
        }
        "dup-claim" | "dup-claim-escaped" => {
            let first = match (name, argument) {
                ("dup-claim-escaped", _) => "\"sc\\u006fpe\":\"stable\"".to_owned(),
                (_, "scope") => "\"scope\":\"stable\"".to_owned(),
                (_, "sub") => "\"sub\":\"somebody\"".to_owned(),
                _ => format!("\"exp\":{}", now - 3600),
            };
            let spec = if argument == "scope" { spec.scope("admin devel") } else { spec };
            spec.map_claims_json(move |json| inserted(&json, &first))
        }
        "append-zero-signature" => spec.map_signature(|signature| [signature, vec![0]].concat()),
        // The zeros that CVE-2022-21449 took for a signature are of 64 bytes, as ES256 has them.
        "sig-zero-64" => spec.map_signature(|_| vec![0; 64]),
        "flip-bit" => spec.map_signature(|mut signature| {
            signature[100] ^= 1;
            signature
        }),
        "splice-signature" => {
            let other = mint(&signed(base_token(now).subject("somebody"), None));
            let signature = part(&other, 2);
            spec.map_signature(move |_| URL_SAFE_NO_PAD.decode(&signature).expect("a signature"))
        }
        "json-flattened" => spec.map_compact(|token| {
            let [header, payload, signature] = [0, 1, 2].map(|at| part(&token, at));
            format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#)
        }),
        "extra-part" => spec.map_compact(|token| format!("{token}.x")),
        "jwe" => spec.map_compact(|_| encrypted(r#"{"alg":"RSA-OAEP","enc":"A256GCM","kid":"k1"}"#)),
        "jwe-zip-bomb" => {
            spec.map_compact(|_| encrypted(r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF","kid":"k1"}"#))
        }
        "nested" => {
            let inner = mint(&signed(base_token(now), None));
            spec.header("cty", "JWT").map_claims_json(move |_| inner.clone())
        }
        "b64-padding" => spec.map_compact(|token| format!("{token}==")),
        "inner-newline" => spec.map_compact(|token| token.replacen('.', ".\n", 1)),
        other => panic!("unknown change {other}"),
    }
}

/// The JSON object with this member before its others.
fn inserted(json: &str, member: &str) -> String {
    json.replacen('{', &format!("{{{member},"), 1)
}

fn part(token: &str, at: usize) -> String {
    token.split('.').nth(at).expect("three parts").to_owned()
}

fn encrypted(header: &str) -> String {
    let parts = [base64url(header), base64url([1; 256]), base64url([2; 12]), base64url([3; 4096]), base64url([4; 16])];
    parts.join(".")
}
