//! Somebody who comes from oauth2-proxy keeps its paths, and the redirect URI
//! that the provider knows.

use tiergate_testbed::{Provider, Tiergate, UserAgent, request};

use super::stage::{BINARY, SESSION_COOKIE, config, page, session};

#[test]
fn the_paths_of_oauth2_proxy_work_at_the_root() {
    let provider = Provider::start().unwrap();
    let config =
        config(&provider, "memory").replace("    login:\n", "    login:\n      callback_path: /oauth2/callback\n");
    let tiergate = Tiergate::builder(BINARY, &format!("{config}compat: [oauth2-proxy]\n")).start().unwrap();
    let mut agent = UserAgent::new();
    let choice = agent.open(&page(&tiergate, "/oauth2/start?rd=%2Foauth2%2Fuserinfo%3F")).unwrap();
    let visit = agent.submit(&choice, &[("account", "devel")]).unwrap();
    let callback = page(&tiergate, "/oauth2/callback?");
    assert!(visit.steps.iter().any(|step| step.url.starts_with(&callback)), "{}", visit.trail());
    // Not to one of our own pages.
    assert_eq!((visit.status(), visit.url()), (200, page(&tiergate, "/_auth/").as_str()), "{}", visit.trail());

    let cookie = session(&agent).unwrap();
    let ask = |path: &str, headers: &[(&str, &str)]| request(tiergate.http(), "GET", path, headers).unwrap();
    let userinfo = ask("/oauth2/userinfo", &[("Cookie", &cookie)]);
    assert_eq!(userinfo.status, 200);
    let userinfo = userinfo.json().unwrap();
    assert_eq!(
        (&userinfo["email"], &userinfo["preferredUsername"]),
        (&"devel@example.com".into(), &"Devi Devel".into())
    );
    assert!(userinfo["user"].as_str().is_some_and(|user| !user.is_empty()), "{userinfo}");
    assert_eq!(ask("/oauth2/userinfo", &[]).status, 401);
    let asked = [("Cookie", cookie.as_str()), ("X-Original-Method", "GET"), ("X-Original-URI", "/apps/devel/x")];
    let auth = ask("/oauth2/auth", &asked);
    assert_eq!((auth.status, auth.header("x-auth-user")), (200, userinfo["user"].as_str()));

    let confirm = agent.open(&page(&tiergate, "/oauth2/sign_out?rd=https%3A%2F%2Fevil.example%2F")).unwrap();
    assert!(agent.cookie(SESSION_COOKIE).is_some());
    let out = agent.submit(&confirm, &[]).unwrap();
    assert!(agent.cookie(SESSION_COOKIE).is_none() && !out.trail().contains("evil"), "{}", out.trail());
    assert_eq!(ask("/oauth2/userinfo", &[("Cookie", &cookie)]).status, 401);
}
