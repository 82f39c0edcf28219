//! The `user` commands, as people call them.

use std::fmt::Write as _;
use std::process::Command;

use tempfile::TempDir;

use super::stores::quick_folder;

const CONFIG: &str = r#"
identity_providers:
  - { id: main, issuer: "https://idp.example.com/", audience: [api], jwks: { file: keys.json } }
tiers:
  stable: { grant: authenticated }
  devel: { grant: { scopes: ["access:devel"] }, includes: [stable] }
directory: { url: "sqlite:users.db" }
"#;

const USERS: &str = r#"{"subject":"joe","user_name":"joe@example.com","email":"joe@example.com","email_verified":true,"name":"Joe","groups":["ops"],"attributes":{"plan":"paid"},"grants":[{"tier":"devel","until":"2099-12-31T23:59:59Z"},{"tier":"stable"}]}

{"subject":"ann","provider":"main","disabled":true}
{"subject":"eve \u001b[2J","name":"Eve"}
"#;

struct Stage(TempDir);

impl Stage {
    fn new(config: &str) -> Self {
        let stage = Self(quick_folder());
        stage.write("tiergate.yaml", config);
        stage
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Runs a command; what it said, ids and times left out.
    fn user(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiergate"));
        let output = command.arg("user").args(arguments).current_dir(self.0.path()).env_clear().output().unwrap();
        let (said, warned) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let code = output.status.code().unwrap_or(-1);
        format!("$ tiergate user {}\n{said}{warned}exit {code}\n\n", arguments.join(" "))
    }

    fn tell(&self, calls: &[&[&str]]) -> String {
        let mut text = String::new();
        for call in calls {
            write!(text, "{}", self.user(call)).unwrap();
        }
        text
    }
}

fn assert_told(name: &str, text: &str) {
    insta::with_settings!({
        filters => vec![(r"[0-9a-f]{32}", "[id]"), (r"20[2-8]\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[time]")],
    }, { insta::assert_snapshot!(name, text) });
}

#[test]
fn users_are_imported_listed_and_shown() {
    let stage = Stage::new(CONFIG);
    stage.write("users.jsonl", USERS);
    let text = stage.tell(&[
        &["list"],
        &["migrate"],
        &["migrate"],
        &["import", "users.jsonl", "--dry-run"],
        &["list"],
        &["import", "users.jsonl"],
        &["import", "users.jsonl"],
        &["list"],
        &["list", "--search", "JOE"],
        &["list", "--disabled"],
        &["list", "--search", "joe", "--format", "json"],
        &["show", "main/joe"],
        &["show", "main/ann"],
        &["show", "main/nobody"],
        &["show", "other/joe"],
        &["show", "joe"],
    ]);
    assert_told("users_are_imported_listed_and_shown", &text);
}

#[test]
fn a_faulty_file_imports_nobody() {
    let stage = Stage::new(CONFIG);
    stage.write(
        "users.jsonl",
        r#"{"subject":"joe"}
{"subject":""}
{"subject":"ann","provider":"other"}
{"name":"nobody"}
{"subject":"ann","plan":"x"}
[1]
{"subject":"ann","grants":[{"tier":"gold"}]}
{"subject":"ann","grants":[{"tier":"devel","until":"friday"}]}
{"subject":"joe","name":"again"}
"#,
    );
    let text = stage.tell(&[&["migrate"], &["import", "users.jsonl"], &["import", "missing.jsonl"], &["list"]]);
    assert_told("a_faulty_file_imports_nobody", &text);
}

#[test]
fn a_config_without_users_says_what_to_do() {
    let stage = Stage::new(&CONFIG.replace("directory:", "#"));
    assert_told(
        "a_config_without_users_says_what_to_do",
        &stage.tell(&[&["list"], &["migrate"], &["show", "main/joe"]]),
    );
    let stage = Stage::new(&CONFIG.replace("sqlite:users.db", "postgres://joe:hunter2@127.0.0.1:1/users"));
    let text = stage.user(&["list"]);
    assert!(text.contains("exit 1") && text.contains("cannot be reached") && !text.contains("hunter2"), "{text}");
}
