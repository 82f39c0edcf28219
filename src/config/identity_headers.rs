//! What the upstream is told: header names that are free to be set.

use std::time::Duration;

use super::check::Check;
use super::fault::{Fault, quoted};
use super::file::{ConfigFile, IdentityHeadersFile, ProfileFile};
use super::identity_provider::read_claim;
use super::listen::PublicUrl;
use super::node::push;
use crate::check::{AssertionSettings, HeaderProfile, IdentityHeaders};
use crate::token::ClaimPath;

/// Headers that frame the message or carry credentials (RFC 9110 section 7.6.1,
/// RFC 9112): neither to be set nor to be taken away here.
const NOT_OURS: [&str; 20] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
];

pub(crate) fn read(file: &IdentityHeadersFile, check: &mut Check<'_>) -> IdentityHeaders {
    const POINTER: &str = "/identity_headers";
    let profiles: Vec<HeaderProfile> = match &file.profiles {
        None => vec![HeaderProfile::XAuth],
        Some(written) => written
            .iter()
            .map(|profile| match profile {
                ProfileFile::XAuth => HeaderProfile::XAuth,
                ProfileFile::RemoteUser => HeaderProfile::RemoteUser,
                ProfileFile::Oauth2Proxy => HeaderProfile::Oauth2Proxy,
            })
            .collect(),
    };
    let of_profiles = IdentityHeaders::new(&profiles, &[], &[]);
    let claims_at = push(POINTER, "claims");
    let mut claims: Vec<(String, ClaimPath)> = Vec::new();
    for (name, claim) in &file.claims {
        let pointer = push(&claims_at, name);
        let lower = check.ok(read_name(&pointer, name)).map(|lower| {
            let taken = of_profiles.reads_as_reserved(&lower) || claims.iter().any(|(held, _)| *held == lower);
            if taken {
                let fault = Fault::new(&pointer, format!("the header {} is set already", quoted(name)));
                check.fault(fault.at_key().hint("give the claim a header of its own"));
            }
            lower
        });
        let claim = check.ok(read_claim(&pointer, claim));
        if let (Some(lower), Some(claim)) = (lower, claim) {
            claims.push((lower, claim));
        }
    }
    let strip_at = push(POINTER, "strip");
    let mut strip = Vec::new();
    for (position, name) in file.strip.iter().enumerate() {
        strip.extend(check.ok(read_name(&push(&strip_at, &position.to_string()), name)));
    }
    IdentityHeaders::new(&profiles, &claims, &strip)
}

fn read_name(pointer: &str, name: &str) -> Result<String, Fault> {
    let lower = name.to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if lower.is_empty() || !lower.bytes().all(plain) {
        let fault =
            Fault::new(pointer, format!("{} is not a header name made of letters, digits and `-`", quoted(name)))
                .at_key();
        return Err(match lower.replace('_', "-") {
            dashed if dashed != lower && dashed.bytes().all(plain) => {
                fault.hint("write `-` for `_`: proxies drop or merge names with `_`")
            }
            _ => fault.hint("such as `X-Auth-Plan`"),
        });
    }
    if NOT_OURS.contains(&lower.as_str()) {
        let fault = Fault::new(pointer, format!("the header {} belongs to HTTP itself", quoted(name))).at_key();
        return Err(fault.hint("use a header of its own, such as `X-Auth-Plan`"));
    }
    Ok(lower)
}

pub(crate) fn read_assertion(
    file: &ConfigFile,
    public_url: Option<&PublicUrl>,
    check: &mut Check<'_>,
) -> Option<AssertionSettings> {
    const POINTER: &str = "/assertion";
    let assertion = file.assertion.as_ref()?;
    if file.public_url.is_none() && check.is_sound("public_url") {
        let fault = Fault::new(POINTER, "`assertion` needs `public_url`, which names the issuer");
        check.fault(fault.hint("add `public_url: https://…`"));
    }
    let lifetime = check.duration(
        &push(POINTER, "lifetime"),
        assertion.lifetime.as_ref(),
        Duration::from_secs(60),
        Duration::from_secs(5)..=Duration::from_secs(600),
    );
    Some(AssertionSettings {
        issuer: public_url.map(|url| url.origin().to_owned()).unwrap_or_default(),
        audience: check.text(&push(POINTER, "audience"), &assertion.audience),
        lifetime,
    })
}
