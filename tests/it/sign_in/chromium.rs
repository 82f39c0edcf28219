//! The same in a real browser: pages, tabs, scripts, WebSockets.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tiergate_testbed::{Browser, Gateway};

use super::stage::{Kind, SESSION, Stage};

#[tokio::test]
async fn chromium_at_the_development_provider_behind_envoy() {
    story(Kind::Development, Gateway::EnvoyGrpc).await.unwrap();
}

#[tokio::test]
async fn chromium_at_oidc_provider_behind_nginx() {
    story(Kind::OidcProvider, Gateway::Nginx).await.unwrap();
}

async fn story(kind: Kind, gateway: Gateway) -> Result<()> {
    let stage = Stage::start(kind, gateway, 4, true)?;
    let browser = Browser::start().await?;
    let told = async {
        signs_in_on_a_deep_link(&stage, &browser).await.context("deep link")?;
        refreshes_while_a_page_is_open(&stage, &browser).await.context("refresh")?;
        opens_websockets(&stage, &browser).await.context("WebSocket")?;
        is_shown_a_denied_page(&stage, &browser).await.context("denied")?;
        is_signed_out_in_every_tab(&stage, &browser).await.context("sign-out")?;
        finishes_ten_tabs(&stage, &browser).await.context("ten tabs")?;
        is_signed_out_by_the_provider(&stage, &browser).await.context("back-channel")?;
        loses_a_changed_cookie(&stage, &browser).await.context("tampered cookie")
    };
    let told = told.await.with_context(|| stage.name.clone());
    if told.is_err() {
        let shot = browser.screenshot("sign-in-failed").await?;
        let log = stage.tiergate.log();
        let lines: Vec<&str> = log.lines().rev().take(10).collect();
        eprintln!("screenshot: {}\nthe end of the service's log, newest first:\n{}", shot.display(), lines.join("\n"));
    }
    browser.quit().await?;
    told
}

async fn signs_in(browser: &Browser, account: &str) -> Result<()> {
    browser.click(&format!("button[value={account}]")).await
}

async fn signs_in_on_a_deep_link(stage: &Stage, browser: &Browser) -> Result<()> {
    let link = stage.url("/apps/devel/hazard/deep?year=2026&q=a%2Fb");
    browser.open(&link).await?;
    browser.screenshot(&format!("provider-{}", stage.gateway.kind().name())).await?;
    signs_in(browser, "devel").await?;
    browser.wait_url(&link).await?;
    browser.wait_text("/deep?year=2026&q=a%2Fb").await?;
    let cookie = browser.cookie(SESSION).await?.context("no session cookie")?;
    ensure!(cookie.secure == Some(true), "{cookie:?}");
    let seen = browser.run("return document.cookie", &[]).await?;
    ensure!(seen == json!(""), "scripts see {seen}");
    let (status, me) = browser.fetch("/_auth/me").await?;
    ensure!(status == 200 && me.contains("devel@example.com"), "{status} {me}");
    Ok(())
}

/// Access tokens live for four seconds; the page asks for ten.
async fn refreshes_while_a_page_is_open(stage: &Stage, browser: &Browser) -> Result<()> {
    let before = stage.provider.refreshes()?.map_or(0, |(good, _)| good);
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        let (status, body) = browser.fetch("/apps/devel/hazard/poll").await?;
        ensure!(status == 200, "{status} {body}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    if let Some((good, refused)) = stage.provider.refreshes()? {
        ensure!(good >= before + 2 && refused == 0, "{good} refreshes, {refused} refused");
    }
    Ok(())
}

/// The echo, and the chat by the words of Engine.IO and Socket.IO.
async fn opens_websockets(stage: &Stage, browser: &Browser) -> Result<()> {
    let script = "const [url, first, awaited] = arguments;\
        return await new Promise((resolve, reject) => {\
          const socket = new WebSocket(url); const heard = [];\
          setTimeout(() => reject(new Error('heard only ' + JSON.stringify(heard))), 10000);\
          socket.onerror = () => reject(new Error('refused'));\
          socket.onopen = () => { if (first) socket.send(first) };\
          socket.onmessage = event => { heard.push(event.data);\
            if (event.data.startsWith('0{')) socket.send('40');\
            if (event.data.startsWith('40')) socket.send('421[\"echo\",\"kia ora\"]');\
            if (event.data.includes(awaited)) { socket.close(); resolve(event.data) } } })";
    let origin = stage.origin.replace("http:", "ws:");
    let open = async |path: &str, first: &str, awaited: &str| {
        browser.run_async(script, &[json!(format!("{origin}{path}")), json!(first), json!(awaited)]).await
    };
    let echoed = open("/apps/devel/hazard/live", "tena koe", "tena koe").await?;
    ensure!(echoed == json!("tena koe"), "{echoed}");
    let chat = open("/apps/devel/chat/socket.io/?EIO=4&transport=websocket", "", "kia ora").await?;
    ensure!(chat.as_str().is_some_and(|text| text.contains("kia ora")), "the chat: {chat}");
    let refused = open("/apps/admin/live", "x", "x").await?;
    ensure!(refused["error"] != Value::Null, "a WebSocket to a higher tier: {refused}");
    Ok(())
}

async fn is_shown_a_denied_page(stage: &Stage, browser: &Browser) -> Result<()> {
    let link = stage.url("/apps/admin/x");
    browser.open(&link).await?;
    let status = browser.run("return performance.getEntriesByType('navigation')[0].responseStatus", &[]).await?;
    let text = browser.text().await?;
    browser.screenshot(&format!("denied-{}", stage.gateway.kind().name())).await?;
    ensure!(status == json!(403) && browser.url().await? == link, "{status} {text}");
    ensure!(text.len() > 20 && !text.contains('{'), "the page says {text:?}");
    Ok(())
}

async fn is_signed_out_in_every_tab(stage: &Stage, browser: &Browser) -> Result<()> {
    let first = browser.tab().await?;
    browser.open(&stage.url("/apps/devel/hazard/first")).await?;
    browser.new_tab().await?;
    browser.open(&stage.url("/_auth/logout")).await?;
    browser.screenshot(&format!("sign-out-{}", stage.gateway.kind().name())).await?;
    browser.click("form button[type=submit]").await?;
    if stage.name.starts_with("OidcProvider") {
        browser.click("button[name=logout]").await?;
    }
    let back = stage.url("/_auth/");
    browser.wait("the way back", "return location.href.startsWith(arguments[0])", &[json!(back)]).await?;
    browser.screenshot(&format!("portal-{}", stage.gateway.kind().name())).await?;
    ensure!(browser.cookie(SESSION).await?.is_none(), "the cookie is still there");
    browser.switch_to(&first).await?;
    let (status, body) = browser.fetch("/apps/devel/hazard/first").await?;
    ensure!(status == 401 && body.contains("reason"), "{status} {body}");
    Ok(())
}

/// Ten tabs begin before any is through, and the oldest is finished first. The cookies of the five oldest have made room by
/// then, so it is told to sign in again, by a link that leads where it wanted to go. From then on all others go on with the
/// session that is there.
async fn finishes_ten_tabs(stage: &Stage, browser: &Browser) -> Result<()> {
    let mut tabs = Vec::new();
    for number in 0..10 {
        let tab = browser.new_tab().await?;
        let link = stage.url(&format!("/apps/stable/maps/tab?number={number}"));
        browser.open(&link).await?;
        tabs.push((tab, link));
    }
    for (number, (tab, link)) in tabs.iter().enumerate() {
        browser.switch_to(tab).await?;
        signs_in(browser, "devel").await?;
        if number == 0 {
            browser.wait_text("more than five sign-ins were open at once").await?;
            browser.screenshot(&format!("sign-in-again-{}", stage.gateway.kind().name())).await?;
            ensure!(browser.cookie(SESSION).await?.is_none(), "signed in without the cookie of the attempt");
            browser.click("a[href^='/_auth/login?rd=']").await?;
            signs_in(browser, "devel").await?;
        }
        browser.wait_url(link).await.with_context(|| format!("the tab of {link}"))?;
        browser.wait_text("number=").await?;
    }
    let (status, me) = browser.fetch("/_auth/me").await?;
    ensure!(status == 200 && me.contains("devel@example.com"), "{status} {me}");
    Ok(())
}

async fn is_signed_out_by_the_provider(stage: &Stage, browser: &Browser) -> Result<()> {
    let answers = stage.provider.log_out("devel")?;
    ensure!(!answers.is_empty() && answers.iter().all(|status| *status == 200), "answered {answers:?}");
    let deadline = Instant::now() + Duration::from_secs(2);
    while browser.fetch("/apps/stable/maps/x").await?.0 != 401 {
        ensure!(Instant::now() < deadline, "the session is still there");
    }
    let link = stage.url("/apps/stable/maps/again?a=1");
    browser.open(&link).await?;
    signs_in(browser, "ea").await?;
    browser.wait_url(&link).await
}

async fn loses_a_changed_cookie(stage: &Stage, browser: &Browser) -> Result<()> {
    let mut cookie = browser.cookie(SESSION).await?.context("no session cookie")?;
    ensure!(browser.fetch("/apps/ea/reports/x").await?.0 == 200, "not signed in");
    cookie.value = format!("{}{}", if cookie.value.starts_with('A') { 'B' } else { 'A' }, &cookie.value[1..]);
    // A `__Host-` cookie names no domain.
    cookie.domain = None;
    browser.driver().add_cookie(cookie).await?;
    let (status, body) = browser.fetch("/apps/ea/reports/x").await?;
    ensure!(status == 401, "{status} {body}");
    ensure!(browser.cookie(SESSION).await?.is_none(), "the cookie is still there");
    browser.open(&stage.url("/apps/ea/reports/x")).await?;
    ensure!(browser.url().await?.starts_with("http://127.0.0.1:"), "not asked to sign in");
    Ok(())
}
