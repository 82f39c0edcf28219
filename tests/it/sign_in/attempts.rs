//! Attempts to sign in that are not what they should be, and several at once.

use anyhow::{Context, ensure};
use tiergate_testbed::UserAgent;

use super::stage::{SESSION, Stage, everywhere};

#[test]
fn a_callback_counts_once() {
    everywhere(|stage| {
        let mut agent = UserAgent::new();
        let visit = stage.sign_in(&mut agent, "/apps/stable/maps/x", "ea")?;
        let callback = visit.step("/_auth/callback")?.url.clone();
        let session = Stage::session(&agent)?;
        let replayed = agent.open(&callback)?;
        ensure!(replayed.status() == 400, "replayed: {}", replayed.trail());
        let elsewhere = UserAgent::new().open(&callback)?;
        ensure!(elsewhere.status() == 400, "replayed elsewhere: {}", elsewhere.trail());
        ensure!(elsewhere.text().contains("/_auth/"), "the page shows no way back");
        ensure!(stage.status_with(&session, "/apps/stable/maps/x")? == 200, "the session has ended");
        Ok(())
    });
}

#[test]
fn a_callback_counts_only_in_the_browser_that_began() {
    everywhere(|stage| {
        let mut attacker = UserAgent::new();
        let page = attacker.open(&stage.url("/apps/stable/maps/x"))?;
        // The attacker goes as far as the provider sends them back, and has the victim open that address.
        attacker.forget_cookies("__Host-tiergate");
        let visit = stage.provider.sign_in(&mut attacker, &page, "admin")?;
        ensure!(visit.status() == 400, "without its cookie: {}", visit.trail());
        ensure!(attacker.cookie("__Host-tiergate-session").is_none(), "a session came of it");
        let callback = visit.step("/_auth/callback")?.url.clone();
        let mut victim = UserAgent::new();
        victim.open(&stage.url("/apps/ea/reports/x"))?;
        let visit = victim.open(&callback)?;
        ensure!(visit.status() == 400, "in another browser: {}", visit.trail());
        ensure!(victim.cookie("__Host-tiergate-session").is_none(), "a session came of it");
        Ok(())
    });
}

#[test]
fn parameters_of_a_callback_are_exact() {
    everywhere(|stage| {
        let mut agent = UserAgent::new();
        let page = agent.open(&stage.url("/apps/stable/maps/x"))?;
        let asked = page.steps.iter().find_map(|step| step.url.split_once("state=")).context("no state was sent")?;
        let state = asked.1.split('&').next().unwrap_or_default();
        for query in [
            format!("code=x&state={state}&state={state}"),
            format!("code=x&code=y&state={state}"),
            "code=x&state=foreign".to_owned(),
            format!("code=x&state={}", "A".repeat(43)),
            "code=x".to_owned(),
            String::new(),
        ] {
            let visit = agent.open(&stage.url(&format!("/_auth/callback/main?{query}")))?;
            let shape = query.replace(state, "STATE");
            ensure!(visit.status() == 400 && visit.steps.len() == 1, "{shape}: {}", visit.trail());
        }
        Ok(())
    });
}

#[test]
fn a_new_sign_in_ends_the_old_session() {
    everywhere(|stage| {
        let old = Stage::session(&stage.signed_in("ea")?)?;
        let mut agent = UserAgent::new();
        let page = agent.open(&stage.url("/apps/stable/maps/two?b=2"))?;
        // The browser holds a session from before this sign-in began.
        agent.set_cookie("localhost", SESSION, &old);
        let visit = stage.provider.sign_in(&mut agent, &page, "ea")?;
        ensure!(visit.url() == stage.url("/apps/stable/maps/two?b=2"), "{}", visit.trail());
        let new = Stage::session(&agent)?;
        ensure!(old != new, "the id is the same");
        let statuses = (stage.status_with(&old, "/apps/ea/reports/x")?, stage.status_with(&new, "/apps/ea/reports/x")?);
        ensure!(statuses == (401, 200), "old and new: {statuses:?}");
        Ok(())
    });
}

#[test]
fn tabs_of_one_person_share_a_session() {
    everywhere(|stage| {
        let mut agent = UserAgent::new();
        let first = agent.open(&stage.url("/apps/stable/maps/one"))?;
        let second = agent.open(&stage.url("/apps/stable/maps/two?b=2"))?;
        let first = stage.provider.sign_in(&mut agent, &first, "ea")?;
        ensure!(first.url() == stage.url("/apps/stable/maps/one"), "{}", first.trail());
        let old = Stage::session(&agent)?;
        let second = stage.provider.sign_in(&mut agent, &second, "ea")?;
        ensure!(second.url() == stage.url("/apps/stable/maps/two?b=2"), "{}", second.trail());
        ensure!(old == Stage::session(&agent)?, "the second tab got a session of its own");
        let status = stage.status_with(&old, "/apps/ea/reports/x")?;
        ensure!(status == 200, "{status}");
        Ok(())
    });
}

#[test]
fn where_to_go_afterwards_is_on_this_site() {
    everywhere(|stage| {
        let mut agent = stage.signed_in("stable")?;
        for rd in [
            "https://evil.example/",
            "//evil.example/",
            "/%5Cevil.example",
            "/_auth/logout",
            "http://localhost:1/x",
            "/a//b",
        ] {
            let step = agent.step(&stage.url(&format!("/_auth/login?rd={}", rd.replace('/', "%2F"))))?;
            let location = step.answer.header("location").unwrap_or_default();
            ensure!(location == stage.url("/_auth/"), "{rd} led to {} {location}", step.answer.status);
        }
        let step = agent.step(&stage.url("/_auth/login?rd=%2Fapps%2Fstable%2Fmaps%2F%3Fa%3D1"))?;
        let location = step.answer.header("location").unwrap_or_default();
        ensure!(location == stage.url("/apps/stable/maps/?a=1"), "{} {location}", step.answer.status);
        Ok(())
    });
}
