//! Signing in at each provider as a relying party of a few lines does it, with
//! and without a screen: what the suite of the service builds on.

use anyhow::Result;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::provider::{CLI_CLIENT, DEFAULT_AUDIENCE, WEB_CLIENT, WEB_CLIENT_SECRET};
use super::raw_http::{percent_encode, post_form, request, request_with_body};
use super::*;

/// The challenge of the verifier, from RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A client that takes every answer at its word; `site` answers the callback.
struct Client {
    discovery: Value,
    site: Upstream,
    parameters: &'static str,
}

impl Client {
    fn new(issuer: &str, site: Upstream, parameters: &'static str) -> Self {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery = UserAgent::new().step(&url).unwrap().answer.json().unwrap();
        assert_eq!(discovery["issuer"], issuer);
        Self { discovery, site, parameters }
    }

    fn public_url(&self) -> String {
        format!("http://localhost:{}", self.site.port())
    }

    fn callback(&self) -> String {
        format!("{}/_auth/callback/main", self.public_url())
    }

    fn authorize_url(&self) -> String {
        format!(
            "{}?client_id={WEB_CLIENT}&response_type=code&redirect_uri={}&state=s1&nonce=n1&code_challenge={CHALLENGE}\
             &code_challenge_method=S256{}",
            self.discovery["authorization_endpoint"].as_str().unwrap(),
            percent_encode(&self.callback()),
            self.parameters
        )
    }

    fn sign_in(&self, agent: &mut UserAgent, account: &str) -> Visit {
        let page = agent.open(&self.authorize_url()).unwrap();
        assert_eq!(page.status(), 200, "{}", page.text());
        let visit = agent.submit(&page, &[("account", account)]).unwrap();
        assert!(visit.url().starts_with(&self.callback()), "{}: {}", visit.trail(), visit.text());
        visit
    }

    fn token_request(&self, fields: &[(&str, &str)]) -> RawResponse {
        let url = self.discovery["token_endpoint"].as_str().unwrap();
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{WEB_CLIENT}:{WEB_CLIENT_SECRET}")));
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", basic.as_str())];
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
        let address = address.parse().unwrap();
        request_with_body(address, "POST", &format!("/{path}"), &headers, body.join("&").as_bytes()).unwrap()
    }

    fn redeem(&self, callback: &str) -> Value {
        let answer = self.token_request(&[
            ("grant_type", "authorization_code"),
            ("code", &parameter(callback, "code")),
            ("redirect_uri", &self.callback()),
            ("code_verifier", VERIFIER),
        ]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().unwrap()
    }

    fn refresh(&self, tokens: &Value) -> RawResponse {
        let token = tokens["refresh_token"].as_str().unwrap();
        self.token_request(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }
}

fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    pair.unwrap_or_else(|| panic!("no {name} in {url}")).to_owned()
}

fn claims(tokens: &Value, kind: &str) -> Value {
    part(tokens[kind].as_str().unwrap(), 1)
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

const OFFLINE: &str = "&scope=openid%20profile%20email%20offline_access";
const RESOURCE: &str = "&scope=openid%20profile%20email%20offline_access%20access:ea%20access:devel%20access:admin\
                        &prompt=consent&resource=http%3A%2F%2Fseistech.nz%2Fapi";

#[test]
fn the_development_provider_counts_shortens_changes_and_ends() {
    let provider = Provider::start().unwrap();
    let client = Client::new(provider.issuer(), Upstream::start().unwrap(), OFFLINE);
    provider.set_access_lifetime(7);
    let visit = client.sign_in(&mut UserAgent::new(), "ea");
    let tokens = client.redeem(visit.url());
    assert_eq!(tokens["expires_in"], 7);
    let access = claims(&tokens, "access_token");
    assert!(access["exp"].as_i64().unwrap() <= provider::now() + 7);
    let sid = claims(&tokens, "id_token")["sid"].as_str().unwrap().to_owned();
    assert_eq!(provider.sessions_of("ea"), std::slice::from_ref(&sid));

    provider.set_scopes("ea", &["access:devel"]).unwrap();
    let second = client.refresh(&tokens).json().unwrap();
    assert_eq!(claims(&second, "access_token")["scope"], "openid profile email offline_access access:devel");
    assert_eq!(provider.refreshes_of(&sid), (1, 0));

    // The answer gets lost on its way: the token is used up all the same.
    provider.fail_next(Endpoint::Token, 1, Fault::Status(503));
    assert_eq!(client.refresh(&second).status, 503);
    provider.fail_next(Endpoint::Token, 1, Fault::OAuthError("temporarily_unavailable".to_owned()));
    assert_eq!(client.refresh(&second).json().unwrap()["error"], "temporarily_unavailable");
    assert_eq!(client.refresh(&second).status, 200);
    assert_eq!(client.refresh(&second).status, 400);
    assert_eq!((provider.refreshes_of(&sid), provider.refreshes()), ((2, 1), (2, 1)));
    assert!(provider.sessions_of("ea").is_empty());
}

#[test]
fn a_lost_answer_is_an_answer_that_was_given() {
    let provider = Provider::start().unwrap();
    provider.fail_next(Endpoint::Userinfo, 1, Fault::LostAnswer);
    assert!(request(provider.address(), "GET", "/userinfo", &[]).map_or(true, |answer| answer.body.is_empty()));
    assert_eq!(request(provider.address(), "GET", "/userinfo", &[]).unwrap().status, 401);
}

#[test]
fn the_development_provider_takes_tokens_back() {
    let provider = Provider::start().unwrap();
    let client = Client::new(provider.issuer(), Upstream::start().unwrap(), OFFLINE);
    let tokens = client.redeem(client.sign_in(&mut UserAgent::new(), "devel").url());
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let unknown = post_form(provider.address(), "/revoke", &[("token", refresh)]).unwrap();
    assert_eq!(unknown.status, 401);
    let fields = [("token", refresh), ("client_id", WEB_CLIENT), ("client_secret", WEB_CLIENT_SECRET)];
    assert_eq!(post_form(provider.address(), "/revoke", &fields).unwrap().status, 200);
    assert_eq!(provider.revoked(), [refresh]);
    assert_eq!(client.refresh(&tokens).status, 400);
}

#[test]
fn logout_tokens_arrive_by_back_channel() {
    let provider = Provider::start().unwrap();
    let client = Client::new(provider.issuer(), Upstream::start().unwrap(), OFFLINE);
    let tokens = client.redeem(client.sign_in(&mut UserAgent::new(), "devel").url());
    let sid = claims(&tokens, "id_token")["sid"].clone();
    assert!(provider.send_logout_token("x").is_err());
    provider.set_backchannel_logout(&format!("{}/_auth/backchannel-logout", client.public_url()));
    client.site.take_received();
    assert_eq!(provider.log_out("devel").unwrap(), [200]);
    let received = client.site.take_received();
    let token = received[0].body.strip_prefix("logout_token=").unwrap();
    assert_eq!(part(token, 0)["typ"], "logout+jwt");
    let said = part(token, 1);
    assert_eq!((&said["sid"], &said["sub"], &said["aud"]), (&sid, &json!("dev|devel"), &json!(WEB_CLIENT)));
    assert_eq!(said["events"], json!({provider::LOGOUT_EVENT: {}}));
    assert_eq!(said.get("nonce"), None);
    assert!(provider.log_out("devel").unwrap().is_empty());
}

#[test]
fn what_the_provider_says_of_itself_can_be_wrong() {
    let provider = Provider::start().unwrap();
    let client = Client::new(provider.issuer(), Upstream::start().unwrap(), OFFLINE);
    let says = |issuer: IssuerInResponse| {
        provider.say_issuer(issuer);
        let discovery = request(provider.address(), "GET", "/.well-known/openid-configuration", &[]).unwrap();
        let promised = discovery.json().unwrap()["authorization_response_iss_parameter_supported"] == true;
        let url = client.sign_in(&mut UserAgent::new(), "ea").url().to_owned();
        (promised, url.split_once("&iss=").map(|(_, iss)| iss.to_owned()))
    };
    assert_eq!(says(IssuerInResponse::Right), (true, Some(percent_encode(provider.issuer()))));
    assert_eq!(says(IssuerInResponse::Absent), (false, None));
    assert_eq!(says(IssuerInResponse::Missing), (true, None));
    assert_eq!(says(IssuerInResponse::Other("x".to_owned())), (true, Some("x".to_owned())));

    provider.shape_id_tokens(|spec| spec.claim("nonce", json!(["n1"])).without_claim("at_hash"));
    provider.shape_access_tokens(|spec| spec.claim("aud", "another"));
    provider.shape_token_answers(|mut answer| {
        answer["token_type"] = "mac".into();
        answer
    });
    let tokens = client.redeem(client.sign_in(&mut UserAgent::new(), "ea").url());
    let id = claims(&tokens, "id_token");
    assert_eq!((&id["nonce"], id.get("at_hash"), &tokens["token_type"]), (&json!(["n1"]), None, &json!("mac")));
    assert_eq!(claims(&tokens, "access_token")["aud"], "another");

    provider.heal();
    let tokens = client.redeem(client.sign_in(&mut UserAgent::new(), "ea").url());
    assert_eq!((&claims(&tokens, "id_token")["nonce"], &tokens["token_type"]), (&json!("n1"), &json!("Bearer")));
    provider.fail_next(Endpoint::Authorize, 1, Fault::OAuthError("access_denied".to_owned()));
    let visit = UserAgent::new().open(&client.authorize_url()).unwrap();
    assert_eq!(
        (parameter(visit.url(), "error"), parameter(visit.url(), "state")),
        ("access_denied".into(), "s1".into())
    );
    provider.fail_next(
        Endpoint::Userinfo,
        1,
        Fault::Answer {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/jwt".to_owned())],
            body: b"a.b.c".to_vec(),
        },
    );
    let answer = request(provider.address(), "GET", "/userinfo", &[]).unwrap();
    assert_eq!((answer.header("content-type"), answer.text().as_str()), (Some("application/jwt"), "a.b.c"));
}

#[test]
fn a_client_proves_who_it_is_in_one_way() {
    let provider = Provider::start().unwrap();
    // Any key ring will do as the client's own.
    let own = Provider::start().unwrap();
    provider.trust_client_key(&own.jwk(&Key::P256).unwrap());
    provider.trust_client_key_der(&own.public_der(&Key::Rsa).unwrap());
    let assertion = |key: Key, audience: &str| {
        let spec = TokenSpec::new().issuer(provider::KEY_CLIENT).subject(provider::KEY_CLIENT);
        own.mint(&spec.header("typ", "JWT").audience(audience).key(key)).unwrap()
    };
    let status = |fields: &[(&str, &str)]| {
        let answer = post_form(provider.address(), "/token", &[&[("grant_type", "nothing")], fields].concat()).unwrap();
        answer.json().unwrap()["error"].as_str().unwrap().to_owned()
    };
    let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let right = assertion(Key::P256, provider.issuer());
    let accepted = "unsupported_grant_type";
    assert_eq!(status(&[kind, ("client_assertion", &right)]), accepted);
    assert_eq!(status(&[kind, ("client_assertion", &right)]), "invalid_client", "an assertion works once");
    assert_eq!(status(&[kind, ("client_assertion", &assertion(Key::Rsa, provider.issuer()))]), accepted);
    assert_eq!(status(&[kind, ("client_assertion", &assertion(Key::P256, "another"))]), "invalid_client");
    assert_eq!(
        status(&[kind, ("client_assertion", &assertion(Key::ForeignP256, provider.issuer()))]),
        "invalid_client"
    );
    assert_eq!(status(&[("client_id", WEB_CLIENT), ("client_secret", WEB_CLIENT_SECRET)]), accepted);
    assert_eq!(status(&[("client_id", WEB_CLIENT), ("client_secret", "x")]), "invalid_client");
    assert_eq!(status(&[("client_id", WEB_CLIENT)]), "invalid_client");
    assert_eq!(status(&[("client_id", provider::PUBLIC_CLIENT)]), accepted);
    assert_eq!(status(&[("client_id", CLI_CLIENT)]), accepted);
    assert_eq!(provider.client_proofs(), ["private_key_jwt", "private_key_jwt", "post", "none", "none"]);
}

#[test]
fn oidc_provider_signs_people_in_with_their_scopes() {
    let site = Upstream::start().unwrap();
    let provider =
        OidcProvider::builder(&[&format!("http://localhost:{}", site.port())]).access_seconds(9).start().unwrap();
    let client = Client::new(&provider.issuer(), site, RESOURCE);
    let mut agent = UserAgent::new();
    let tokens = client.redeem(client.sign_in(&mut agent, "devel").url());
    assert_eq!(tokens["expires_in"], 9);
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(part(access, 0)["typ"], "at+jwt");
    let said = part(access, 1);
    assert_eq!((&said["aud"], &said["scope"]), (&json!(DEFAULT_AUDIENCE), &json!("access:devel")));
    assert_eq!((&said["sub"], &said["permissions"]), (&json!("devel"), &json!([])));
    let id = claims(&tokens, "id_token");
    assert_eq!((&id["nonce"], &id["email"]), (&json!("n1"), &json!("devel@example.com")));
    let sid = id["sid"].as_str().unwrap().to_owned();

    // Scopes are read anew at each refresh, and a refresh token works once.
    provider.set_scopes("devel", &["access:ea"]).unwrap();
    let second = client.refresh(&tokens).json().unwrap();
    assert_eq!(claims(&second, "access_token")["scope"], "access:ea");
    let before = part(second["access_token"].as_str().unwrap(), 0)["kid"].clone();
    provider.rotate(false).unwrap();
    let third = client.refresh(&second).json().unwrap();
    assert_ne!(part(third["access_token"].as_str().unwrap(), 0)["kid"], before);
    assert_eq!(client.refresh(&second).status, 400);
    assert_eq!(client.refresh(&third).status, 400, "reuse ends the family");
    assert_eq!(provider.refreshes().unwrap(), (2, 2));

    // The end of the session reaches the client.
    client.site.take_received();
    assert_eq!(provider.log_out("devel").unwrap(), [200]);
    let received = client.site.take_received();
    let token = received[0].body.strip_prefix("logout_token=").unwrap();
    assert_eq!((&part(token, 0)["typ"], &part(token, 1)["sid"]), (&json!("logout+jwt"), &json!(sid)));
}

#[test]
fn oidc_provider_signs_people_out_by_redirect() {
    let site = Upstream::start().unwrap();
    let provider = OidcProvider::builder(&[&format!("http://localhost:{}", site.port())]).start().unwrap();
    let client = Client::new(&provider.issuer(), site, RESOURCE);
    let mut agent = UserAgent::new();
    let tokens = client.redeem(client.sign_in(&mut agent, "stable").url());
    assert_eq!(claims(&tokens, "id_token")["sub"], "stable");
    let end = client.discovery["end_session_endpoint"].as_str().unwrap();
    let hint = tokens["id_token"].as_str().unwrap();
    let back = percent_encode(&format!("{}/", client.public_url()));
    let page = agent.open(&format!("{end}?id_token_hint={hint}&post_logout_redirect_uri={back}&state=z")).unwrap();
    assert_eq!(page.status(), 200, "{}", page.text());
    client.site.take_received();
    let visit = agent.submit(&page, &[("logout", "yes")]).unwrap();
    assert_eq!(visit.url(), format!("{}/?state=z", client.public_url()), "{}", visit.trail());
    let told = client.site.take_received();
    assert!(told.iter().any(|request| request.target == "/_auth/backchannel-logout"), "{told:?}");
}

const GLEWLWYD: &str = "&scope=openid%20profile%20email%20offline_access%20access:ea%20access:devel%20access:admin\
                        &resource=https%3A%2F%2Fseistech.nz%2Fapi";

#[test]
fn glewlwyd_signs_people_in_with_their_scopes() {
    let site = Upstream::start().unwrap();
    let provider = Glewlwyd::start(&format!("http://localhost:{}", site.port()), 11).unwrap();
    let client = Client::new(&provider.issuer(), site, GLEWLWYD);
    for (account, scopes) in [("devel", "access:devel"), ("admin", "access:admin"), ("stable", "")] {
        let mut agent = UserAgent::new();
        let visit = agent.open(&client.authorize_url()).unwrap();
        let visit = provider.sign_in(&mut agent, &visit, account).unwrap();
        assert!(visit.url().starts_with(&client.callback()), "{}: {}", visit.trail(), visit.text());
        let tokens = client.redeem(visit.url());
        let access = claims(&tokens, "access_token");
        assert_eq!((&access["aud"], &tokens["expires_in"]), (&json!(glewlwyd::AUDIENCE), &json!(11)));
        let granted = access["scope"].as_str().unwrap().split(' ').filter(|scope| scope.starts_with("access:"));
        assert_eq!(granted.collect::<Vec<_>>().join(" "), scopes);
        assert_eq!(claims(&tokens, "id_token")["nonce"], "n1");
        assert_eq!(client.refresh(&tokens).status, 200);
        assert_eq!(client.refresh(&tokens).status, 400, "a refresh token works once");
    }
}

#[tokio::test]
async fn chromium_signs_in_at_both() -> Result<()> {
    let site = Upstream::start()?;
    let other = OidcProvider::builder(&[&format!("http://localhost:{}", site.port())]).start()?;
    let other = Client::new(&other.issuer(), site, RESOURCE).keeping(other);
    let own = Provider::start()?;
    let own = Client::new(own.issuer(), Upstream::start()?, OFFLINE).keeping(own);
    let browser = Browser::start().await?;
    for client in [&own.0, &other.0] {
        browser.open(&client.authorize_url()).await?;
        browser.click("button[value=ea]").await?;
        browser.wait_text("/_auth/callback/main").await?;
        let tokens = client.redeem(&browser.url().await?);
        assert_eq!(claims(&tokens, "id_token")["nonce"], "n1");
    }
    // What tests of the service need of a browser: cookies that scripts cannot see, tabs, fetch, the console, a picture.
    let site = own.0.public_url();
    browser.open(&format!("{site}/page")).await?;
    let (status, body) = browser.fetch("/from-script").await?;
    assert_eq!((status, body.contains("sec-fetch-mode")), (200, true));
    let first = browser.tab().await?;
    browser.new_tab().await?;
    browser.open(&format!("{site}/second")).await?;
    browser.switch_to(&first).await?;
    browser.wait_url(&format!("{site}/page")).await?;
    browser.run("console.error('kia ora')", &[]).await?;
    assert!(browser.console().await?.iter().any(|line| line.contains("kia ora")));
    let picture = browser.screenshot("testbed").await?;
    assert!(std::fs::metadata(&picture)?.len() > 1000);
    browser.quit().await
}

impl Client {
    /// The client together with what has to live as long.
    fn keeping<T>(self, provider: T) -> (Self, T) {
        (self, provider)
    }
}

#[test]
fn a_redirect_is_one_step_each() {
    let provider = Provider::start().unwrap();
    let client = Client::new(provider.issuer(), Upstream::start().unwrap(), OFFLINE);
    let mut agent = UserAgent::new();
    let visit = client.sign_in(&mut agent, "ea");
    let statuses: Vec<u16> = visit.steps.iter().map(|step| step.answer.status).collect();
    assert_eq!(statuses, [303, 200]);
    assert_eq!(visit.step("/authorize").unwrap().method, "POST");
    // A cross-site navigation: what the callback receives of the browser.
    let received = client.site.take_received().pop().unwrap();
    assert_eq!(received.header("sec-fetch-mode"), Some("navigate"));
}
