//! An administrator with a browser, without scripts: finds people among a
//! thousand, refuses them, gives and takes tiers, signs them out; and what the
//! person concerned sees of it in a browser of their own.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tiergate_testbed::provider::{DEFAULT_AUDIENCE, WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::{Backends, Browser, Gateway, Provider, RunningGateway, Tiergate, Upstream, free_port};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
const SCIM_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// How many people there are beside those of the provider.
const PEOPLE: usize = 1000;
/// How long something that ends may take to be over.
const PATIENCE: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
sessions: { store: memory }
tiers:
  public: { grant: anyone }
  stable: { grant: authenticated, label: Stable }
  ea:     { grant: { scopes: ["access:ea"] },    includes: [stable], label: Early access }
  devel:  { grant: { scopes: ["access:devel"], groups: [builders] }, includes: [ea], label: Development }
  admin:  { grant: { scopes: ["access:admin"] }, includes: [devel], label: Almighty Admin }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /public/**, tier: public }
apps:
  - { name: hazard, tier: stable, title: Seismic hazard, upstream: "http://127.0.0.1:9" }
  - { name: chat, tier: devel, title: Chat of the builders, upstream: "http://127.0.0.1:9" }
"#;

/// Every page that is looked at, without those of one user.
pub(crate) const PAGES: [&str; 8] =
    ["/", "/users", "/sessions", "/apps", "/policy", "/decisions", "/providers", "/audit"];

/// A service with a directory behind a gateway, on one public origin.
pub(crate) struct Stage {
    _gateway: RunningGateway,
    tiergate: Tiergate,
    _site: Upstream,
    _provider: Provider,
    _folder: tempfile::TempDir,
    origin: String,
}

impl Stage {
    pub(crate) fn start(gateway: Gateway) -> Result<Self> {
        let port = free_port()?;
        let origin = format!("http://localhost:{port}");
        let provider = Provider::start()?;
        let folder = tempfile::tempdir()?;
        let config = format!(
            "public_url: {origin}\ntrusted_proxies: [127.0.0.1/32]\n{POLICY}identity_providers:\n  - id: main\n    issuer: \"{}\"\n    \
             audience: [\"{DEFAULT_AUDIENCE}\"]\n    token_types: [at+jwt]\n    login:\n      client_id: {WEB_CLIENT}\n      \
             client_secret: {WEB_CLIENT_SECRET}\n      scopes: [openid, profile, email, \"access:ea\", \"access:devel\", \"access:admin\"]\n\
             directory:\n  url: \"sqlite:{}\"\n  scim: {{ provider: main, tokens: [\"{SCIM_TOKEN}\"] }}\n",
            provider.issuer(),
            folder.path().join("people.db").display(),
        );
        let site = Upstream::start()?;
        let tiergate = Tiergate::start(BINARY, &config)?;
        let gateway = gateway.start_on(port, &Backends::echo(&tiergate, &site))?;
        Ok(Self { _gateway: gateway, tiergate, _site: site, _provider: provider, _folder: folder, origin })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        self.url(&format!("/_auth/admin{path}"))
    }

    /// Makes a user as the SCIM client of the provider does; their id.
    pub(crate) fn provision(&self, subject: &str, name: &str, email: &str, groups: &Value) -> Result<String> {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "externalId": subject,
            "userName": email,
            "displayName": name,
            "name": { "formatted": name },
            "emails": [{ "value": email, "primary": true }],
            "active": true,
        });
        let made = self.scim("POST", "/scim/v2/Users", &user)?;
        let id = made["id"].as_str().context("an id")?.to_owned();
        for group in groups.as_array().into_iter().flatten() {
            let group = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "displayName": group,
                "members": [{ "value": id }],
            });
            self.scim("POST", "/scim/v2/Groups", &group)?;
        }
        Ok(id)
    }

    fn scim(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let at: SocketAddr = self.tiergate.http();
        let bearer = format!("Bearer {SCIM_TOKEN}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/scim+json")];
        let answer = request_with_body(at, method, path, &headers, body.to_string().as_bytes())?;
        ensure!(answer.status == 201, "{method} {path}: {} {}", answer.status, answer.text());
        answer.json()
    }

    fn provision_many(&self, count: usize) -> Result<()> {
        std::thread::scope(|scope| {
            let part = |from: usize| {
                scope.spawn(move || {
                    (from..count).step_by(4).try_for_each(|number| {
                        let (name, email) = (format!("Person {number:04}"), format!("person-{number:04}@example.com"));
                        self.provision(&format!("many|{number}"), &name, &email, &json!([])).map(drop)
                    })
                })
            };
            let parts: Vec<_> = (0..4).map(part).collect();
            parts.into_iter().try_for_each(|part| part.join().expect("a thread"))
        })
    }

    pub(crate) async fn sign_in(&self, browser: &Browser, account: &str) -> Result<()> {
        browser.open(&self.url("/_auth/login?provider=main")).await?;
        browser.click(&format!("button[value={account}]")).await?;
        browser.wait_url(&self.url("/_auth/")).await
    }
}

pub(crate) async fn status(browser: &Browser) -> Result<Value> {
    browser.run("return performance.getEntriesByType('navigation')[0].responseStatus", &[]).await
}

#[tokio::test]
async fn an_administrator_looks_after_people_behind_envoy() {
    story(Gateway::EnvoyGrpc).await.unwrap();
}

#[tokio::test]
async fn an_administrator_looks_after_people_behind_nginx() {
    story(Gateway::Nginx).await.unwrap();
}

async fn story(gateway: Gateway) -> Result<()> {
    let stage = Stage::start(gateway)?;
    stage.provision_many(PEOPLE)?;
    let stella = stage.provision("dev|stable", "Stella Stable", "stable@example.com", &json!([]))?;
    let (admin, person) = (Browser::start().await?, Browser::start().await?);
    let told = async {
        // The pages need no script.
        admin.scripts(false).await?;
        stage.sign_in(&admin, "admin").await?;
        admin.click("a[href='/_auth/admin/']").await?;
        admin.wait_text("User directory").await?;
        stage.sign_in(&person, "stable").await?;
        person.open(&stage.url("/apps/stable/hazard/")).await?;
        finds_one_of_a_thousand(&stage, &admin, &stella).await.context("search")?;
        disables_and_enables(&stage, &admin, &person, &stella).await.context("disable")?;
        grants_until(&stage, &admin, &person, &stella).await.context("grant until")?;
        grants_and_revokes(&stage, &admin, &person, &stella).await.context("revoke")?;
        signs_out_everywhere(&stage, &admin, &person, &stella).await.context("sign-out")?;
        looks_at_decisions(&stage, &admin).await.context("decisions")?;
        looks_at_the_audit(&stage, &admin).await.context("audit")?;
        nobody_else_sees_it(&stage, &person, &stella).await.context("others")?;
        makes_and_loses_a_token(&stage, &admin, &person, &stella).await.context("token")
    };
    let told = told.await.with_context(|| format!("{gateway:?}"));
    if told.is_err() {
        for (browser, name) in [(&admin, "admin-failed"), (&person, "admin-failed-person")] {
            println!("{}", browser.screenshot(name).await?.display());
        }
        println!("{}", stage.tiergate.log().lines().rev().take(12).collect::<Vec<_>>().join("\n"));
    }
    admin.quit().await?;
    person.quit().await?;
    told
}

async fn finds_one_of_a_thousand(stage: &Stage, admin: &Browser, stella: &str) -> Result<()> {
    admin.open(&stage.admin("/users")).await?;
    let found = "return Number(document.querySelector('.desk .status').innerText.match(/Users found: (\\d+)/)?.[1]) > arguments[0]";
    admin.wait("everybody", found, &[json!(PEOPLE)]).await?;
    let rows = "return document.querySelectorAll('.people > li').length";
    ensure!(admin.run(rows, &[]).await? == json!(50), "the first page");
    admin.click(".pager a[rel=next]").await?;
    admin.wait("the second page", "return location.search.includes('after=')", &[]).await?;
    ensure!(admin.run(rows, &[]).await? == json!(50), "the second page");
    admin.click(".pager a").await?;
    admin.wait("the first page", "return !location.search.includes('after=')", &[]).await?;
    admin.type_into("#q", "sTELLA st").await?;
    admin.click(".filters button").await?;
    admin.wait_text("Users found: 1").await?;
    admin.click(".people a.name").await?;
    admin.wait_url(&stage.admin(&format!("/users/{stella}"))).await?;
    admin.wait_text("stable@example.com").await
}

async fn disables_and_enables(stage: &Stage, admin: &Browser, person: &Browser, stella: &str) -> Result<()> {
    let (ok, _) = person.fetch("/apps/stable/hazard/poll").await?;
    ensure!(ok == 200, "before: {ok}");
    admin.click("a.button.bad").await?;
    admin.wait_text("Disable Stella Stable?").await?;
    // Whoever goes back has changed nothing.
    let (ok, _) = person.fetch("/apps/stable/hazard/poll").await?;
    ensure!(ok == 200, "only asked: {ok}");
    admin.type_into("#reason", "left <b>us</b>").await?;
    admin.click("form.stack button").await?;
    admin.wait_text("Stella Stable is disabled.").await?;
    ensure!(admin.text().await?.contains("left <b>us</b>"), "the reason is not shown as it was typed");
    let (refused, body) = person.fetch("/apps/stable/hazard/poll").await?;
    ensure!(refused == 403 && body.contains("disabled_user"), "{refused} {body}");
    person.open(&stage.url("/apps/stable/hazard/")).await?;
    person.wait_text("This account is disabled").await?;

    admin.open(&stage.admin(&format!("/users/{stella}"))).await?;
    admin.click("form[action$='/enable'] button").await?;
    admin.wait_text("Stella Stable is enabled.").await?;
    person.open(&stage.url("/apps/stable/hazard/")).await?;
    ensure!(status(person).await? == json!(200), "not let in again");
    Ok(())
}

/// Whether the person's portal lists the app of the builders.
async fn has_tile(stage: &Stage, person: &Browser) -> Result<bool> {
    person.open(&stage.url("/_auth/")).await?;
    Ok(person.text().await?.contains("Chat of the builders"))
}

async fn grants_until(stage: &Stage, admin: &Browser, person: &Browser, stella: &str) -> Result<()> {
    ensure!(!has_tile(stage, person).await?, "the tile is there before");
    // Both an end and a span: nothing is guessed.
    admin.open(&stage.admin(&format!("/users/{stella}"))).await?;
    let fill = "const [tier, span, until] = arguments, form = document.querySelector(\"form[action$='/grant']\");\
        form.tier.value = tier; form.for.value = span; form.until.type = 'text'; form.until.value = until; return true";
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let end = tiergate::types::UnixTime::from_secs(now + 8).to_string();
    let end = end.get(..19).context("a time")?;
    for (tier, span, until, told) in [
        ("devel", "day", end, "not both"),
        ("devel", "", "", "choose for how long"),
        ("", "day", "", "choose a tier"),
        ("devel", "", "2020-01-01T00:00", "a time to come"),
    ] {
        admin.run(fill, &[json!(tier), json!(span), json!(until)]).await?;
        admin.click("form[action$='/grant'] button").await?;
        admin.wait_text(told).await?;
    }
    admin.run(fill, &[json!("devel"), json!(""), json!(end)]).await?;
    admin.click("form[action$='/grant'] button").await?;
    admin.wait_text("Stella Stable has the tier devel until").await?;
    ensure!(has_tile(stage, person).await?, "the tile is not there");
    person.open(&stage.url("/apps/devel/chat/")).await?;
    ensure!(status(person).await? == json!(200), "the app does not open");
    let deadline = Instant::now() + PATIENCE;
    while has_tile(stage, person).await? {
        ensure!(Instant::now() < deadline, "the tile stays");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let over = tiergate::types::UnixTime::parse_rfc3339(&format!("{end}Z")).context("a time")?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    ensure!(now >= over.as_millis(), "the tile went before its time");
    person.open(&stage.url("/apps/devel/chat/")).await?;
    ensure!(status(person).await? == json!(403), "the app opens after the end");
    Ok(())
}

async fn grants_and_revokes(stage: &Stage, admin: &Browser, person: &Browser, stella: &str) -> Result<()> {
    admin.open(&stage.admin(&format!("/users/{stella}"))).await?;
    admin.wait_text("over").await?;
    admin.click("#grant-tier option[value=devel]").await?;
    admin.click("#grant-for option[value=week]").await?;
    admin.click("form[action$='/grant'] button").await?;
    admin.wait_text("Stella Stable has the tier devel until").await?;
    ensure!(has_tile(stage, person).await?, "the tile is not there");
    admin.click("form[action$='/revoke'] button").await?;
    admin.wait_text("Stella Stable has no grant of the tier devel.").await?;
    ensure!(!has_tile(stage, person).await?, "the tile stays");
    Ok(())
}

async fn signs_out_everywhere(stage: &Stage, admin: &Browser, person: &Browser, stella: &str) -> Result<()> {
    admin.open(&stage.admin("/sessions")).await?;
    admin.wait_text("Stella Stable").await?;
    person.open(&stage.url("/apps/stable/hazard/")).await?;
    admin.open(&stage.admin(&format!("/users/{stella}"))).await?;
    admin.click("a[href$='/sign-out']").await?;
    admin.wait_text("Sign Stella Stable out everywhere?").await?;
    admin.click("form.stack button").await?;
    admin.wait_text("Stella Stable is signed out everywhere.").await?;
    let (refused, body) = person.fetch("/apps/stable/hazard/poll").await?;
    ensure!(refused == 401, "{refused} {body}");
    Ok(())
}

async fn looks_at_decisions(stage: &Stage, admin: &Browser) -> Result<()> {
    admin.open(&stage.admin("/decisions")).await?;
    admin.click("#reason option[value=disabled_user]").await?;
    admin.click(".filters button").await?;
    admin.wait_text("The user is disabled.").await?;
    let others =
        "return [...document.querySelectorAll('.lines .state')].filter(one => one.innerText !== 'Denied').length";
    ensure!(admin.run(others, &[]).await? == json!(0), "the filter lets others through");
    admin.click(".lines a.button").await?;
    admin.wait_text("What would be decided?").await?;
    // She is enabled again by now.
    admin.wait_text("The rule allows it.").await?;
    admin.wait_text("main/dev|stable").await?;
    for (query, told) in [
        ("url=/apps/devel/chat/&as=anonymous", "nobody is signed in"),
        ("url=/apps/devel/chat/&as=user&user=stable@example.com", "The caller lacks the tier."),
        ("url=/apps/devel/chat/&as=user&user=nobody@example.com", "No user has this address"),
        ("url=/apps/devel/chat/&as=names&scopes=access:devel", "The rule allows it."),
        ("url=/apps/devel/chat/&as=names&groups=builders", "The rule allows it."),
        ("url=/apps/stable/%252e%252e/x", "more than one way"),
        ("url=nowhere", "Write a path that begins with /"),
    ] {
        admin.open(&stage.admin(&format!("/policy?method=GET&{query}"))).await?;
        admin.wait_text(told).await.with_context(|| query.to_owned())?;
    }
    Ok(())
}

async fn looks_at_the_audit(stage: &Stage, admin: &Browser) -> Result<()> {
    admin.open(&stage.admin("/audit?action=user.disable")).await?;
    admin.wait_text("main/dev|admin").await?;
    let changes = admin.run("return document.querySelector('.diff').innerText", &[]).await?;
    ensure!(changes.as_str().is_some_and(|text| text.contains("left <b>us</b>")), "{changes}");
    Ok(())
}

/// Whoever lacks the tier gets the same 403 everywhere, and no link.
async fn nobody_else_sees_it(stage: &Stage, person: &Browser, stella: &str) -> Result<()> {
    stage.sign_in(person, "stable").await?;
    ensure!(!person.text().await?.contains("Administration"), "a link leads there");
    let own = [format!("/users/{stella}"), format!("/users/{stella}/disable"), "/nothing".to_owned(), String::new()];
    for path in PAGES.iter().map(|path| (*path).to_owned()).chain(own) {
        person.open(&stage.admin(&path)).await?;
        ensure!(status(person).await? == json!(403), "{path}: {}", status(person).await?);
        let text = person.text().await?;
        ensure!(text.contains("You have no access here") && text.contains("Almighty Admin"), "{path}: {text}");
    }
    // From a page whose own policy lets it ask.
    person.open(&stage.url("/apps/stable/hazard/")).await?;
    let send = "const answer = await fetch(arguments[0], {method: 'POST', body: new URLSearchParams({reason: ''})}); return answer.status";
    let sent = person.run_async(send, &[json!(format!("/_auth/admin/users/{stella}/disable"))]).await?;
    ensure!(sent == json!(403), "a form of somebody else: {sent}");
    // Nobody at all is sent to sign in, and comes back to where they were going.
    let nobody = Browser::start().await?;
    nobody.open(&stage.admin("/users?q=person")).await?;
    nobody.click("button[value=admin]").await?;
    nobody.wait_url(&stage.admin("/users?q=person")).await?;
    nobody.quit().await
}

/// A personal access token is made and used, revoked by its owner, and another by the administrator.
async fn makes_and_loses_a_token(stage: &Stage, admin: &Browser, person: &Browser, stella: &str) -> Result<()> {
    let make = async |name: &str| -> Result<String> {
        person.open(&stage.url("/_auth/tokens")).await?;
        person.type_into("#name", name).await?;
        let tick = "document.querySelector('input[name=tier][value=stable]').checked = true; return true";
        person.run(tick, &[]).await?;
        person.click("form.fields button[type=submit]").await?;
        person.wait("the token", "return !!document.querySelector('.secret')", &[]).await?;
        let secret = person.run("return document.querySelector('.secret').innerText.trim()", &[]).await?;
        Ok(secret.as_str().context("a text")?.to_owned())
    };
    let asked = |secret: &str| -> Result<u16> {
        let port = stage.origin.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).context("a port")?;
        let bearer = format!("Bearer {secret}");
        let headers = [("Authorization", bearer.as_str())];
        let host = format!("localhost:{port}");
        let headers = [headers[0], ("Host", host.as_str())];
        Ok(request_with_body(SocketAddr::from(([127, 0, 0, 1], port)), "GET", "/apps/stable/hazard/x", &headers, b"")?
            .status)
    };
    let (first, second) = (make("nightly run").await?, make("old <b>laptop</b>").await?);
    ensure!(asked(&first)? == 200 && asked(&second)? == 200, "a token does not count");
    person.open(&stage.url("/_auth/tokens")).await?;
    person.click("button[aria-label*='nightly run']").await?;
    person.wait("it is gone", "return !document.body.innerText.includes('nightly run')", &[]).await?;
    ensure!((asked(&first)?, asked(&second)?) == (401, 200), "its owner revoked one");
    admin.open(&stage.admin(&format!("/users/{stella}"))).await?;
    admin.wait_text("old <b>laptop</b>").await?;
    admin.click("form[action$='/revoke-token'] button").await?;
    admin.wait_text("The token is revoked.").await?;
    ensure!(asked(&second)? == 401, "the administrator revoked the other");
    Ok(())
}
