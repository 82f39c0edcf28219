//! Every page in a real browser: light and dark, phone and desktop, judged by
//! axe-core; by keyboard, without scripts, zoomed. The pictures are kept in
//! `screenshots/` of the target folder, to be looked at.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tiergate_testbed::provider::{DEFAULT_AUDIENCE, WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{Backends, Browser, Gateway, Provider, RunningGateway, Tiergate, Upstream, free_port};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");

/// Width, height and name of each view.
const VIEWS: [(u32, u32, &str); 2] = [(390, 844, "phone"), (1440, 900, "desktop")];

const TIERS: &str = r#"
tiers:
  public: { grant: anyone, label: For everybody }
  stable: { grant: authenticated, label: Stable }
  ea:     { grant: { scopes: ["access:ea"] },    includes: [stable], label: Early access }
  devel:  { grant: { scopes: ["access:devel"] }, includes: [ea], label: Development }
  admin:  { grant: { scopes: ["access:admin"] }, includes: [devel], label: Almighty Admin }
rules:
  - { path: /public/**, tier: public }
"#;

/// One app of each kind.
const APPS: [&str; 9] = [
    "name: status, tier: public, title: Status, description: What runs and what does not., icon: 🚦, version: '9', owner: Platform team",
    "name: hazard, tier: stable, title: Seismic hazard, description: 'Hazard curves and disaggregation for any site, with a chart.', icon: 🌋, version: '2.1', owner: hazard@example.com, health: /up",
    "name: maps, tier: stable, title: Maps, description: Draws maps of the network., icon: /static/icon.svg, version: '1.4.2'",
    "name: words, tier: stable, title: Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft, description: An_identifier_without_any_place_to_break_that_somebody_pasted_from_a_log_file_0123456789_0123456789_0123456789, owner: A team with a rather long name that goes on for more than one line on a phone",
    "name: jishin, tier: stable, title: 地震ハザード 지진 위험도, description: 'サイトの地震動予測。 부지의 지진동을 예측합니다.', icon: 震, version: 二",
    "name: hazard, tier: ea, title: Seismic hazard, description: 'The next version, with new ground motion models.', icon: 🌋, version: 3.0-rc1, owner: hazard@example.com",
    "name: chat, tier: devel, title: Chat, description: Talks by Socket.IO., icon: IOT, version: '0.3'",
    "name: arabic, tier: devel, title: خريطة المخاطر, description: خريطة المخاطر الزلزالية لأي موقع.",
    "name: keys, tier: admin, title: Keys, description: Who may do what., icon: 🔑, owner: security@example.com",
];

/// A service behind Envoy on one public origin.
struct Stage {
    _gateway: RunningGateway,
    _tiergate: Tiergate,
    _site: Upstream,
    _provider: Provider,
    origin: String,
}

impl Stage {
    fn start(apps: &[String], more: &str) -> Result<Self> {
        let port = free_port()?;
        let origin = format!("http://localhost:{port}");
        let provider = Provider::start()?;
        let login = |id: &str, label: &str| {
            format!(
                "  - id: {id}\n    issuer: \"{}{}\"\n    audience: [\"{DEFAULT_AUDIENCE}\"]\n    token_types: [at+jwt]\n    \
                 login:\n      client_id: {WEB_CLIENT}\n      client_secret: {WEB_CLIENT_SECRET}\n      label: {label}\n      \
                 scopes: [openid, profile, email, \"access:ea\", \"access:devel\", \"access:admin\"]\n",
                provider.issuer(),
                if id == "main" { "" } else { "other/" },
            )
        };
        let mut config = format!(
            "public_url: {origin}\ntrusted_proxies: [127.0.0.1/32]\nsessions: {{ store: memory }}\n{TIERS}identity_providers:\n{}{}{more}",
            login("main", "University account"),
            if more.contains("two") { login("other", "Guest account of a partner") } else { String::new() },
        );
        if !apps.is_empty() {
            config.push_str("apps:\n");
        }
        for app in apps {
            writeln!(config, "  - {{ upstream: \"http://127.0.0.1:9\", {app} }}")?;
        }
        let site = Upstream::start()?;
        let tiergate = Tiergate::start(BINARY, &config)?;
        let gateway = Gateway::EnvoyGrpc.start_on(port, &Backends::echo(&tiergate, &site))?;
        Ok(Self { _gateway: gateway, _tiergate: tiergate, _site: site, _provider: provider, origin })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    async fn sign_in(&self, browser: &Browser, account: &str) -> Result<()> {
        browser.open(&self.url("/_auth/login?provider=main")).await?;
        browser.click(&format!("button[value={account}]")).await?;
        browser.wait_url(&self.url("/_auth/")).await
    }
}

fn apps() -> Vec<String> {
    APPS.iter().map(|app| (*app).to_owned()).collect()
}

/// Opens a page in every view, keeps pictures, and asks axe-core and the page
/// itself what is wrong with it.
async fn look(browser: &Browser, name: &str, url: &str) -> Result<()> {
    let mut wrong: Vec<String> = Vec::new();
    for (width, height, view) in VIEWS {
        for dark in [false, true] {
            let shade = if dark { "dark" } else { "light" };
            browser.view(width, height, dark).await?;
            browser.open(url).await?;
            let picture = browser.picture(&format!("page-{name}-{view}-{shade}")).await?;
            println!("{}", picture.display());
            let found = browser.axe().await?;
            wrong.extend(found.into_iter().map(|found| format!("{name} {view} {shade}: {found}")));
        }
    }
    // Zoomed to 400 % of 1280, which is also 200 % of 640 (WCAG 2.2 success criterion 1.4.10).
    for width in [640, 320] {
        browser.view(width, 800, false).await?;
        browser.open(url).await?;
        let beyond = "const wide = document.documentElement.clientWidth;\
            return [...document.querySelectorAll('body *')].filter(one => !one.closest('.hidden') && one.getClientRects().length\
              && (one.getBoundingClientRect().right > wide + 1 || one.getBoundingClientRect().left < -1))\
              .map(one => one.outerHTML.slice(0, 120)).concat(document.documentElement.scrollWidth > wide ? ['it scrolls'] : [])";
        let beyond = browser.run(beyond, &[]).await?;
        if beyond != json!([]) {
            wrong.push(format!("{name} at {width}: {beyond}"));
        }
    }
    for line in browser.console().await? {
        // The refusals that are looked at are themselves lines of the console, and the icon is none.
        if line.contains("Content Security Policy") || line.contains("Uncaught") {
            wrong.push(format!("{name}: {line}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn with_browser(stage: &Stage, told: impl AsyncFn(&Stage, &Browser) -> Result<()>) -> Result<()> {
    let browser = Browser::start().await?;
    let result = told(stage, &browser).await;
    if result.is_err() {
        println!("{}", browser.screenshot("look-failed").await?.display());
    }
    browser.quit().await?;
    result
}

#[tokio::test]
async fn every_page_is_seen_by_everybody() {
    let more = "portal: { contact: help@example.com, locked: show } # two providers\n";
    let stage = Stage::start(&apps(), more).unwrap();
    with_browser(&stage, async |stage, browser| {
        for (name, path) in [
            ("portal-nobody", "/_auth/"),
            ("choose", "/_auth/login"),
            ("signed-out", "/_auth/?signed_out=1"),
            ("not-found", "/_auth/nothing"),
            ("sessions-nobody", "/_auth/sessions"),
            ("no-app", "/nowhere"),
            ("form-lost", "/_auth/login?form=1"),
            ("damaged-callback", "/_auth/callback/main?x"),
            ("bad-address", "/apps/stable/%2e%2e/x"),
        ] {
            look(browser, name, &stage.url(path)).await.with_context(|| name)?;
        }
        stage.sign_in(browser, "devel").await?;
        for (name, path) in [
            ("portal", "/_auth/"),
            ("portal-search", "/_auth/?q=hazard"),
            ("portal-nothing", "/_auth/?q=nothing+at+all"),
            ("portal-tier", "/_auth/?tier=ea"),
            ("sessions", "/_auth/sessions"),
            ("sign-out", "/_auth/logout"),
            ("denied", "/apps/admin/keys/"),
            ("no-app-signed-in", "/nowhere"),
        ] {
            look(browser, name, &stage.url(path)).await.with_context(|| name)?;
        }
        for (language, path, name) in
            [("ko-KR", "/_auth/", "portal-korean"), ("de", "/apps/admin/keys/", "denied-german")]
        {
            browser.languages(language).await?;
            look(browser, name, &stage.url(path)).await.with_context(|| name)?;
        }
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn every_page_of_the_administrator_is_seen() {
    use super::admin_browser::{PAGES, Stage};
    let stage = Stage::start(Gateway::EnvoyGrpc).unwrap();
    let hostile =
        "<script>alert(1)</script>_a_name_without_any_place_to_break_0123456789_0123456789_0123456789_0123456789";
    let email = |number: usize| format!("person-{number:02}@example.com");
    for (number, name) in [hostile, "خالد العمري", "김민준", "Zoë \u{202e}drahcir", "Ana"].into_iter().enumerate()
    {
        stage.provision(&format!("odd|{number}"), name, &email(number), &json!([])).unwrap();
    }
    for number in 5..60 {
        stage.provision(&format!("many|{number}"), &format!("Person {number}"), &email(number), &json!([])).unwrap();
    }
    let groups = json!(["builders", "<b>a group</b>", "a group with a rather long name that goes on and on"]);
    let stella = stage.provision("dev|stable", "Stella Stable", "stable@example.com", &groups).unwrap();
    let bare = stage.provision("odd|bare", "Never Seen", "never@example.com", &json!([])).unwrap();
    let browser = Browser::start().await.unwrap();
    let told = async {
        stage.sign_in(&browser, "stable").await?;
        browser.open(&stage.url("/apps/admin/x?a=%3Cb%3E")).await?;
        browser.open(&stage.url("/apps/stable/hazard/")).await?;
        browser.driver().delete_all_cookies().await?;
        look(&browser, "admin-nobody-decided", &stage.url("/_auth/")).await?;
        stage.sign_in(&browser, "admin").await?;
        look(&browser, "admin-portal", &stage.url("/_auth/")).await?;
        let user = format!("/users/{stella}");
        for (tier, span) in [("devel", "friday"), ("ea", "ever")] {
            browser.open(&stage.admin(&user)).await?;
            browser.click(&format!("#grant-tier option[value={tier}]")).await?;
            browser.click(&format!("#grant-for option[value={span}]")).await?;
            browser.click("form[action$='/grant'] button").await?;
            browser.wait_text("has the tier").await?;
        }
        look(&browser, "admin-disable", &stage.admin(&format!("{user}/disable"))).await?;
        look(&browser, "admin-sign-out", &stage.admin(&format!("{user}/sign-out"))).await?;
        look(&browser, "admin-user", &stage.admin(&format!("{user}?done=grant&tier=devel"))).await?;
        browser.open(&stage.admin(&format!("{user}/disable"))).await?;
        browser.type_into("#reason", hostile).await?;
        browser.click("form.stack button").await?;
        browser.wait_text("is disabled").await?;
        look(&browser, "admin-user-disabled", &stage.admin(&user)).await?;
        look(&browser, "admin-user-bare", &stage.admin(&format!("/users/{bare}"))).await?;
        for page in PAGES {
            let name = format!("admin{}", if page == "/" { "-overview".to_owned() } else { page.replace('/', "-") });
            look(&browser, &name, &stage.admin(page)).await?;
        }
        for (name, path) in [
            ("admin-users-search", "/users?q=script"),
            ("admin-users-none", "/users?q=nobody&state=disabled"),
            ("admin-explained", "/policy?method=GET&url=/apps/devel/chat/&as=user&user=stable@example.com"),
            (
                "admin-explained-names",
                "/policy?method=GET&url=/apps/devel/chat/&as=names&scopes=access:devel&groups=builders",
            ),
            ("admin-decisions-denied", "/decisions?decision=deny"),
            ("admin-decisions-none", "/decisions?path=/nothing"),
            ("admin-audit-user", "/audit?action=user.disable"),
            ("admin-not-found", "/nothing"),
        ] {
            look(&browser, name, &stage.admin(path)).await?;
        }
        for (language, name) in [("ko-KR", "korean"), ("de", "german")] {
            browser.languages(language).await?;
            for (page, path) in [("users", "/users"), ("user", user.as_str()), ("policy", "/policy?url=/x")] {
                look(&browser, &format!("admin-{page}-{name}"), &stage.admin(path)).await?;
            }
        }
        browser.languages("en").await?;
        browser.view(1440, 900, false).await?;
        for path in ["/users", user.as_str(), "/policy"] {
            browser.open(&stage.admin(path)).await?;
            walks_by_keyboard(&browser).await.with_context(|| path.to_owned())?;
        }
        browser.media(&[("forced-colors", "active")]).await?;
        println!("{}", browser.picture("page-admin-user-forced-colors").await?.display());
        ensure!(browser.axe().await?.is_empty(), "axe-core finds something in forced colours");
        Ok::<(), anyhow::Error>(())
    };
    let told = told.await;
    if told.is_err() {
        println!("{}", browser.screenshot("look-admin-failed").await.unwrap().display());
    }
    browser.quit().await.unwrap();
    told.unwrap();
}

#[tokio::test]
async fn a_portal_of_none_one_and_many_is_fine() {
    let brand = |extra: &str| {
        format!(
            "portal: {{ name: Example University, colors: {{ accent: \"#8a1538\" }}, contact: help@example.com{extra} }}\n"
        )
    };
    let many: Vec<String> = (0..40)
        .map(|position| {
            let tier = ["public", "stable", "ea", "devel"][position % 4];
            format!("name: app-{position}, tier: {tier}, title: Application {position}, description: What it does in a sentence., version: '{position}'")
        })
        .collect();
    let crowd: Vec<String> =
        (0..400).map(|position| format!("name: app-{position}, tier: stable, title: Application {position}")).collect();
    for (name, apps) in [
        ("portal-none", vec!["name: keys, tier: admin".to_owned()]),
        ("portal-one", vec![APPS[1].to_owned()]),
        ("portal-40", many),
        ("portal-400", crowd),
    ] {
        let stage = Stage::start(&apps, &brand("")).unwrap();
        with_browser(&stage, async |stage, browser| {
            stage.sign_in(browser, "devel").await?;
            look(browser, name, &stage.url("/_auth/")).await?;
            if name == "portal-400" {
                browser.open(&stage.url("/_auth/")).await?;
                browser.type_into("#q", "application 397").await?;
                let one = "const apps = document.querySelectorAll('.app'); return apps.length === 1 && apps[0].innerText.includes('397')";
                browser.wait("the one app, asked of the service", one, &[]).await?;
            }
            Ok(())
        })
        .await
        .with_context(|| name)
        .unwrap();
    }
}

#[tokio::test]
async fn the_portal_is_used_by_keyboard_and_without_scripts() {
    let stage = Stage::start(&apps(), "").unwrap();
    with_browser(&stage, async |stage, browser| {
        stage.sign_in(browser, "devel").await?;
        browser.view(1440, 900, false).await?;
        browser.open(&stage.url("/_auth/")).await?;
        walks_by_keyboard(browser).await.context("keyboard")?;
        browser.media(&[("forced-colors", "active")]).await?;
        println!("{}", browser.picture("page-portal-forced-colors").await?.display());
        ensure!(browser.axe().await?.is_empty(), "axe-core finds something in forced colours");
        browser.view(1440, 900, false).await?;

        browser.open(&stage.url("/_auth/")).await?;
        browser.type_into("#q", "HAZARD early").await?;
        let shown = "return [...document.querySelectorAll('.app')].filter(app => app.checkVisibility()).length";
        ensure!(browser.run(shown, &[]).await? == json!(1), "the search as one types found something else");
        browser.wait_text("Apps found: 1").await?;
        let letter = browser.run("return document.querySelector('.icon[data-letter=M]').textContent", &[]).await?;
        ensure!(letter == json!("M"), "a picture that does not come leaves {letter}");

        browser.scripts(false).await?;
        browser.open(&stage.url("/_auth/")).await?;
        browser.type_into("#q", "hazard").await?;
        browser.click("#search button").await?;
        browser.wait_url(&stage.url("/_auth/?q=hazard")).await?;
        browser.wait_text("Apps found: 2").await?;
        browser.scripts(true).await?;
        Ok(())
    })
    .await
    .unwrap();
}

/// Tab reaches everything in the order of the page, and what has the focus shows it.
async fn walks_by_keyboard(browser: &Browser) -> Result<()> {
    let mut order: Vec<(i64, String)> = Vec::new();
    let expected = browser
        .run("return document.querySelectorAll('a[href], button, input:not([type=hidden]), select, pre[tabindex]').length", &[])
        .await?;
    for step in 0..expected.as_i64().context("a number")? {
        browser.press("Tab", 9).await?;
        let state = browser
            .run(
                "const one = document.activeElement; const all = [...document.querySelectorAll('a[href], button, input, select, pre[tabindex]')];\
                 const style = getComputedStyle(one), after = getComputedStyle(one, '::after'), box = one.getBoundingClientRect();\
                 return {place: all.indexOf(one), html: one.outerHTML.slice(0, 80), outline: parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== 'none'\
                   || parseFloat(after.outlineWidth) > 0 && after.outlineStyle !== 'none', seen: box.width > 1 && box.height > 1}",
                &[],
            )
            .await?;
        let html = state["html"].as_str().unwrap_or_default().to_owned();
        ensure!(state["outline"] == Value::Bool(true) && state["seen"] == Value::Bool(true), "step {step}: {state}");
        order.push((state["place"].as_i64().unwrap_or(-1), html));
        if step == 0 {
            ensure!(order[0].1.contains("href=\"#main\""), "the first stop is {order:?}");
        }
    }
    let mut places: Vec<i64> = order.iter().map(|(place, _)| *place).collect();
    // A field for a date has a stop for each of its parts.
    places.dedup();
    let mut sorted = places.clone();
    sorted.sort_unstable();
    sorted.dedup();
    ensure!(places == sorted, "the order of the stops is {order:?}");
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0)", &[]).await?;
    Ok(())
}
