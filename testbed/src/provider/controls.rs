//! What a test does to the provider while it runs, and what it asks of it
//! afterwards.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::accounts::Account;
use super::clients::ClientKey;
use super::{Endpoint, Fault, IssuerInResponse, Provider, TokenSpec, WEB_CLIENT};
use crate::lock;
use crate::raw_http::{percent_encode, request_with_body};

/// The event of a logout token (OIDC Back-Channel Logout section 2.4).
pub const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

impl TokenSpec {
    /// A good logout token for the service's client (OIDC Back-Channel Logout section 2.4), about a session at the provider,
    /// about all of a person's, or both.
    pub fn logout(subject: Option<&str>, sid: Option<&str>) -> Self {
        let spec = Self::new()
            .header("typ", "logout+jwt")
            .audience(WEB_CLIENT)
            .claim("events", json!({ LOGOUT_EVENT: {} }))
            .expires_in(120)
            .without_claim("scope")
            .without_claim("client_id")
            .without_claim("nbf");
        let spec = match subject {
            Some(subject) => spec.subject(subject),
            None => spec.without_claim("sub"),
        };
        match sid {
            Some(sid) => spec.claim("sid", sid),
            None => spec,
        }
    }
}

impl Provider {
    /// How long access tokens live from now on; an hour at first.
    pub fn set_access_lifetime(&self, seconds: i64) {
        lock(&self.shared.state).access_seconds = seconds;
    }

    /// What an account may do from its next token on.
    pub fn set_scopes(&self, account: &str, scopes: &[&str]) -> Result<()> {
        let account = Account::named(account).with_context(|| format!("no account `{account}`"))?;
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        lock(&self.shared.state).scopes.insert(account.name, scopes);
        Ok(())
    }

    /// An opaque access token of an account: only `/introspect` says what it stands for. `more` is laid over what it says; a
    /// `null` takes a member away.
    pub fn opaque_token(&self, account: &str, more: &Value) -> Result<String> {
        let account = Account::named(account).with_context(|| format!("no account `{account}`"))?;
        let (token, now) = (super::keys::random_name()?, super::now());
        let mut state = lock(&self.shared.state);
        let mut claims = json!({
            "active": true, "iss": self.issuer(), "aud": self.audience(), "sub": account.subject(), "client_id": WEB_CLIENT,
            "token_type": "Bearer", "scope": state.scopes_of(account).join(" "), "permissions": account.permissions,
            "iat": now, "exp": now.saturating_add(state.access_seconds),
        });
        if let (Some(claims), Some(more)) = (claims.as_object_mut(), more.as_object()) {
            claims.extend(more.clone());
            claims.retain(|_, value| !value.is_null());
        }
        state.opaque.insert(token.clone(), claims);
        Ok(token)
    }

    /// Forgets an opaque access token.
    pub fn revoke_opaque(&self, token: &str) {
        lock(&self.shared.state).opaque.remove(token);
    }

    /// Trusts a public key (a JWK) of the client [`super::KEY_CLIENT`].
    pub fn trust_client_key(&self, jwk: &Value) {
        lock(&self.shared.state).clients.keys.push(ClientKey::Jwk(jwk.clone()));
    }

    /// [`Provider::trust_client_key`] for SubjectPublicKeyInfo in DER.
    pub fn trust_client_key_der(&self, der: &[u8]) {
        lock(&self.shared.state).clients.keys.push(ClientKey::Der(der.to_vec()));
    }

    /// How clients have proved who they are at the token endpoint so far: `basic`, `post`, `private_key_jwt` or `none`.
    pub fn client_proofs(&self) -> Vec<&'static str> {
        lock(&self.shared.state).clients.proofs.clone()
    }

    /// Makes an endpoint fail until [`Provider::heal`].
    pub fn fail(&self, endpoint: Endpoint, fault: Fault) {
        lock(&self.shared.state).faults.set(endpoint, fault, None);
    }

    /// Makes the next so many requests to an endpoint fail.
    pub fn fail_next(&self, endpoint: Endpoint, times: usize, fault: Fault) {
        lock(&self.shared.state).faults.set(endpoint, fault, Some(times));
    }

    /// Changes every ID token before it is signed, until [`Provider::heal`].
    pub fn shape_id_tokens(&self, shape: impl Fn(TokenSpec) -> TokenSpec + Send + Sync + 'static) {
        lock(&self.shared.state).faults.id_token = Some(Arc::new(shape));
    }

    /// Changes every access token before it is signed, until [`Provider::heal`].
    pub fn shape_access_tokens(&self, shape: impl Fn(TokenSpec) -> TokenSpec + Send + Sync + 'static) {
        lock(&self.shared.state).faults.access_token = Some(Arc::new(shape));
    }

    /// Changes every good answer of the token endpoint, until [`Provider::heal`].
    pub fn shape_token_answers(&self, shape: impl Fn(Value) -> Value + Send + Sync + 'static) {
        lock(&self.shared.state).faults.token_answer = Some(Arc::new(shape));
    }

    /// What authorization responses, and discovery, say of the issuer, until [`Provider::heal`].
    pub fn say_issuer(&self, issuer: IssuerInResponse) {
        lock(&self.shared.state).faults.issuer = issuer;
    }

    /// Publishes this document in place of the key set.
    pub fn publish_jwks(&self, document: &Value) {
        self.fail(Endpoint::Jwks, Fault::Json(document.to_string()));
    }

    /// Ends every fault.
    pub fn heal(&self) {
        lock(&self.shared.state).faults = super::faults::Faults::default();
    }

    /// How often an endpoint was asked.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        lock(&self.shared.state).counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// Starts counting anew.
    pub fn reset_counts(&self) {
        lock(&self.shared.state).counts.clear();
    }

    /// The sessions (`sid`) of an account that have not ended.
    pub fn sessions_of(&self, account: &str) -> Vec<String> {
        let subject = Account::named(account).map(Account::subject).unwrap_or_default();
        lock(&self.shared.state).grants.live_sessions(&subject)
    }

    /// Refresh requests of one session that were answered with tokens, and those that were refused.
    pub fn refreshes_of(&self, sid: &str) -> (usize, usize) {
        let state = lock(&self.shared.state);
        state.grants.granted.get(sid).map_or((0, 0), |granted| (granted.refreshes, granted.refused))
    }

    /// The same over all sessions.
    pub fn refreshes(&self) -> (usize, usize) {
        let state = lock(&self.shared.state);
        let all = state.grants.granted.values();
        all.fold((0, 0), |(good, refused), one| (good + one.refreshes, refused + one.refused))
    }

    /// The tokens that clients gave back at the revocation endpoint, in order.
    pub fn revoked(&self) -> Vec<String> {
        lock(&self.shared.state).grants.revoked.clone()
    }

    /// Ends the sessions of an account here and tells nobody: the next refresh is refused.
    pub fn end_sessions_of(&self, account: &str) {
        for sid in self.sessions_of(account) {
            lock(&self.shared.state).grants.end(&sid);
        }
    }

    /// Registers where the service's client takes logout tokens (OIDC Back-Channel Logout section 2.2).
    pub fn set_backchannel_logout(&self, uri: &str) {
        lock(&self.shared.state).backchannel = Some(uri.to_owned());
    }

    /// Ends the sessions of an account here and tells the client of each; the statuses it answered.
    pub fn log_out(&self, account: &str) -> Result<Vec<u16>> {
        let sessions = self.sessions_of(account);
        let subject = Account::named(account).map(Account::subject).unwrap_or_default();
        let mut answers = Vec::new();
        for sid in sessions {
            let client = {
                let mut state = lock(&self.shared.state);
                state.grants.end(&sid);
                state.grants.granted.get(&sid).map(|granted| granted.client.clone()).unwrap_or_default()
            };
            let token = self.mint(&TokenSpec::logout(Some(&subject), Some(&sid)).audience(client))?;
            answers.push(self.send_logout_token(&token)?);
        }
        Ok(answers)
    }

    /// Sends a logout token, good or not, to the registered address; the status of the answer.
    pub fn send_logout_token(&self, token: &str) -> Result<u16> {
        let uri = lock(&self.shared.state).backchannel.clone().context("no address for logout tokens is registered")?;
        let (authority, path) =
            uri.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("not an http address")?;
        let address: SocketAddr = authority.replace("localhost", "127.0.0.1").parse()?;
        let headers = [("Host", authority), ("Content-Type", "application/x-www-form-urlencoded")];
        let body = format!("logout_token={}", percent_encode(token));
        Ok(request_with_body(address, "POST", &format!("/{path}"), &headers, body.as_bytes())?.status)
    }
}
