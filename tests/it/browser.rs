//! A person with a browser at the service and the development provider.

use anyhow::{Context, Result, ensure};
use tiergate_testbed::Provider;
use tiergate_testbed::raw_http::post_form;
use tiergate_testbed::user_agent::UserAgent;

/// The session cookie.
pub(crate) const SESSION: &str = "__Host-tiergate-session";

/// Signs in through the pages that this port shows, and gives the browser.
///
/// Nobody need listen at the public address: each step to it goes to that port.
pub(crate) fn sign_in(provider: &Provider, port: u16, public_url: &str, account: &str) -> Result<UserAgent> {
    let here = format!("http://localhost:{port}");
    let mut browser = UserAgent::new();
    let login = browser.step(&format!("{here}/_auth/login?rd=/apps/devel/hazard/x%3Fa%3D1"))?.answer;
    let authorize = login.header("location").with_context(|| format!("{}: {}", login.status, login.text()))?;
    let at = authorize.find("/authorize").with_context(|| format!("sent to {authorize}"))?;
    let chosen = post_form(provider.address(), &authorize[at..], &[("account", account)])?;
    let callback = chosen.header("location").with_context(|| format!("{}: {}", chosen.status, chosen.text()))?;
    let login = |browser: &UserAgent| browser.cookies().iter().any(|cookie| cookie.name.contains("-login-"));
    ensure!(login(&browser), "no cookie binds the attempt to the browser");
    let back = browser.step(&callback.replace(public_url, &here))?.answer;
    ensure!(back.status == 303, "{}: {}", back.status, back.text());
    let onward = back.header("location").unwrap_or_default();
    ensure!(onward == format!("{public_url}/apps/devel/hazard/x?a=1"), "sent on to {onward}");
    // One cookie comes and one goes, in one answer.
    ensure!(back.header_values("set-cookie").len() >= 2 && !login(&browser), "{:?}", back.headers);
    ensure!(browser.refused_cookies().is_empty(), "a browser refuses {:?}", browser.refused_cookies());
    session_of(&browser)?;
    Ok(browser)
}

/// The `Cookie` pair of the session.
pub(crate) fn session_of(browser: &UserAgent) -> Result<String> {
    let cookie = browser.cookie(SESSION).context("there is no session")?;
    Ok(format!("{SESSION}={}", cookie.value))
}
