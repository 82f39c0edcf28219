//! What the provider has handed out: codes (RFC 6749, RFC 7636) and refresh
//! tokens, which rotate; a used one that comes back ends its whole family
//! (RFC 9700, 4.14).

use std::collections::HashMap;

use anyhow::Result;

use super::accounts::Account;
use super::keys::{base64url, random_name, sha256};
use super::token::now;

const CODE_SECONDS: i64 = 60;

/// What somebody agreed to, carried from the sign-in page to every later token.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    pub(crate) account: &'static Account,
    pub(crate) client: String,
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    pub(crate) session: String,
    pub(crate) at: i64,
}

impl Consent {
    /// A sign-in of this moment.
    pub(crate) fn new(account: &'static Account, client: &str, scope: &str, nonce: Option<String>) -> Result<Self> {
        let (client, scope) = (client.to_owned(), scope.to_owned());
        Ok(Self { account, client, scope, nonce, session: random_name()?, at: now() })
    }

    pub(crate) fn asked_for(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|asked| asked == scope)
    }
}

struct Code {
    consent: Consent,
    redirect_uri: String,
    challenge: Option<String>,
    expires: i64,
}

struct Refresh {
    consent: Consent,
    family: String,
    used: bool,
}

#[derive(Default)]
pub(crate) struct Grants {
    codes: HashMap<String, Code>,
    refresh: HashMap<String, Refresh>,
}

impl Grants {
    pub(crate) fn issue_code(
        &mut self,
        consent: Consent,
        redirect_uri: &str,
        challenge: Option<String>,
    ) -> Result<String> {
        let code = random_name()?;
        let expires = now() + CODE_SECONDS;
        self.codes.insert(code.clone(), Code { consent, redirect_uri: redirect_uri.to_owned(), challenge, expires });
        Ok(code)
    }

    /// Redeems a code once; `Err` says what was wrong with it.
    pub(crate) fn redeem_code(
        &mut self,
        code: &str,
        client: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Result<Consent, &'static str> {
        let code = self.codes.remove(code).ok_or("the code is unknown or used")?;
        if code.expires < now() {
            return Err("the code has expired");
        }
        if code.consent.client != client {
            return Err("the code belongs to another client");
        }
        if code.redirect_uri != redirect_uri {
            return Err("redirect_uri is not the one of the authorization request");
        }
        match (code.challenge, verifier) {
            (None, None) => Ok(code.consent),
            (Some(challenge), Some(verifier)) if base64url(sha256(verifier)) == challenge => Ok(code.consent),
            _ => Err("code_verifier does not fit code_challenge"),
        }
    }

    pub(crate) fn issue_refresh(&mut self, consent: Consent, family: Option<String>) -> Result<String> {
        let token = random_name()?;
        let family = family.map_or_else(random_name, Ok)?;
        self.refresh.insert(token.clone(), Refresh { consent, family, used: false });
        Ok(token)
    }

    /// Takes a refresh token out of use; a second use ends its family.
    pub(crate) fn redeem_refresh(&mut self, token: &str, client: &str) -> Result<(Consent, String), &'static str> {
        let refresh = self.refresh.get_mut(token).ok_or("the refresh token is unknown or revoked")?;
        if refresh.consent.client != client {
            return Err("the refresh token belongs to another client");
        }
        let family = refresh.family.clone();
        if refresh.used {
            self.refresh.retain(|_, other| other.family != family);
            return Err("the refresh token was used before: its family is revoked");
        }
        refresh.used = true;
        Ok((refresh.consent.clone(), family))
    }
}
