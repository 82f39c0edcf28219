//! `<base_path>/admin/idp/…`: who may, what passes, what is shown.

use serde_json::{Value, json};
use tiergate_testbed::provider::Person;
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::{Endpoint, Fault, Provider, RawResponse, Tiergate, request};

use super::{BINARY, Directory, ask, config, service};
use crate::grid::wire::{Asker, Question, Wire};

const PASSES: &str = "paths: [\"/users/**\"]\n      methods: [GET, PATCH]";

fn stage() -> (Provider, Tiergate) {
    let provider = Provider::start().expect("the provider");
    let mut ann = Person::named("ann", 1_700_000_000_000);
    ann.attributes.insert("note".to_owned(), json!("<script>alert(1)</script>"));
    provider.set_people([("auth0|a1".to_owned(), ann)]);
    let tiergate = service(&provider, &Directory { management: PASSES, ..Directory::default() });
    let tiergate = tiergate.start().expect("the service");
    (provider, tiergate)
}

fn send(provider: &Provider, tiergate: &Tiergate, method: &str, path: &str, body: &str) -> RawResponse {
    let bearer = format!("Bearer {}", provider.token("admin").expect("a token"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    request_with_body(tiergate.http(), method, &format!("/_auth/admin{path}"), &headers, body.as_bytes())
        .expect("an answer")
}

fn audited(provider: &Provider, tiergate: &Tiergate) -> Vec<Value> {
    let audit = ask(provider, tiergate, "admin", "/api/audit?action=idp.").json().expect("json");
    audit["entries"].as_array().unwrap_or_else(|| panic!("no entries: {audit}")).clone()
}

#[test]
fn only_administrators_and_only_what_is_listed_pass() {
    let (provider, tiergate) = stage();
    for (account, path, status) in [
        ("stable", "/idp/users/auth0%7Ca1", 403),
        ("stable", "/idp/nothing", 403),
        ("admin", "/idp/users/auth0%7Ca1", 200),
        ("admin", "/idp/users?per_page=1", 200),
        ("admin", "/idp/~main/users/auth0%7Ca1", 200),
        ("admin", "/idp/~other/users", 404),
        ("admin", "/idp/users/nobody", 404),
        ("admin", "/idp/clients", 403),
        ("admin", "/idp/usersx", 403),
        ("admin", "/idp/users/../clients", 400),
        ("admin", "/idp/users/%2e%2e/clients", 400),
        ("admin", "/idp/users/a%2Fb", 400),
        ("admin", "/idp", 200),
    ] {
        let answer = ask(&provider, &tiergate, account, path);
        assert_eq!(answer.status, status, "{account} {path}: {}", answer.text());
    }
    let nobody = request(tiergate.http(), "GET", "/_auth/admin/idp/users", &[]).expect("an answer");
    assert_eq!(nobody.status, 401);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(send(&provider, &tiergate, method, "/idp/users", "{}").status, 403, "{method}");
    }
    // The caller's own token never went there, and each path went on as it came.
    let asked = provider.management_requests();
    assert!(asked.iter().all(|request| request.starts_with("GET /api/v2/users")), "{asked:?}");
    assert_eq!(provider.service_tokens(), 1);
}

#[test]
fn every_call_is_in_the_audit_and_no_value_of_a_change_is() {
    let (provider, tiergate) = stage();
    assert_eq!(ask(&provider, &tiergate, "admin", "/idp/users/auth0%7Ca1").status, 200);
    let changed =
        send(&provider, &tiergate, "PATCH", "/idp/users/auth0%7Ca1", r#"{"blocked":true,"password":"swordfish-9"}"#);
    assert_eq!((changed.status, changed.json().expect("json")["blocked"].clone()), (200, json!(true)));
    assert_eq!(send(&provider, &tiergate, "PATCH", "/idp/users/auth0%7Ca1", "not json").status, 415);
    let lines = audited(&provider, &tiergate);
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["action"].as_str().unwrap_or_default(), line["target"].as_str().unwrap_or_default()))
        .collect();
    let change = "main PATCH /users/auth0%7Ca1";
    assert_eq!(told, [("idp.changed", change), ("idp.change", change), ("idp.read", "main GET /users/auth0%7Ca1")]);
    assert_eq!(lines[0]["after"], json!({ "status": 200 }));
    assert_eq!(lines[1]["after"], json!({ "members": ["blocked", "password"] }));
    let everything = format!("{lines:?}{}", tiergate.log());
    assert!(!everything.contains("swordfish-9") && !everything.contains("development-only-secret"));
}

#[test]
fn browsers_see_the_answer_in_order_and_nothing_in_it_runs() {
    let (provider, tiergate) = stage();
    let bearer = format!("Bearer {}", provider.token("admin").expect("a token"));
    let browse = |path: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")];
        request(tiergate.http(), "GET", &format!("/_auth/admin{path}"), &headers).expect("an answer")
    };
    let page = browse("/idp/users/auth0%7Ca1");
    let text = page.text();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(!text.contains("<script>alert") && text.contains("&lt;script&gt;alert(1)"), "{text}");
    assert!(
        text.contains("\n  &quot;email&quot;: ")
            || text.contains("\n  &#34;email&#34;: ")
            || text.contains("\n  \"email\": "),
        "{text}"
    );
    // In the frame of the other pages, which it leads back to.
    for (path, is_here) in [("/users", false), ("/audit", false), ("/idp", true)] {
        let here = if is_here { " aria-current=\"page\"" } else { "" };
        assert!(text.contains(&format!("<a href=\"/_auth/admin{path}\"{here}>")), "{path}: {text}");
    }
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    let onward = browse("/idp/?provider=main&path=/users/auth0%7Ca1%3Ffields=email");
    assert_eq!(
        (onward.status, onward.header("location")),
        (303, Some("/_auth/admin/idp/~main/users/auth0%7Ca1?fields=email"))
    );
    for path in ["//evil.example", "/users/../x", "https://evil.example/", "/%5cevil"] {
        let answer = browse(&format!("/idp/?provider=main&path={}", tiergate_testbed::raw_http::percent_encode(path)));
        let location = answer.header("location").unwrap_or("/_auth/admin/idp/~main/");
        assert!(location.starts_with("/_auth/admin/idp/~main/"), "{path}: {location}");
    }
    let refused = browse("/idp/clients");
    assert!(refused.status == 403 && refused.text().contains("management.paths"), "{}", refused.text());
}

#[test]
fn what_is_not_acceptable_is_not_shown_and_tokens_are_renewed() {
    let (provider, tiergate) = stage();
    let get = || ask(&provider, &tiergate, "admin", "/idp/users/auth0%7Ca1");
    for (fault, status) in [
        (Fault::Redirect("https://evil.example/".to_owned()), 502),
        (Fault::HugeBody(5 * 1024 * 1024), 502),
        (
            Fault::Answer {
                status: 200,
                headers: vec![("content-type".to_owned(), "text/html".to_owned())],
                body: b"<script>alert(1)</script>".to_vec(),
            },
            502,
        ),
        (Fault::Status(401), 502),
    ] {
        provider.fail(Endpoint::Management, fault.clone());
        let answer = get();
        assert_eq!(answer.status, status, "{fault:?}: {}", answer.text());
        assert!(!answer.text().contains("<script>"), "{fault:?}");
        provider.heal();
    }
    let before = provider.service_tokens();
    assert_eq!(get().status, 200);
    provider.revoke_service_tokens();
    assert_eq!(get().status, 200);
    assert_eq!(provider.service_tokens(), before + 1);
}

#[test]
fn a_change_that_a_proxy_only_asks_about_does_not_go_to_the_provider() {
    let (provider, tiergate) = stage();
    let question = |method: &str| Question {
        method: method.to_owned(),
        target: "/_auth/admin/idp/users/auth0%7Ca1".to_owned(),
        host: "apps.example.com".to_owned(),
        headers: vec![("authorization".to_owned(), format!("Bearer {}", provider.token("admin").expect("a token")))],
    };
    let asker = Asker::new(&tiergate).expect("a connection");
    assert_eq!(asker.ask(Wire::Grpc, &question("GET")).expect("an answer").status, 200);
    assert_eq!(asker.ask(Wire::Grpc, &question("PATCH")).expect("an answer").status, 405);
    assert_eq!(asker.ask(Wire::Grpc, &question("DELETE")).expect("an answer").status, 403, "it is not listed");
    let asked = provider.management_requests();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
    assert_eq!(audited(&provider, &tiergate).len(), 1);
}

#[test]
fn without_a_directory_nothing_but_reading_goes_through() {
    let provider = Provider::start().expect("the provider");
    provider.set_people([("auth0|a1".to_owned(), Person::named("ann", 1_700_000_000_000))]);
    let config = config(&provider, &Directory { management: PASSES, ..Directory::default() });
    let config = config.replace("directory:\n  url: \"sqlite:directory.db\"\n", "");
    assert!(!config.contains("directory:"), "{config}");
    let tiergate = Tiergate::start(BINARY, &config).expect("the service");
    assert_eq!(ask(&provider, &tiergate, "admin", "/idp/users/auth0%7Ca1").status, 200);
    let refused = send(&provider, &tiergate, "PATCH", "/idp/users/auth0%7Ca1", "{}");
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("`directory: {}`"), "{}", refused.text());
    let asked = provider.management_requests();
    assert!(asked.iter().all(|request| request.starts_with("GET ")), "{asked:?}");
}
