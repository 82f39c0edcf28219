//! Identity providers: whose tokens count, how their keys are found, and how
//! browsers sign in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, is_short_name};
use super::fault::{Fault, quoted};
use super::file::{ClaimsFile, IdentityProviderFile, JwksFile};
use super::login::Login;
use super::management::{Introspection, Management};
use super::node::push;
use super::url::read_fetch_url;
use crate::policy::nearest;
use crate::token::{Algorithm, ClaimNames, ClaimPath, IssuerSettings};
use crate::types::{FetchUrl, ProviderId};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// One identity provider.
#[derive(Debug, Clone, PartialEq)]
pub struct IdentityProvider {
    /// What is asked of its tokens.
    pub tokens: IssuerSettings,
    /// How its keys are found and kept.
    pub jwks: Jwks,
    /// Present: browsers can sign in here.
    pub login: Option<Login>,
    /// Present: bearer tokens that are no JWTs are looked up here.
    pub introspection: Option<Introspection>,
    /// Present: the service may ask the provider's management API.
    pub management: Option<Management>,
}

impl IdentityProvider {
    /// Its short name, unique in the config.
    #[must_use]
    pub fn id(&self) -> &ProviderId {
        &self.tokens.provider
    }

    /// The `iss` of its tokens, byte for byte as written; unique in the config.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.tokens.issuer
    }
}

/// How the keys of a provider are found and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwks {
    /// Where the keys come from.
    pub source: JwksSource,
    /// How often they are fetched again.
    pub refresh: Duration,
    /// How long the last good keys stay in use while no fetch succeeds.
    pub max_stale: Duration,
    /// A directory that keeps the last good keys over a restart.
    pub cache_dir: Option<PathBuf>,
}

/// Where the keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// `jwks_uri` of the issuer's OIDC discovery document, which is here.
    Discovery(FetchUrl),
    /// This URL.
    Uri(FetchUrl),
    /// This file.
    File(PathBuf),
}

/// Reads the whole list; `max_lifetime` is the one of `limits`.
pub(crate) fn read_all(
    files: &[IdentityProviderFile],
    max_lifetime: Duration,
    base_path: &str,
    check: &mut Check<'_>,
) -> Vec<IdentityProvider> {
    let mut providers: Vec<IdentityProvider> = Vec::new();
    for (position, file) in files.iter().enumerate() {
        let pointer = push("/identity_providers", &position.to_string());
        let provider = read(file, &pointer, max_lifetime, base_path, check);
        for (other, earlier) in providers.iter().enumerate() {
            let twin = push("/identity_providers", &other.to_string());
            if earlier.id() == provider.id() {
                let fault = Fault::new(
                    push(&pointer, "id"),
                    format!("two identity providers have the id {}", quoted(&file.id)),
                );
                check.fault(fault.other(push(&twin, "id")).hint("give each its own"));
            }
            if earlier.issuer() == provider.issuer() {
                let fault = Fault::new(
                    push(&pointer, "issuer"),
                    format!("two identity providers have the issuer {}", quoted(&file.issuer)),
                );
                check.fault(
                    fault.other(push(&twin, "issuer")).hint("write one provider and list the audiences of both"),
                );
            }
            if provider.introspection.is_some() && earlier.introspection.is_some() {
                let fault = Fault::new(push(&pointer, "introspection"), "two identity providers look up opaque tokens");
                let fault = fault.other(push(&twin, "introspection")).at_key();
                check.fault(
                    fault.hint("keep one: an opaque token does not say whose it is, and nobody else may see it"),
                );
            }
            let same_place = |a: &Login, b: &Login| a.callback_path == b.callback_path;
            if let (Some(login), Some(held)) = (&provider.login, &earlier.login)
                && same_place(login, held)
                && earlier.id() != provider.id()
            {
                let place = push(&push(&pointer, "login"), "callback_path");
                let fault = Fault::new(place, "two identity providers send browsers back to the same path");
                check.fault(fault.other(push(&twin, "login")).hint("give each its own `callback_path`"));
            }
        }
        providers.push(provider);
    }
    if providers.is_empty() && check.is_sound("identity_providers") {
        check.notice("`identity_providers` is empty: no token is accepted, only tiers granted to `anyone` can be held");
    }
    providers
}

fn read(
    file: &IdentityProviderFile,
    pointer: &str,
    max_lifetime: Duration,
    base_path: &str,
    check: &mut Check<'_>,
) -> IdentityProvider {
    if !is_short_name(&file.id) {
        let fault = Fault::new(
            push(pointer, "id"),
            format!("the id {} is not made of lower-case letters, digits and `-`", quoted(&file.id)),
        );
        check.fault(fault.hint("such as `main`"));
    }
    let discovery = read_issuer(&push(pointer, "issuer"), &file.issuer, check);
    let audiences = check.list(&push(pointer, "audience"), Some(&file.audience), &[]);
    let tokens = IssuerSettings {
        provider: ProviderId::new(&file.id),
        issuer: Arc::from(file.issuer.as_str()),
        audiences,
        algorithms: read_algorithms(&push(pointer, "algorithms"), file.algorithms.as_deref(), check),
        token_types: read_token_types(&push(pointer, "token_types"), file.token_types.as_deref(), check),
        leeway: check.duration(
            &push(pointer, "leeway"),
            file.leeway.as_ref(),
            IssuerSettings::DEFAULT_LEEWAY,
            Duration::ZERO..=IssuerSettings::MAX_LEEWAY,
        ),
        max_lifetime,
        claims: read_claims(&push(pointer, "claims"), &file.claims, check),
    };
    let login =
        file.login.as_ref().map(|login| Login::read(&push(pointer, "login"), login, &file.id, base_path, check));
    let introspection = file.introspection.as_ref().and_then(|introspection| {
        let client = login.as_ref().and_then(Login::secret);
        Introspection::read(&push(pointer, "introspection"), introspection, client, check)
    });
    let management = file.management.as_ref();
    let management = management.and_then(|file| Management::read(&push(pointer, "management"), file, check));
    IdentityProvider {
        jwks: read_jwks(&push(pointer, "jwks"), &file.jwks, discovery, check),
        login,
        introspection,
        management,
        tokens,
    }
}

/// The place of the discovery document (OpenID Connect Discovery section 4) of
/// an issuer, which is https and has no query and no fragment (section 3).
fn read_issuer(pointer: &str, issuer: &str, check: &mut Check<'_>) -> Option<FetchUrl> {
    check.ok(read_fetch_url(pointer, issuer))?;
    if issuer.contains('?') {
        let fault = Fault::new(pointer, format!("the issuer {} has a query", quoted(issuer)));
        check.fault(fault.hint("write it exactly as in the `iss` claim of a token"));
        return None;
    }
    let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    check.ok(read_fetch_url(pointer, &document))
}

fn read_algorithms(pointer: &str, written: Option<&[String]>, check: &mut Check<'_>) -> Vec<Algorithm> {
    let Some(written) = written else { return Algorithm::DEFAULT.to_vec() };
    let names = check.list(pointer, Some(written), &[]);
    let mut algorithms = Vec::new();
    for (position, name) in names.iter().enumerate() {
        match Algorithm::parse(name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => check.fault(refused_algorithm(&push(pointer, &position.to_string()), name)),
        }
    }
    algorithms
}

fn refused_algorithm(pointer: &str, name: &str) -> Fault {
    let upper = name.to_ascii_uppercase();
    if upper == "NONE" {
        return Fault::new(pointer, "the algorithm `none` would accept tokens that nobody signed").hint("remove it");
    }
    if upper.starts_with("HS") {
        let message = format!("{} is symmetric: whoever can check a token could also make one", quoted(name));
        return Fault::new(pointer, message).hint("let the provider sign with `RS256`, `ES256` or `EdDSA`");
    }
    let known = Algorithm::ALL.map(Algorithm::as_str);
    let fault = Fault::new(pointer, format!("{} is not a signature algorithm known here", quoted(name)));
    // `ES512` exists and is not `PS512` misspelled.
    let family = |other: &&str| other.get(..2) == upper.get(..2);
    let same = known.into_iter().find(|held| held.eq_ignore_ascii_case(name));
    match same.or_else(|| nearest(name, known.into_iter().filter(family))) {
        Some(similar) => fault.hint(format!("did you mean `{similar}`?")),
        None => fault.hint(format!("one of {}", known.map(|name| format!("`{name}`")).join(", "))),
    }
}

/// `typ` values in lower case, without `application/` (RFC 7515 section 4.1.9).
fn read_token_types(pointer: &str, written: Option<&[String]>, check: &mut Check<'_>) -> Vec<String> {
    let types = check.list(pointer, written, &IssuerSettings::DEFAULT_TOKEN_TYPES);
    types
        .iter()
        .map(|text| text.to_ascii_lowercase())
        .map(|text| text.strip_prefix("application/").map_or_else(|| text.clone(), str::to_owned))
        .collect()
}

fn read_jwks(pointer: &str, file: &JwksFile, discovery: Option<FetchUrl>, check: &mut Check<'_>) -> Jwks {
    // Where a URL is faulty, so is the config: what stands in its place is not used.
    let or_none = |source: Option<JwksSource>| source.unwrap_or_else(|| JwksSource::File(PathBuf::new()));
    let source = match (&file.uri, &file.file) {
        (Some(_), Some(_)) => {
            let fault = Fault::new(push(pointer, "file"), "both `uri` and `file` are written");
            check.fault(fault.hint("keep one of them, or neither: then OIDC discovery finds the keys"));
            or_none(None)
        }
        (Some(uri), None) => or_none(check.ok(read_fetch_url(&push(pointer, "uri"), uri)).map(JwksSource::Uri)),
        (None, Some(path)) => {
            let here = push(pointer, "file");
            check.look_at_file(&here, path);
            JwksSource::File(check.path(&here, path))
        }
        (None, None) => or_none(discovery.map(JwksSource::Discovery)),
    };
    let refresh = check.duration(
        &push(pointer, "refresh"),
        file.refresh.as_ref(),
        10 * MINUTE,
        Duration::from_secs(1)..=15 * MINUTE,
    );
    let max_stale =
        check.duration(&push(pointer, "max_stale"), file.max_stale.as_ref(), 24 * HOUR, refresh..=7 * 24 * HOUR);
    let cache_dir = file.cache_dir.as_deref().map(|path| check.path(&push(pointer, "cache_dir"), path));
    Jwks { source, refresh, max_stale, cache_dir }
}

fn read_claims(pointer: &str, file: &ClaimsFile, check: &mut Check<'_>) -> ClaimNames {
    let mut list = |key: &str, written: Option<&[String]>, default: &str| -> Vec<ClaimPath> {
        let pointer = push(pointer, key);
        let default = [default.to_owned()];
        let names = written.unwrap_or(&default).iter().enumerate();
        names
            .filter_map(|(position, name)| check.ok(read_claim(&push(&pointer, &position.to_string()), name)))
            .collect()
    };
    let scopes = list("scopes", file.scopes.as_deref(), "scope");
    let permissions = list("permissions", file.permissions.as_deref(), "permissions");
    let groups = list("groups", file.groups.as_deref(), "groups");
    let mut one = |key: &str, written: Option<&str>| check.ok(read_claim(&push(pointer, key), written.unwrap_or(key)));
    ClaimNames {
        scopes,
        permissions,
        groups,
        email: one("email", file.email.as_deref()),
        name: one("name", file.name.as_deref()),
    }
}

/// A claim name, or a JSON pointer.
pub(crate) fn read_claim(pointer: &str, text: &str) -> Result<ClaimPath, Fault> {
    ClaimPath::parse(text).map_err(|why| {
        Fault::new(pointer, why.to_string())
            .hint("a claim name such as `scope`, or a JSON pointer such as `/realm_access/roles`")
    })
}
