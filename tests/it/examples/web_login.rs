//! The web login: in, around and out, as somebody with a browser does it.

use anyhow::{Result, ensure};
use tiergate_testbed::{Example, UserAgent, Visit};

use super::stage::{Stage, for_each_proxy};

const WEB: Example = Example::WebLogin;

/// Follows the first link of a page that reads so.
fn follow(stage: &Stage, browser: &mut UserAgent, page: &Visit, link: &str) -> Result<Visit> {
    let text = page.text();
    let before = text.split(&format!("\">{link}</a>")).next().unwrap_or_default();
    ensure!(before.len() < text.len(), "no link `{link}`: {text}");
    let target = before.rsplit("href=\"").next().unwrap_or_default().to_owned();
    browser.open(&stage.url(&target))
}

#[test]
fn a_person_logs_in_sees_their_profile_and_logs_out() {
    for_each_proxy(WEB, |stage| {
        let mut browser = UserAgent::new();
        let home = browser.open(&stage.url("/"))?;
        ensure!(home.status() == 200 && home.text().contains("Nobody is signed in"), "{}", home.told());

        let choice = follow(stage, &mut browser, &home, "Log in")?;
        ensure!(choice.url().starts_with(stage.running.provider.issuer()), "{}", choice.told());
        let home = browser.submit(&choice, &[("account", "manager")])?;
        ensure!(home.url() == stage.url("/") && home.text().contains("Hello, Mo Manager"), "{}", home.told());

        let profile = follow(stage, &mut browser, &home, "Profile")?;
        for shown in ["Mo Manager", "manager@example.com", "dev|manager", "member", stage.running.provider.issuer()] {
            ensure!(profile.text().contains(shown), "no `{shown}`: {}", profile.told());
        }
        let sessions = follow(stage, &mut browser, &profile, "Your sessions")?;
        ensure!(sessions.status() == 200 && sessions.url() == stage.url("/_auth/sessions"), "{}", sessions.told());

        let confirm = follow(stage, &mut browser, &profile, "Log out")?;
        ensure!(confirm.status() == 200, "{}", confirm.told());
        browser.submit(&confirm, &[])?;
        let home = browser.open(&stage.url("/"))?;
        ensure!(home.text().contains("Nobody is signed in"), "{}", home.told());
        let profile = browser.open(&stage.url("/profile"))?;
        ensure!(profile.url().starts_with(stage.running.provider.issuer()), "{}", profile.told());
        Ok(())
    });
}

#[test]
fn the_profile_asks_to_sign_in_and_leads_back() {
    for_each_proxy(WEB, |stage| {
        stage.refused(None, "GET", "/profile", None, 401)?;
        let mut browser = stage.sign_in("/profile?from=a-bookmark", "stable")?;
        let page = browser.open(&stage.url("/"))?;
        ensure!(page.text().contains("Hello, Stella Stable"), "{}", page.told());
        Ok(())
    });
}

#[test]
fn nobody_can_say_who_they_are() {
    for_each_proxy(WEB, |stage| {
        let claims = [("X-Auth-User", "dev|admin"), ("X-Auth-Name", "Mallory"), ("x-auth-email", "m@example.com")];
        let page = stage.send("GET", "/", &claims, "")?;
        ensure!(page.status == 200 && page.text().contains("Nobody is signed in"), "{}", page.text());
        Ok(())
    });
}
