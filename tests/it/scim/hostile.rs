//! Who has no token, what is too large, and what is written to be misread.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tiergate_testbed::raw_http::{percent_encode, request_with_body};
use tiergate_testbed::{Gateway, request};

use super::{Client, HOST, Stage, TOKEN, patch};

#[test]
fn every_proxy_hands_scim_on_and_nothing_else() {
    for gateway in [Gateway::EnvoyGrpc, Gateway::Nginx, Gateway::Caddy, Gateway::HaProxy, Gateway::Traefik] {
        handed_on(gateway).unwrap_or_else(|error| panic!("{}: {error:?}", gateway.name()));
    }
}

fn handed_on(gateway: Gateway) -> Result<()> {
    let stage = Stage::start()?;
    let proxy = stage.proxy(gateway)?;
    let client = Client::through(&proxy);
    let id = client.create("ann")?;
    let path = format!("/Users/{id}");
    client.want(200, "GET", &path, &Value::Null)?;
    let title = patch(&json!([{ "op": "add", "path": "title", "value": "T" }]));
    ensure!(client.want(200, "PATCH", &path, &title)?["title"] == "T");
    let put = json!({ "userName": "ann@example.com" });
    ensure!(client.want(200, "PUT", &path, &put)?.get("title").is_none());
    let filter = percent_encode("userName eq \"ANN@example.com\"");
    ensure!(client.want(200, "GET", &format!("/Users?filter={filter}"), &Value::Null)?["totalResults"] == 1);
    client.want(204, "DELETE", &path, &Value::Null)?;
    client.want(404, "GET", &path, &Value::Null)?;
    // Below `base_path` it is the same.
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Host", HOST), ("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = json!({ "userName": "bob", "externalId": "bob" }).to_string();
    let made = request_with_body(proxy.address(), "POST", "/_auth/scim/v2/Users", &headers, body.as_bytes())?;
    ensure!(made.status == 201, "{} {}", made.status, made.text());
    let location = made.json()?["meta"]["location"].as_str().unwrap_or_default().to_owned();
    let own = location.strip_prefix(&format!("http://{HOST}")).unwrap_or_default().to_owned();
    ensure!(own.starts_with("/_auth/scim/v2/Users/"), "{location}");
    for (method, status) in [("GET", 200), ("DELETE", 204)] {
        let answer = request(proxy.address(), method, &own, &headers)?;
        ensure!(answer.status == status, "{method} {own}: {}", answer.status);
    }
    // Nobody comes in without the token, and no other path goes past the check.
    for (path, token, status) in [
        ("/scim/v2/Users", None, 401),
        ("/scim/v2/Users", Some("Bearer 0123456789abcdef0123456789abcdef"), 401),
        ("/scim/v2", None, 401),
        ("/scim/v2x/Users", None, 403),
        ("/scim/v1/Users", None, 403),
        ("/scim", None, 403),
    ] {
        let mut headers = vec![("Host", HOST), ("Accept", "application/json")];
        headers.extend(token.map(|token| ("Authorization", token)));
        let answer = request(proxy.address(), "GET", path, &headers)?;
        ensure!(answer.status == status, "{path} {token:?}: {} {}", answer.status, answer.text());
    }
    for path in [
        "/scim/v2/../../free/x",
        "/scim/v2/%2e%2e/%2e%2e/free/x",
        "/scim/v2/..%2f..%2ffree/x",
        "/free/../scim/v2/Users",
    ] {
        let answer = request(proxy.address(), "GET", path, &[("Host", HOST)])?;
        ensure!((400..=404).contains(&answer.status), "{path}: {}", answer.status);
    }
    let landed = stage.upstream.received();
    ensure!(landed.is_empty(), "{landed:?}");
    Ok(())
}

#[test]
fn a_proxy_without_the_route_lets_nobody_through() {
    let stage = Stage::start().unwrap();
    for (endpoint, method) in
        [("/authz/forward-auth", "X-Forwarded-Method"), ("/authz/auth-request", "X-Original-Method")]
    {
        let headers = [
            (method, "GET"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", HOST),
            ("X-Forwarded-Uri", "/scim/v2/Users"),
            ("X-Original-URI", "/scim/v2/Users"),
        ];
        let answer = request(stage.tiergate.http(), "GET", endpoint, &headers).unwrap();
        assert_eq!(answer.status, 403, "{endpoint}");
    }
}

#[test]
fn what_is_hostile_is_refused_and_changes_nothing() {
    hostile().unwrap();
}

fn hostile() -> Result<()> {
    let stage = Stage::start()?;
    let client = stage.client();
    let ann = client.create("ann")?;
    let group = super::id(&client.want(201, "POST", "/Groups", &json!({ "displayName": "g" }))?)?;
    let bearer = format!("Bearer {TOKEN}");
    let send = |method: &str, path: &str, body: &str| {
        let headers = [("Host", HOST), ("Authorization", bearer.as_str()), ("Content-Type", "application/scim+json")];
        request_with_body(stage.tiergate.http(), method, &format!("/scim/v2{path}"), &headers, body.as_bytes())
    };
    let deep = format!("{{\"userName\":\"a\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let large = format!("{{\"userName\":\"a\",\"x\":\"{}\"}}", "x".repeat(1024 * 1024));
    let big = format!("{{\"userName\":\"a\",\"x\":\"{}\"}}", "x".repeat(100_000));
    for (what, method, path, body, status) in [
        ("deep", "POST", "/Users", deep.as_str(), 400),
        ("too large", "POST", "/Users", &large, 413),
        ("a large resource", "POST", "/Users", &big, 400),
        ("a name twice", "POST", "/Users", "{\"userName\":\"a\",\"userName\":\"b\"}", 400),
        ("a name twice, escaped", "POST", "/Users", "{\"userName\":\"a\",\"\\u0075serName\":\"b\"}", 400),
        ("a group's id", "GET", &format!("/Users/{group}"), "", 404),
        ("a user's id", "DELETE", &format!("/Groups/{ann}"), "", 404),
        ("no id", "DELETE", "/Users/*", "", 404),
        ("all", "DELETE", "/Users", "", 405),
        (
            "another case",
            "GET",
            &format!("/Users/{}", ann.to_uppercase()),
            "",
            if ann == ann.to_uppercase() { 200 } else { 404 },
        ),
    ] {
        let answer = send(method, path, body)?;
        ensure!(answer.status == status, "{what}: {} {}", answer.status, answer.text());
    }
    for filter in [
        "userName eq \"' or '1'='1\"",
        "userName eq \"\\\" or userName pr or \\\"\"",
        "userName eq \"%\"",
        "userName eq \"_______________\"",
        "userName eq \"ann@example.com'; drop table users; --\"",
        "externalId eq \"ann\\u0000\"",
        "userName co \"%\"",
    ] {
        let page = client.want(200, "GET", &format!("/Users?filter={}", percent_encode(filter)), &Value::Null)?;
        ensure!(page["totalResults"] == 0, "{filter}: {page}");
    }
    let long = "(".repeat(2000);
    for filter in ["userName eq \"a\" --", "1 eq 1", long.as_str(), "userName eq \"a"] {
        let page = client.want(400, "GET", &format!("/Users?filter={}", percent_encode(filter)), &Value::Null)?;
        ensure!(page["scimType"] == "invalidFilter", "{filter}: {page}");
    }
    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let answer = client.send("GET", &format!("/Users/{ann}"), &[(header, "DELETE")], &Value::Null)?;
        ensure!(answer.status == 200, "{header}: {}", answer.status);
    }
    client.want(200, "GET", &format!("/Users/{ann}"), &Value::Null)?;
    ensure!(client.want(200, "GET", "/Users", &Value::Null)?["totalResults"] == 1);
    Ok(())
}
