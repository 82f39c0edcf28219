//! schemathesis reads the document and asks for what nobody thought of.

use std::process::Command;
use std::time::Instant;

use serde_json::json;
use tiergate_testbed::tool;

use crate::admin::stage::{API, As, Stage};

/// What requests that fit the document may be told: the credentials that were made up do not
/// count, somebody is not there, was changed meanwhile, or what is asked for cannot be. Those
/// that do not fit get one of the second.
const SETTINGS: &str = r#"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422"]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "412", "415", "422", "428"]
missing_required_header.expected-statuses = ["400", "401", "428"]
"#;

#[test]
fn nothing_undocumented_is_answered() {
    let stage = Stage::start().unwrap();
    for subject in ["dev|one", "dev|two", "dev|three"] {
        let id = stage.create(subject).unwrap();
        stage.done("PUT", &format!("/users/{id}/grants/ea"), None, 200).unwrap();
        let groups = json!({ "groups": ["audit"] });
        let any = [("If-Match", "*")];
        let answer = stage.ask_with(&stage.admin(), "PATCH", &format!("/users/{id}"), Some(&groups), &any).unwrap();
        assert_eq!(answer.status, 200);
    }
    stage.browser("stable").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), SETTINGS).unwrap();
    let document = stage.done("GET", "/openapi.json", None, 200).unwrap();
    std::fs::write(folder.path().join("openapi.json"), document.to_string()).unwrap();
    let As::Token(token) = stage.admin() else { panic!("a token") };
    let run = |which: &[&str]| {
        let start = Instant::now();
        let output = Command::new(tool("schemathesis").unwrap())
            .args(["run", "openapi.json", "--url"])
            .arg(format!("http://{}{API}", stage.tiergate.http()))
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--checks", "all", "--mode", "all", "--phases", "examples,coverage,fuzzing"])
            .args(["--max-examples", "40", "--seed", "1", "--generation-deterministic"])
            .args(["--workers", "1", "--continue-on-failure", "--no-color"])
            .args(which)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{} s\n{said}", start.elapsed().as_secs());
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said.into_owned()
    };
    // It learns from the answers who it is, and may sign itself out: that goes last.
    let sign_out = "/users/{id}/sign-out";
    let said = run(&["--exclude-path", sign_out]);
    assert!(!said.contains("Authentication failed"), "the administrator was locked out meanwhile");
    // It had a service to ask until the end, and got through to it.
    assert_eq!(stage.ask(&stage.admin(), "GET", "/me", None).unwrap().status, 200);
    assert!(stage.audit("").unwrap().len() > 20, "nothing was changed, so little can have been tried");
    run(&["--include-path", sign_out]);
}
