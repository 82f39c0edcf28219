//! The ends of a session: signing out, and the provider's word.

use std::time::Duration;

use anyhow::{bail, ensure};

use super::stage::{At, Kind, SESSION, Stage, at, eventually, everywhere};

const APP: &str = "/apps/stable/maps/x";

#[test]
fn signing_out_ends_the_session_here_and_at_the_provider() {
    everywhere(|stage| {
        let mut agent = stage.signed_in("barista")?;
        let session = Stage::session(&agent)?;
        let asked = agent.open(&stage.url("/_auth/logout"))?;
        ensure!(asked.status() == 200, "{}", asked.trail());
        ensure!(stage.status_with(&session, APP)? == 200, "a GET signed out");
        let mut visit = agent.submit(&asked, &[])?;
        ensure!(agent.cookie(SESSION).is_none(), "the cookie is still there: {}", visit.trail());
        ensure!(stage.status_with(&session, APP)? == 401, "the session is still there");
        let at_provider = visit.steps.iter().any(|step| step.url.starts_with("http://127.0.0.1:"));
        ensure!(at_provider, "the provider heard nothing: {}", visit.trail());
        if matches!(stage.provider, At::OidcProvider(_)) {
            ensure!(visit.status() == 200 && visit.text().contains("Sign out"), "{}", visit.told());
            visit = agent.submit(&visit, &[("logout", "yes")])?;
        }
        if !matches!(stage.provider, At::Glewlwyd(_)) {
            ensure!(visit.url().starts_with(&stage.url("/_auth/")), "did not come back: {}", visit.trail());
        }
        // Nobody is signed in again by itself.
        let again = agent.open(&stage.url(APP))?;
        ensure!(again.url().starts_with("http://127.0.0.1:"), "{}", again.trail());
        Ok(())
    });
}

#[test]
fn no_other_site_signs_anybody_out() {
    everywhere(|stage| {
        let mut agent = stage.signed_in("ea")?;
        let session = Stage::session(&agent)?;
        for origin in ["http://evil.example", "http://127.0.0.1:1", "null"] {
            let visit = agent.post(&stage.url("/_auth/logout"), origin, &[])?;
            ensure!(visit.status() == 403, "{origin}: {}", visit.trail());
        }
        ensure!(stage.status_with(&session, APP)? == 200, "signed out");
        Ok(())
    });
}

#[test]
fn a_revoked_refresh_token_is_given_back() {
    at(&[Kind::Development], |stage| {
        let At::Development(provider) = &stage.provider else { bail!("another provider") };
        let mut agent = stage.signed_in("barista")?;
        let before = provider.revoked().len();
        let asked = agent.open(&stage.url("/_auth/logout"))?;
        agent.submit(&asked, &[])?;
        eventually("the refresh token is given back", Duration::from_secs(5), || Ok(provider.revoked().len() > before))
    });
}

#[test]
fn the_provider_ends_sessions_by_back_channel() {
    at(&[Kind::Development, Kind::OidcProvider], |stage| {
        let ending = stage.signed_in("manager")?;
        let other = stage.signed_in("devel")?;
        let (ending, other) = (Stage::session(&ending)?, Stage::session(&other)?);
        let answers = stage.provider.log_out("manager")?;
        ensure!(!answers.is_empty() && answers.iter().all(|status| *status == 200), "answered {answers:?}");
        eventually("the session has ended", Duration::from_secs(2), || Ok(stage.status_with(&ending, APP)? == 401))?;
        ensure!(stage.status_with(&other, APP)? == 200, "somebody else was signed out");
        Ok(())
    });
}

#[test]
fn a_logout_token_that_is_not_right_ends_nothing() {
    use tiergate_testbed::{Key, TokenSpec};
    at(&[Kind::Development], |stage| {
        let At::Development(provider) = &stage.provider else { bail!("another provider") };
        let agent = stage.signed_in("admin")?;
        let session = Stage::session(&agent)?;
        let sid = provider.sessions_of("admin").pop();
        let good = || TokenSpec::logout(Some("dev|admin"), sid.as_deref());
        for (what, spec) in [
            ("a nonce", good().claim("nonce", "n")),
            ("no event", good().without_claim("events")),
            ("another audience", good().audience("another")),
            ("another issuer", good().issuer("http://127.0.0.1:1/")),
            ("a foreign key", good().key(Key::ForeignRsa)),
            ("no signature", good().key(Key::Unsigned)),
            ("neither sub nor sid", TokenSpec::logout(None, None)),
            ("an access token", TokenSpec::for_account("admin")),
        ] {
            let status = provider.send_logout_token(&provider.mint(&spec)?)?;
            ensure!(status == 400, "{what}: {status}");
        }
        ensure!(stage.status_with(&session, APP)? == 200, "the session has ended");
        let token = provider.mint(&good())?;
        ensure!(provider.send_logout_token(&token)? == 200, "a good one is refused");
        ensure!(provider.send_logout_token(&token)? == 400, "the same one counts twice");
        ensure!(stage.status_with(&session, APP)? == 401, "the session is still there");
        Ok(())
    });
}
