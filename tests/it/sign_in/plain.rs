//! Signing in, and what a signed-in browser gets.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tiergate_testbed::UserAgent;

use super::stage::{At, SESSION, Stage, everywhere};

#[test]
fn a_deep_link_is_kept_with_its_query() {
    everywhere(|stage| {
        let link = "/apps/ea/reports/deep/link?year=2026&q=a%2Fb&q=%C3%A9";
        let mut agent = UserAgent::new();
        let page = agent.open(&stage.url(link))?;
        let first = &page.steps.first().context("no step")?.answer;
        ensure!([302, 303].contains(&first.status), "the first answer was {}", first.status);
        let location = first.header("location").unwrap_or_default();
        ensure!(location.starts_with(&stage.url("/_auth/login?rd=")), "sent to {location}");
        let visit = stage.provider.sign_in(&mut agent, &page, "ea")?;
        ensure!(visit.url() == stage.url(link) && visit.status() == 200, "{}", visit.told());
        let received = landed(&visit.text())?;
        ensure!(received["target"] == "/deep/link?year=2026&q=a%2Fb&q=%C3%A9", "{received}");
        ensure!(header(&received, "x-auth-email") == Some("ea@example.com"), "{received}");
        ensure!(header(&received, "x-auth-tiers") == Some("public,stable,ea"), "{received}");
        ensure!(!received.to_string().contains("__Host-tiergate"), "the app sees our cookies: {received}");
        if !matches!(stage.provider, At::Glewlwyd(_)) {
            let subject = header(&received, "x-auth-user");
            ensure!(subject == Some("ea") || subject == Some("dev%7Cea") || subject == Some("dev|ea"), "{subject:?}");
        }
        Ok(())
    });
}

#[test]
fn the_session_cookie_is_bound_and_hidden() {
    everywhere(|stage| {
        let agent = stage.signed_in("ea")?;
        let cookie = agent.cookie(SESSION).context("no session cookie")?;
        let mut attributes: Vec<&str> = cookie.set_by.split("; ").skip(1).collect();
        attributes.sort_unstable();
        let expected = ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Lax", "Secure"];
        ensure!(attributes == expected, "{attributes:?}");
        ensure!(cookie.value.len() == 43 && cookie.host == "localhost", "{} characters", cookie.value.len());
        ensure!(agent.refused_cookies().is_empty(), "a browser refuses {:?}", agent.refused_cookies());
        let left: Vec<&str> = agent.cookies().iter().map(|cookie| cookie.name.as_str()).collect();
        ensure!(!left.iter().any(|name| name.starts_with("__Host-tiergate-login")), "left behind: {left:?}");
        Ok(())
    });
}

#[test]
fn me_says_who_without_a_token() {
    everywhere(|stage| {
        let mut agent = stage.signed_in("devel")?;
        let (status, me) = stage.me(&mut agent)?;
        ensure!(status == 200 && me["email"] == "devel@example.com" && me["name"] == "Devi Devel", "{status} {me}");
        ensure!(me["tiers"] == serde_json::json!(["public", "stable", "ea", "devel"]), "{me}");
        ensure!(!me.to_string().contains("eyJ"), "a token: {me}");
        let (status, nobody) = stage.me(&mut UserAgent::new())?;
        ensure!(status == 401, "{status}");
        let login = nobody["login_url"].as_str().unwrap_or_default();
        ensure!(login.starts_with(&stage.url("/_auth/login")), "{nobody}");
        Ok(())
    });
}

#[test]
fn each_kind_of_client_gets_its_own_answer() {
    everywhere(|stage| {
        let mut nobody = UserAgent::new();
        let answer = stage.fetch(&mut nobody, "/apps/ea/reports/x")?;
        ensure!(answer.status == 401 && answer.header("location").is_none(), "a script: {}", answer.status);
        ensure!(nobody.cookies().is_empty(), "a script was given {:?}", nobody.cookies());
        ensure!(nobody.open(&stage.url("/public/x"))?.status() == 200, "the public page is closed");

        let mut stable = stage.signed_in("stable")?;
        ensure!(stage.fetch(&mut stable, "/apps/stable/maps/x")?.status == 200, "stable is not let in");
        let denied = stable.open(&stage.url("/apps/devel/hazard/x"))?;
        ensure!(denied.status() == 403 && denied.steps.len() == 1, "denied by {}", denied.trail());
        let page = denied.last()?.answer.header("content-type").unwrap_or_default().to_owned();
        ensure!(page.starts_with("text/html"), "a browser is answered with {page}");
        let script = stage.fetch(&mut stable, "/apps/devel/hazard/x")?;
        ensure!(script.status == 403 && script.json()?["reason"] == "insufficient_tier", "{}", script.text());
        Ok(())
    });
}

#[test]
fn a_cookie_that_was_tampered_with_opens_nothing() {
    everywhere(|stage| {
        let agent = stage.signed_in("ea")?;
        let good = Stage::session(&agent)?;
        ensure!(stage.status_with(&good, "/apps/ea/reports/x")? == 200, "the session is not good");
        let other_end = if good.ends_with('A') { "E" } else { "A" };
        let changed = format!("{}{other_end}", &good[..42]);
        for wrong in [changed.as_str(), "x", &good[..42], &format!("{good}A"), &good.to_lowercase()] {
            let status = stage.status_with(wrong, "/apps/ea/reports/x")?;
            ensure!(status == 401, "{status} for a changed cookie");
        }
        let twice = format!("{SESSION}={good}; {SESSION}={good}");
        let answer = UserAgent::new().fetch("GET", &stage.url("/apps/ea/reports/x"), &[("Cookie", &twice)])?;
        ensure!(answer.status == 401, "{} for two cookies", answer.status);
        Ok(())
    });
}

fn landed(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("not the upstream's answer: {text}"))
}

fn header<'a>(received: &'a Value, name: &str) -> Option<&'a str> {
    let all = received["headers"].as_array()?;
    all.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str())
}
