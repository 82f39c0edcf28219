//! The seismic portal: tiers by folder, two versions side by side, a live page,
//! an application for administrators.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tiergate_testbed::example::proxy_config;
use tiergate_testbed::{Browser, Example, SocketIoCall, Tiergate, UserAgent, free_port};

use super::stage::{BINARY, NAVIGATE, PROXIES, for_each_proxy, stage};

const PORTAL: Example = Example::SeismicPortal;

/// Each application with the place of its tier, and a text of its page.
const APPS: [(&str, usize, &str); 5] = [
    ("/apps/stable/hazard/", 1, "Hazard curve of Wellington"),
    ("/apps/ea/reports/", 2, "What people saw"),
    ("/apps/devel/hazard/", 3, "Where the hazard of Wellington comes from"),
    ("/apps/devel/live/", 3, "Live seismogram"),
    ("/apps/admin/stations/", 4, "Stations of the network"),
];
/// Each person with the highest tier that is theirs.
const PEOPLE: [(Option<&str>, usize); 5] =
    [(None, 0), (Some("stable"), 1), (Some("ea"), 2), (Some("devel"), 3), (Some("admin"), 4)];

#[test]
fn each_person_gets_as_far_as_their_tier() {
    for_each_proxy(PORTAL, |stage| {
        for (path, tier, text) in APPS {
            for (person, highest) in PEOPLE {
                if highest < tier {
                    let status = if person.is_none() { 401 } else { 403 };
                    stage.refused(person, "GET", path, None, status)?;
                } else {
                    let page = stage.passed(person, "GET", path, None, 200)?.text();
                    ensure!(page.contains(text), "{path} for {person:?}: {page}");
                }
            }
        }
        for elsewhere in ["/", "/apps/", "/apps/nowhere/x", "/apps/ea/unknown"] {
            let answer = stage.ask(Some("admin"), "GET", elsewhere, None)?;
            ensure!([403, 404].contains(&answer.status), "{elsewhere}: {}", answer.status);
        }
        Ok(())
    });
}

#[test]
fn two_versions_of_one_product_stand_side_by_side() {
    for_each_proxy(PORTAL, |stage| {
        let json = |target: &str| stage.passed(Some("devel"), "GET", target, None, 200)?.json();
        let new = json("/apps/devel/hazard/disaggregation.json?place=Wellington&years=475")?;
        let old = json("/apps/stable/hazard/curve.json?place=Wellington")?;
        ensure!((&new["version"], &old["version"]) == (&"2.0".into(), &"1.4".into()), "{new} {old}");
        stage.refused(Some("stable"), "GET", "/apps/devel/hazard/disaggregation.json", None, 403)?;
        stage.passed(Some("stable"), "GET", "/apps/stable/hazard/curve.json", None, 200).map(drop)
    });
}

#[test]
fn the_hazard_is_divided_among_earthquakes_without_a_rest() {
    for_each_proxy(PORTAL, |stage| {
        let number = |value: &Value| value.as_f64().context("no number");
        let mut last = 0.0;
        for years in [50, 475, 2475] {
            let target = format!("/apps/devel/hazard/disaggregation.json?place=Wellington&years={years}");
            let answer = stage.ask(Some("devel"), "GET", &target, None)?.json()?;
            let rows = answer["contributions"].as_array().context("no contributions")?;
            let (mut total, mut near) = (0.0, 0.0);
            for row in rows {
                let share = number(&row["percent"])?;
                let parts = row["by_epsilon"].as_array().context("no epsilons")?;
                let parts: f64 = parts.iter().map(number).sum::<Result<f64>>()?;
                ensure!((share - parts).abs() < 1e-6 && share >= 0.0, "{row}");
                total += share;
                near += if number(&row["distance_km"])? < 40.0 { share } else { 0.0 };
            }
            ensure!((total - 100.0).abs() < 1e-6, "{years} years: {total} %");
            let level = number(&answer["acceleration_g"])?;
            ensure!(level > last && level < 2.0, "{years} years: {level} g after {last} g");
            last = level;
            // What is rare and strong comes from near by.
            ensure!(years < 475 || near > 50.0, "{years} years: {near} % from within 40 km");
        }
        let page = stage.ask(Some("devel"), "GET", "/apps/devel/hazard/?place=Auckland&years=2475", None)?.text();
        ensure!(page.matches("<polygon").count() > 20 && !page.contains("http"), "{page}");
        stage.passed(Some("devel"), "GET", "/apps/devel/hazard/?place=Atlantis", None, 404).map(drop)
    });
}

#[test]
fn pages_work_below_their_path() {
    for_each_proxy(PORTAL, |stage| {
        for (path, ..) in APPS {
            let bare = path.trim_end_matches('/');
            let answer = stage.ask(Some("admin"), "GET", bare, None)?;
            let location = answer.header("location").unwrap_or_default();
            ensure!(answer.status == 308 && location.ends_with(path), "{bare}: {} to {location}", answer.status);
            let style = stage.passed(Some("admin"), "GET", &format!("{path}static/style.css"), None, 200)?;
            ensure!(style.header("content-type").is_some_and(|kind| kind.starts_with("text/css")), "{path}");
        }
        // With ProxyFix an application writes its links with the prefix; with relative links it needs not even that.
        let with_fix = stage.ask(Some("admin"), "GET", "/apps/admin/stations/", None)?.text();
        ensure!(with_fix.contains("action=\"/apps/admin/stations/HOME/switch\""), "{with_fix}");
        let relative = stage.ask(Some("admin"), "GET", "/apps/ea/reports/", None)?.text();
        ensure!(relative.contains("href=\"static/style.css\""), "{relative}");
        Ok(())
    });
}

#[test]
fn applications_hear_who_it_is_from_tiergate_alone() {
    for_each_proxy(PORTAL, |stage| {
        let bearer = stage.bearer("ea")?;
        let headers = [
            ("Authorization", bearer.as_str()),
            ("X-Auth-Name", "Mallory"),
            ("X-Auth-User", "dev|admin"),
            ("X-Auth-Tier", "admin"),
        ];
        let page = stage.send("GET", "/apps/ea/reports/", &headers, "")?.text();
        ensure!(page.contains("Eddy Early") && !page.contains("Mallory"), "{page}");
        let answer = stage.send("GET", "/apps/admin/stations/", &headers, "")?;
        ensure!(answer.status == 403, "{}", answer.status);
        Ok(())
    });
}

#[test]
fn the_live_page_speaks_to_those_who_may_open_it() {
    for_each_proxy(PORTAL, |stage| {
        let url = stage.running.url();
        let call = || SocketIoCall::at(&url, "apps/devel/live/socket.io").event("remark").message("it moves");
        for (person, status) in [(None, 401), (Some("stable"), 403), (Some("ea"), 403)] {
            let token = person.map(|person| stage.running.provider.token(person)).transpose()?;
            for polling in [false, true] {
                let one = token.iter().fold(call(), |call, token| call.token(token));
                let answer = if polling { one.polling() } else { one }.run()?;
                ensure!(!answer.connected && answer.status == Some(status), "{person:?}: {answer:?}");
            }
        }
        let answer = call().token(&stage.running.provider.token("devel")?).run()?;
        ensure!(answer.echo.as_deref() == Some("Devi Devel: it moves"), "{answer:?}");
        // A browser comes with its session.
        let browser = stage.sign_in("/apps/devel/live/", "admin")?;
        let cookie = browser.cookie_header(&stage.url("/apps/devel/live/"))?;
        let answer = call().cookie(&cookie).origin(&url).run()?;
        ensure!(answer.echo.as_deref() == Some("Ada Admin: it moves"), "{answer:?}");
        let foreign = call().cookie(&cookie).origin("https://elsewhere.example").run()?;
        ensure!(!foreign.connected, "a page of another origin spoke with the session: {foreign:?}");
        Ok(())
    });
}

#[tokio::test]
async fn the_live_page_works_in_a_browser() {
    let browser = Browser::start().await.unwrap();
    for proxy in PROXIES {
        let stage = stage(PORTAL, proxy).unwrap();
        let page = stage.url("/apps/devel/live/");
        // The host of both is the same, and so is its cookie: whoever signed in at the first is a stranger to the second.
        browser.driver().delete_all_cookies().await.unwrap();
        browser.open(&page).await.unwrap();
        browser.click("button[value=devel]").await.unwrap();
        browser.wait_url(&page).await.unwrap();
        browser.wait_text("Connected.").await.unwrap();
        let moves = "return document.querySelector('polyline').getAttribute('points').length > 200";
        browser.wait("a line that grows", moves, &[]).await.unwrap();
        browser.type_into("input[name=text]", "Did you feel it?").await.unwrap();
        browser.click("form button").await.unwrap();
        browser.wait_text("Devi Devel: Did you feel it?").await.unwrap();
        let console = browser.console().await.unwrap();
        assert!(console.iter().all(|line| line.contains("favicon.ico")), "{}: {console:?}", proxy.name());
    }
    browser.quit().await.unwrap();
}

#[test]
fn a_person_signs_in_works_and_signs_out() {
    for_each_proxy(PORTAL, |stage| {
        let mut devel = stage.sign_in("/apps/ea/reports/", "devel")?;
        let list = devel.open(&stage.url("/apps/ea/reports/"))?;
        let filed = devel.submit(&list, &[("title", "The gauge is wet"), ("text", "Since noon.")])?;
        ensure!(filed.status() == 200 && filed.text().contains("by Devi Devel"), "{}", filed.told());
        ensure!(filed.url().starts_with(&stage.url("/apps/ea/reports/")), "{}", filed.url());

        // Of `ea` people read and do not file.
        let mut ea = stage.sign_in("/apps/ea/reports/", "ea")?;
        let list = ea.open(&stage.url("/apps/ea/reports/"))?;
        ensure!(list.text().contains("The gauge is wet"), "{}", list.told());
        let refused = ea.submit(&list, &[("title", "Not mine to file"), ("text", "x")])?;
        ensure!(refused.status() == 403, "{}", refused.told());
        ensure!(!ea.open(&stage.url("/apps/ea/reports/"))?.text().contains("Not mine"), "it was filed all the same");

        let confirm = ea.open(&stage.url("/_auth/logout"))?;
        ea.submit(&confirm, &[])?;
        let again = ea.open(&stage.url("/apps/ea/reports/"))?;
        ensure!(again.url().starts_with(stage.running.provider.issuer()), "still signed in: {}", again.told());
        Ok(())
    });
}

#[test]
fn stations_are_switched_by_administrators_alone() {
    for_each_proxy(PORTAL, |stage| {
        for (person, _) in PEOPLE.into_iter().filter(|(person, _)| *person != Some("admin")) {
            let status = if person.is_none() { 401 } else { 403 };
            stage.refused(person, "POST", "/apps/admin/stations/HOME/switch", None, status)?;
        }
        let mut admin = stage.sign_in("/apps/admin/stations/", "admin")?;
        let page = admin.open(&stage.url("/apps/admin/stations/"))?;
        let switched = admin.submit(&page, &[])?;
        ensure!(switched.url() == stage.url("/apps/admin/stations/"), "{}", switched.told());
        ensure!(switched.text().contains("off, switched by Ada Admin"), "{}", switched.text());
        admin.submit(&switched, &[])?;
        Ok(())
    });
}

#[test]
fn a_page_that_is_not_theirs_says_so_and_a_call_gets_json() {
    for_each_proxy(PORTAL, |stage| {
        let mut stable = stage.sign_in("/apps/stable/hazard/", "stable")?;
        let page = stable.open(&stage.url("/apps/devel/hazard/"))?;
        ensure!(page.status() == 403 && page.text().contains("<html"), "{}", page.told());
        let call = stable.fetch("GET", &stage.url("/apps/devel/hazard/disaggregation.json"), &[])?;
        ensure!(call.status == 403 && call.json()?["reason"] == "insufficient_tier", "{}", call.text());
        let navigation = stage.send("GET", "/apps/devel/hazard/", &NAVIGATE, "")?;
        ensure!(matches!(navigation.status, 302 | 303), "{}", navigation.status);
        Ok(())
    });
}

/// The variables of `.env` alone, without `tiergate.yaml`.
#[test]
fn the_variables_alone_make_the_portal_too() {
    for_each_proxy(PORTAL, |stage| {
        let proxy = stage.running.proxy.kind();
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let shared = stage.running.folder();
        let env = std::fs::read_to_string(shared.join(".env"))?;
        let public = format!("localhost:{}", stage.running.proxy.address().port());
        std::fs::write(folder.path().join(".env"), env.replace(&public, &format!("localhost:{port}")))?;
        let apps = shared.join("apps").display().to_string();
        let alone = Tiergate::from_environment(BINARY)
            .env("TIERGATE_APPS_DIR", &apps)
            .env("TIERGATE_TRUSTED_PROXIES", "[127.0.0.1/32]")
            .in_folder(folder.path())
            // The database of a busy disk is the subject of other tests.
            .env("TIERGATE_SESSIONS__STORE", "memory")
            .start()?;
        let ports = alone.ports();
        let listen = [("GRPC", ports.grpc), ("HTTP", ports.http), ("ADMIN", ports.admin)]
            .map(|(name, port)| (format!("TIERGATE_LISTEN__{name}"), format!("127.0.0.1:{port}")));
        let mut env = vec![("TIERGATE_APPS_DIR", apps.as_str()), ("TIERGATE_TRUSTED_PROXIES", "[127.0.0.1/32]")];
        env.extend(listen.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let text = proxy_config(Path::new(BINARY), folder.path(), &[], &env, proxy, port)?;
        let gateway = proxy.start_config(port, &text)?;
        let mut browser = UserAgent::new();
        let wanted = format!("http://localhost:{}/apps/devel/hazard/", gateway.address().port());
        let mut choice = browser.open(&wanted)?;
        // A session store on a busy disk may ask people to try again.
        for _ in 0..5 {
            if choice.status() == 503 {
                choice = browser.open(&wanted)?;
            }
        }
        let is_there = choice.url().starts_with(stage.running.provider.issuer());
        ensure!(is_there, "not sent to sign in: {}\n{}", choice.told(), alone.log());
        let page = browser.submit(&choice, &[("account", "devel")])?;
        ensure!((page.status(), page.url()) == (200, wanted.as_str()), "{}", page.told());
        ensure!(
            page.steps.iter().any(|step| step.url.contains(&format!("localhost:{port}/callback?"))),
            "{}",
            page.trail()
        );
        ensure!(page.text().contains("Devi Devel"), "{}", page.text());
        let admin = browser.open(&format!("http://localhost:{port}/apps/admin/stations/"))?;
        ensure!(admin.status() == 403, "{}", admin.told());
        Ok(())
    });
}
