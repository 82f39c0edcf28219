//! The clients the provider knows and how each proves who it is (RFC 6749
//! section 2.3, OIDC Core section 9).

use std::collections::{HashMap, HashSet};

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents, UnparsedPublicKey};
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::token::now;

/// The public client of the command line.
pub const CLI_CLIENT: &str = "demo-cli";
/// The confidential client that the service signs people in with, by
/// `client_secret_basic` or `client_secret_post`.
pub const WEB_CLIENT: &str = "tiergate";
/// Its secret, which protects nothing.
pub const WEB_CLIENT_SECRET: &str = "development-only-secret";
/// A client of browsers without a secret.
pub const PUBLIC_CLIENT: &str = "tiergate-public";
/// A client that signs an assertion (`private_key_jwt`) with a key that
/// [`Provider::trust_client_key`](super::Provider::trust_client_key) names.
pub const KEY_CLIENT: &str = "tiergate-key";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Default)]
pub(crate) struct Clients {
    /// The public keys of [`KEY_CLIENT`], as JWKs or as SubjectPublicKeyInfo.
    pub(crate) keys: Vec<ClientKey>,
    /// The secret of [`WEB_CLIENT`] where it is not [`WEB_CLIENT_SECRET`].
    secret: Option<String>,
    assertions: HashSet<String>,
    /// The ways in which clients have proved who they are, in order.
    pub(crate) proofs: Vec<&'static str>,
}

#[derive(Clone)]
pub(crate) enum ClientKey {
    Jwk(Value),
    Der(Vec<u8>),
}

pub(crate) fn is_known(id: &str) -> bool {
    [CLI_CLIENT, WEB_CLIENT, PUBLIC_CLIENT, KEY_CLIENT].contains(&id)
}

impl Clients {
    /// With another secret of [`WEB_CLIENT`].
    pub(crate) fn with_secret(secret: Option<String>) -> Self {
        Self { secret, ..Self::default() }
    }

    /// Who asks, when it is proved in exactly one way.
    pub(crate) fn authenticate(
        &mut self,
        headers: &HeaderMap,
        form: &HashMap<String, String>,
        audiences: &[&str],
    ) -> Option<String> {
        let field = |name: &str| form.get(name).map(String::as_str);
        let web_secret = self.secret.as_deref().unwrap_or(WEB_CLIENT_SECRET);
        let (id, proof) = match (basic(headers), field("client_secret"), field("client_assertion")) {
            (Some((id, secret)), None, None) => ((id == WEB_CLIENT && secret == web_secret).then_some(id)?, "basic"),
            (None, Some(secret), None) => {
                let id = field("client_id")?;
                ((id == WEB_CLIENT && secret == web_secret).then(|| id.to_owned())?, "post")
            }
            (None, None, Some(assertion)) => {
                if field("client_assertion_type") != Some(ASSERTION_TYPE) {
                    return None;
                }
                (self.believe(assertion, audiences)?, "private_key_jwt")
            }
            (None, None, None) => {
                let id = field("client_id")?;
                ([CLI_CLIENT, PUBLIC_CLIENT].contains(&id).then(|| id.to_owned())?, "none")
            }
            _ => return None,
        };
        if field("client_id").is_some_and(|named| named != id) {
            return None;
        }
        self.proofs.push(proof);
        Some(id)
    }

    /// RFC 7523 section 3: signed by a trusted key, for us, alive, and new.
    fn believe(&mut self, assertion: &str, audiences: &[&str]) -> Option<String> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let (head, claims) = (json(head)?, json(claims)?);
        let text = |name: &str| claims.get(name)?.as_str();
        let named = claims.get("aud")?;
        let all = named.as_array().map_or(std::slice::from_ref(named), Vec::as_slice);
        let audience = all.iter().filter_map(Value::as_str).any(|one| audiences.contains(&one));
        let lives = claims.get("exp")?.as_i64()? > now();
        let is_right = text("iss") == Some(KEY_CLIENT) && text("sub") == Some(KEY_CLIENT) && audience && lives;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let algorithm = head.get("alg")?.as_str()?;
        let verified = self.keys.iter().any(|key| key.verifies(algorithm, signed.as_bytes(), &signature));
        let is_new = self.assertions.insert(text("jti")?.to_owned());
        (is_right && verified && is_new).then(|| KEY_CLIENT.to_owned())
    }
}

impl ClientKey {
    fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Der(der) => {
                let algorithm: &'static dyn signature::VerificationAlgorithm = match algorithm {
                    "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
                    "EdDSA" => &signature::ED25519,
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    _ => return false,
                };
                ParsedPublicKey::new(algorithm, der).is_ok_and(|key| key.verify_sig(message, signature).is_ok())
            }
            Self::Jwk(jwk) => {
                let field = |name: &str| {
                    jwk.get(name).and_then(Value::as_str).and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
                };
                match (algorithm, field("n"), field("e"), field("x"), field("y")) {
                    ("RS256", Some(n), Some(e), _, _) => RsaPublicKeyComponents { n, e }
                        .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
                        .is_ok(),
                    ("ES256", _, _, Some(x), Some(y)) => {
                        let point = [vec![4], x, y].concat();
                        UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                            .verify(message, signature)
                            .is_ok()
                    }
                    ("EdDSA", _, _, Some(x), _) => {
                        UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature).is_ok()
                    }
                    _ => false,
                }
            }
        }
    }
}

/// Name and secret, each form-encoded as RFC 6749 section 2.3.1 wants; ours hold nothing that it changes.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    pair.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}
