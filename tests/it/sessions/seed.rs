//! Nothing but the variables of the original system: its paths at the root work.

use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{Provider, Tiergate, UserAgent};

use super::stage::{BINARY, SECRET, SESSION_COOKIE, ask_with, page, session};

#[test]
fn the_paths_of_the_original_system_work_at_the_root() {
    let provider = Provider::start().unwrap();
    let tiergate = Tiergate::from_environment(BINARY)
        .env("AUTH0_DOMAIN", "tenant.example.com")
        .env("AUTH0_CLIENT_ID", WEB_CLIENT)
        .env("AUTH0_CLIENT_SECRET", WEB_CLIENT_SECRET)
        .env("AUTH0_CALLBACK_URL", "http://localhost:@HTTP@/callback")
        .env("AUTH0_AUDIENCE", provider.audience())
        .env("SECRET_KEY", SECRET)
        // The provider of the test has no certificate, and the test plays the proxy.
        .env("TIERGATE_IDENTITY_PROVIDERS__0__ISSUER", provider.issuer())
        .env("TIERGATE_TRUSTED_PROXIES", "[127.0.0.1/32]")
        .start()
        .unwrap();
    let mut agent = UserAgent::new();
    let choice = agent.open(&page(&tiergate, "/login")).unwrap();
    let visit = agent.submit(&choice, &[("account", "devel")]).unwrap();
    let callback = page(&tiergate, "/callback?");
    assert!(visit.steps.iter().any(|step| step.url.starts_with(&callback)), "{}", visit.trail());
    assert_eq!(visit.status(), 200, "{}", visit.trail());
    assert_eq!(ask_with(tiergate.http(), "/apps/devel/x", &session(&agent).unwrap()).unwrap().0, 200);
    assert_eq!(ask_with(tiergate.http(), "/apps/admin/x", &session(&agent).unwrap()).unwrap().0, 403);
    let dashboard = agent.open(&page(&tiergate, "/dashboard")).unwrap();
    assert_eq!(dashboard.status(), 200);
    assert!(dashboard.text().contains("Devi Devel"), "{}", dashboard.text());
    let confirm = agent.open(&page(&tiergate, "/logout")).unwrap();
    agent.submit(&confirm, &[]).unwrap();
    assert!(agent.cookie(SESSION_COOKIE).is_none());
    let nobody = agent.open(&page(&tiergate, "/dashboard")).unwrap();
    assert!(!nobody.text().contains("Devi Devel"), "{}", nobody.text());
}
