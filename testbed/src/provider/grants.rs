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
    used: bool,
}

/// One sign-in that has led to tokens: a session of the provider.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) subject: String,
    pub(crate) client: String,
    /// Refresh requests that were answered with tokens.
    pub(crate) refreshes: usize,
    /// Refresh requests that were refused.
    pub(crate) refused: usize,
    pub(crate) ended: bool,
}

#[derive(Default)]
pub(crate) struct Grants {
    codes: HashMap<String, Code>,
    refresh: HashMap<String, Refresh>,
    /// By `sid`, which is also the family of its refresh tokens.
    pub(crate) granted: HashMap<String, Granted>,
    /// Tokens that clients gave back (RFC 7009), in order.
    pub(crate) revoked: Vec<String>,
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
            (None, None) => {}
            (Some(challenge), Some(verifier)) if base64url(sha256(verifier)) == challenge => {}
            _ => return Err("code_verifier does not fit code_challenge"),
        }
        let Consent { account, client, session, .. } = &code.consent;
        let granted =
            Granted { subject: account.subject(), client: client.clone(), refreshes: 0, refused: 0, ended: false };
        self.granted.insert(session.clone(), granted);
        Ok(code.consent)
    }

    pub(crate) fn issue_refresh(&mut self, consent: Consent) -> Result<String> {
        let token = random_name()?;
        self.refresh.insert(token.clone(), Refresh { consent, used: false });
        Ok(token)
    }

    /// Takes a refresh token out of use; a second use ends its family.
    pub(crate) fn redeem_refresh(&mut self, token: &str, client: &str) -> Result<Consent, &'static str> {
        let refresh = self.refresh.get_mut(token).ok_or("the refresh token is unknown")?;
        if refresh.consent.client != client {
            return Err("the refresh token belongs to another client");
        }
        let consent = refresh.consent.clone();
        let was_used = std::mem::replace(&mut refresh.used, true);
        let granted = self.granted.get_mut(&consent.session).ok_or("the refresh token belongs to no sign-in")?;
        if granted.ended {
            granted.refused += 1;
            return Err("the refresh token is revoked");
        }
        if was_used {
            granted.refused += 1;
            granted.ended = true;
            return Err("the refresh token was used before: its family is revoked");
        }
        granted.refreshes += 1;
        Ok(consent)
    }

    /// RFC 7009: a token that somebody gives back ends what it came from.
    pub(crate) fn revoke(&mut self, token: &str) {
        self.revoked.push(token.to_owned());
        if let Some(session) = self.refresh.get(token).map(|refresh| refresh.consent.session.clone()) {
            self.end(&session);
        }
    }

    /// Ends one sign-in: its refresh tokens are worth nothing.
    pub(crate) fn end(&mut self, session: &str) {
        if let Some(granted) = self.granted.get_mut(session) {
            granted.ended = true;
        }
    }

    /// The sign-ins of a person that have not ended.
    pub(crate) fn live_sessions(&self, subject: &str) -> Vec<String> {
        let live = self.granted.iter().filter(|(_, granted)| granted.subject == subject && !granted.ended);
        live.map(|(session, _)| session.clone()).collect()
    }
}
