//! `user sync` as people call it.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tiergate_testbed::provider::Person;
use tiergate_testbed::{Endpoint, Fault, Provider};

use super::{BINARY, Directory, config};

const MADE: i64 = 1_700_000_000_000;

struct Stage {
    provider: Provider,
    folder: TempDir,
}

impl Stage {
    fn new(kind: &str, management: &str, people: i64) -> Self {
        let provider = Provider::start().expect("the provider");
        let prefix = if kind == "auth0" { "auth0|" } else { "" };
        provider.set_people((0..people).map(|number| {
            (format!("{prefix}u{number:05}"), Person::named(&format!("user{number:05}"), MADE + number * 1000))
        }));
        let folder = tempfile::tempdir().expect("a folder");
        let text = config(&provider, &Directory { kind, management, ..Directory::default() });
        let text = text.replace("@GRPC@", "0").replace("@HTTP@", "0").replace("@ADMIN@", "0");
        std::fs::write(folder.path().join("tiergate.yaml"), text).expect("the config");
        Self { provider, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.folder.path()).args(["user", "sync", "-c", "tiergate.yaml"]).args(arguments);
        command
    }

    fn sync(&self, arguments: &[&str]) -> (Vec<String>, String) {
        let output = self.command(arguments).output().expect("it runs");
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{out}{err}");
        (out.lines().map(str::to_owned).collect(), err)
    }
}

fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn limited() -> Fault {
    Fault::Answer { status: 429, headers: vec![("retry-after".to_owned(), "1".to_owned())], body: b"{}".to_vec() }
}

#[test]
fn thousands_of_users_are_taken_over_at_the_pace_of_the_api() {
    let stage = Stage::new("auth0", "", 2500);
    let (dry, _) = stage.sync(&["--dry-run"]);
    assert_eq!(dry.len(), 2501);
    assert!(dry.last().is_some_and(|last| last.starts_with("dry run, nothing was written: ")), "{:?}", dry.last());
    stage.provider.fail_next(Endpoint::Management, 2, limited());
    let (lines, err) = stage.sync(&[]);
    assert!(err.contains("the management API wants to be left alone for 1 s"), "{err}");
    // Nothing was there after the dry run.
    assert!(lines.last().is_some_and(|last| last.contains(" 2500 created, 0 updated, ")), "{:?}", lines.last());
    stage.provider.change_person("auth0|u00007", |person| person.first = "Renamed".to_owned());
    stage.provider.change_person("auth0|u01500", |person| person.blocked = true);
    assert!(stage.provider.remove_person("auth0|u02400"));
    let (lines, _) = stage.sync(&[]);
    let expected = [
        "updated   auth0|u00007  Renamed Example  (name)",
        "disabled  auth0|u01500  user01500 Example  (disabled)",
        "missing   auth0|u02400  user02400 Example",
        "2501 read, 0 created, 1 updated, 1 disabled, 0 enabled, 1 missing, 0 not taken over",
    ];
    assert_eq!(lines, expected);
    assert_eq!(stage.provider.service_tokens(), 3);
}

#[test]
fn a_run_that_was_killed_goes_on_where_it_was() {
    let stage = Stage::new("auth0", "", 2500);
    stage.provider.fail(Endpoint::Management, Fault::Delay(Duration::from_millis(60)));
    let mut child: Child = stage.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let start = Instant::now();
    while stage.provider.management_requests().len() < 13 {
        assert!(start.elapsed() < Duration::from_secs(60), "the walk does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    stage.provider.heal();
    let before = stage.provider.management_requests().len();
    let (lines, err) = stage.sync(&[]);
    assert!(err.contains("goes on with the walk that began at "), "{err}");
    let asked = stage.provider.management_requests().len() - before;
    assert!(asked <= 16, "it began anew: {asked} pages");
    assert!(lines.last().is_some_and(|last| last.contains(" 0 missing, 0 not taken over")), "{:?}", lines.last());
    let (lines, err) = stage.sync(&[]);
    assert!(!err.contains("goes on"), "{err}");
    assert_eq!(lines, ["2502 read, 0 created, 0 updated, 0 disabled, 0 enabled, 0 missing, 0 not taken over"]);
}

#[test]
fn keycloak_is_walked_with_the_groups_of_each_user() {
    let stage = Stage::new("keycloak", "groups: true", 150);
    stage
        .provider
        .change_person("u00003", |person| person.groups = (0..130).map(|number| format!("g{number}")).collect());
    let (lines, _) = stage.sync(&[]);
    assert_eq!(lines.len(), 151);
    stage.provider.change_person("u00003", |person| person.groups.truncate(2));
    let (lines, _) = stage.sync(&[]);
    assert_eq!(lines.first().map(String::as_str), Some("updated   u00003  user00003 Example  (groups)"));
    assert!(stage.provider.remove_person("u00004"));
    let (lines, _) = stage.sync(&["--disable-missing"]);
    assert_eq!(
        lines.first_chunk(),
        Some(&[
            "missing   u00004  user00004 Example".to_owned(),
            "disabled  u00004  user00004 Example  (disabled)".to_owned()
        ])
    );
}

#[test]
fn what_cannot_be_done_is_told() {
    let stage = Stage::new("auth0", "", 1);
    let ended = |arguments: &[&str]| {
        let output = stage.command(arguments).output().expect("it runs");
        (output.status.code(), texts(&output).1)
    };
    assert_eq!(
        ended(&["--provider", "nobody"]),
        (Some(2), "error: there is no identity provider `nobody`\n".to_owned())
    );
    stage.provider.fail(Endpoint::Management, Fault::Status(403));
    let (code, err) = ended(&[]);
    assert!(code == Some(1) && err.contains("`read:users`"), "{err}");
    stage.provider.heal();
    stage.provider.fail(Endpoint::Token, Fault::Status(401));
    let (code, err) = ended(&[]);
    assert!(code == Some(1) && err.contains("`client_secret`") && !err.contains("development-only-secret"), "{err}");
}
