//! Hooks from the senders that are shipped, each with its own signature, against a running service.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{Provider, Tiergate, repo_root, tool};

use super::sync::{self, Directory};

const KEY: &str = "the-key-of-the-hook-0123456789-abcdef";

fn service(provider: &Provider) -> Tiergate {
    let hooks = format!("hooks: [{{ provider: main, secret: \"{KEY}\" }}]");
    sync::service(provider, &Directory { hooks: &hooks, ..Directory::default() }).start().expect("the service")
}

fn script(name: &str) -> PathBuf {
    repo_root().join("examples/hooks").join(name)
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs the Action with this event, as Auth0 would.
fn run_action(tiergate: &Tiergate, key: &str, user: &Value) -> Output {
    let url = format!("http://{}/_auth/hooks/users", tiergate.http());
    let event = json!({
        "secrets": { "TIERGATE_HOOK_URL": url, "TIERGATE_HOOK_SECRET": key },
        "user": user, "connection": { "name": "db" }, "tenant": { "id": "dev" }, "request": { "ip": "192.0.2.1" },
    });
    let run = "require(process.argv[1]).onExecutePostUserRegistration(JSON.parse(process.argv[2]))";
    let node = tool("node").expect("node");
    Command::new(node)
        .args(["-e", run])
        .arg(script("auth0-action.js"))
        .arg(event.to_string())
        .output()
        .expect("node runs")
}

#[test]
fn the_action_of_auth0_tells_of_a_new_user() {
    let provider = Provider::start().expect("the provider");
    let tiergate = service(&provider);
    let user = json!({
        "user_id": "auth0|a1", "email": "ann@example.com", "email_verified": true, "name": "Änn <Example>",
        "created_at": "2026-01-20T16:03:54.310Z", "updated_at": "2026-01-20T16:03:54.310Z", "app_metadata": { "plan": "gold" },
    });
    let first = run_action(&tiergate, KEY, &user);
    assert!(first.status.success() && told(&first).contains("\"result\":\"created\""), "{}", told(&first));
    let again = run_action(&tiergate, KEY, &user);
    let result = told(&again);
    assert!(again.status.success() && (result.contains("unchanged") || result.contains("duplicate")), "{result}");
    let wrong = run_action(&tiergate, "another-key-0123456789-0123456789-01", &user);
    assert!(!wrong.status.success() && told(&wrong).contains("status 401"), "{}", told(&wrong));
    let shown = sync::user(&provider, &tiergate, "auth0|a1");
    assert_eq!((&shown["name"], &shown["attributes"]["plan"]), (&json!("Änn <Example>"), &json!("gold")), "{shown}");
    assert!(!tiergate.log().contains(KEY));
}

#[test]
fn the_script_for_keycloak_hands_on_each_admin_event_once() {
    let provider = Provider::start().expect("the provider");
    let tiergate = service(&provider);
    let state = tempfile::tempdir().expect("a folder");
    let event = |number: i64, operation: &str, representation: &str| {
        json!({
            "id": format!("event-{number}"), "time": 1_709_326_589_567_i64 + number, "realmId": "dev", "operationType": operation,
            "resourceType": "USER", "resourcePath": "users/k1", "representation": representation,
        })
    };
    let run = || {
        let node = tool("node").expect("node");
        let output = Command::new(node)
            .arg(script("keycloak-events.mjs"))
            .env("KEYCLOAK_URL", format!("{}admin/realms/dev/", provider.issuer()))
            .env("KEYCLOAK_TOKEN_URL", format!("{}token", provider.issuer()))
            .env("KEYCLOAK_CLIENT_ID", WEB_CLIENT)
            .env("KEYCLOAK_CLIENT_SECRET", WEB_CLIENT_SECRET)
            .env("TIERGATE_HOOK_URL", format!("http://{}/_auth/hooks/users", tiergate.http()))
            .env("TIERGATE_HOOK_SECRET", KEY)
            .env("STATE_FILE", state.path().join("state.json"))
            .output()
            .expect("node runs");
        assert!(output.status.success(), "{}", told(&output));
        told(&output)
    };
    // Listed with the latest first, as there.
    provider.add_admin_event(event(2, "UPDATE", r#"{"enabled":false}"#));
    provider.add_admin_event(event(
        1,
        "CREATE",
        r#"{"username":"kim","firstName":"Kim","lastName":"Example","enabled":true}"#,
    ));
    let first = run();
    let results: Vec<&str> = first.lines().collect();
    assert!(matches!(results.as_slice(), [one, two] if one.contains("created") && two.contains("updated")), "{first}");
    assert_eq!(run(), "");
    provider.add_admin_event(event(3, "UPDATE", r#"{"enabled":true}"#));
    assert!(run().starts_with("event-3: {\"result\":\"updated\""));
    let shown = sync::user(&provider, &tiergate, "k1");
    assert_eq!((&shown["name"], &shown["disabled"]), (&json!("Kim Example"), &json!(false)), "{shown}");
}
