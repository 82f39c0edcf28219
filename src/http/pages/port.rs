//! What the pages ask of the relying party, as a port, so that they can be
//! shown without any provider.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::oidc::{CallbackFailure, LoginProvider, LogoutTokenError, Redirect, RelyingParty, SignInError};
use crate::session::{BrowserCookies, SessionId};
use crate::types::ProviderId;

/// What comes back, later.
pub type SignInFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Signs people in and out; [`RelyingParty`] says what each call means.
pub trait SignIn: Send + Sync {
    /// The providers to sign in at, in the order of the config.
    fn providers(&self) -> &[LoginProvider];

    /// See [`RelyingParty::issuer_origins`].
    fn issuer_origins(&self) -> Vec<String>;

    /// See [`RelyingParty::sign_out_origins`].
    fn sign_out_origins<'a>(&'a self, provider: &'a ProviderId) -> SignInFuture<'a, Vec<String>>;

    /// See [`RelyingParty::begin`].
    fn begin<'a>(
        &'a self,
        provider: &'a ProviderId,
        return_to: &'a str,
        cookies: &'a BrowserCookies,
        client: Option<IpAddr>,
    ) -> SignInFuture<'a, Result<Redirect, SignInError>>;

    /// See [`RelyingParty::complete`].
    fn complete<'a>(
        &'a self,
        provider: &'a ProviderId,
        query: &'a [u8],
        cookies: &'a BrowserCookies,
        user_agent: &'a str,
    ) -> SignInFuture<'a, Result<Redirect, CallbackFailure>>;

    /// See [`RelyingParty::sign_out`].
    fn sign_out<'a>(
        &'a self,
        id: &'a SessionId,
        everywhere: bool,
    ) -> SignInFuture<'a, Result<Option<String>, SignInError>>;

    /// See [`RelyingParty::end_by_logout_token`].
    fn end_by_logout_token<'a>(&'a self, token: &'a str) -> SignInFuture<'a, Result<u64, LogoutTokenError>>;

    /// See [`RelyingParty::end_by_front_channel`].
    fn end_by_front_channel<'a>(
        &'a self,
        issuer: &'a str,
        sid: &'a str,
        id: &'a SessionId,
    ) -> SignInFuture<'a, Result<bool, SignInError>>;
}

impl SignIn for RelyingParty {
    fn providers(&self) -> &[LoginProvider] {
        Self::providers(self)
    }

    fn issuer_origins(&self) -> Vec<String> {
        Self::issuer_origins(self)
    }

    fn sign_out_origins<'a>(&'a self, provider: &'a ProviderId) -> SignInFuture<'a, Vec<String>> {
        Box::pin(Self::sign_out_origins(self, provider))
    }

    fn begin<'a>(
        &'a self,
        provider: &'a ProviderId,
        return_to: &'a str,
        cookies: &'a BrowserCookies,
        client: Option<IpAddr>,
    ) -> SignInFuture<'a, Result<Redirect, SignInError>> {
        Box::pin(Self::begin(self, provider, return_to, cookies, client))
    }

    fn complete<'a>(
        &'a self,
        provider: &'a ProviderId,
        query: &'a [u8],
        cookies: &'a BrowserCookies,
        user_agent: &'a str,
    ) -> SignInFuture<'a, Result<Redirect, CallbackFailure>> {
        Box::pin(Self::complete(self, provider, query, cookies, user_agent))
    }

    fn sign_out<'a>(
        &'a self,
        id: &'a SessionId,
        everywhere: bool,
    ) -> SignInFuture<'a, Result<Option<String>, SignInError>> {
        Box::pin(Self::sign_out(self, id, everywhere))
    }

    fn end_by_logout_token<'a>(&'a self, token: &'a str) -> SignInFuture<'a, Result<u64, LogoutTokenError>> {
        Box::pin(Self::end_by_logout_token(self, token))
    }

    fn end_by_front_channel<'a>(
        &'a self,
        issuer: &'a str,
        sid: &'a str,
        id: &'a SessionId,
    ) -> SignInFuture<'a, Result<bool, SignInError>> {
        Box::pin(Self::end_by_front_channel(self, issuer, sid, id))
    }
}
