use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use super::load::Loaded;
use super::what_if::{WhatIf, principal};
use super::*;
use crate::app::load_apps;
use crate::check::{CallerNames, Explanation, Question};
use crate::config::{Config, NoFiles, Sources};

const CONFIG: &str = r#"
identity_providers:
  - { id: main, issuer: "https://idp.example.com/", audience: [api], jwks: { file: /nowhere/keys.json } }
  - { id: other, issuer: "https://other.example.com/", audience: [api], jwks: { file: /nowhere/others.json } }
tiers: { ea: { grant: { scopes: ["access:ea"] } } }
rules:
  - { path: /ea/**, tier: ea, any: [{ groups: [audit] }, { users: [other/x] }] }
  - { path: /other, providers: [other] }
  - { path: /mail, email_domains: [example.com] }
"#;

fn config() -> Config {
    let read_secret = |_: &str| Ok(String::new());
    let sources = Sources {
        file: Some(("tiergate.yaml", CONFIG)),
        environment: [].into(),
        read_secret: &read_secret,
        files: &NoFiles,
    };
    Config::load(&sources).unwrap()
}

fn explain(url: &str, names: &CallerNames) -> Explanation {
    let config = config();
    let caller = principal(names, &config).unwrap();
    let apps = load_apps(&config, &[].into());
    WhatIf::new(&Loaded { config, apps, variables: [].into() })
        .unwrap()
        .ask(Question::new("GET", url).unwrap(), Some(&caller))
}

/// Whether the program ends with `code`.
fn ends(arguments: &[&Path], code: u8) -> bool {
    let arguments = std::iter::once(OsString::from("tiergate")).chain(arguments.iter().map(OsString::from));
    format!("{:?}", run(arguments)) == format!("{:?}", ExitCode::from(code))
}

#[test]
fn the_exit_code_says_whose_fault_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let word = Path::new;
    let good = file("good.yaml", CONFIG.as_bytes());
    let check = |config: &Path, code| ends(&[word("config"), word("check"), word("-c"), config], code);
    assert!(check(&good, 0));
    assert!(check(&file("faulty.yaml", b"listn: 1"), 78));
    assert!(check(&directory.path().join("missing.yaml"), 78));
    assert!(check(directory.path(), 78));
    assert!(check(&file("latin1.yaml", b"# caf\xe9\n"), 78));

    let ask =
        |url: &str, code| ends(&[word("policy"), word("explain"), word("-c"), &good, word("GET"), word(url)], code);
    assert!(ask("ftp://example.com/", 2));
    assert!(ask("example.com/x", 2));
    assert!(ask("/nothing", 1));

    let test = |cases: &Path, code| ends(&[word("policy"), word("test"), word("-c"), &good, cases], code);
    let cases = |name: &str, request: &str, caller: &str, decision: &str| {
        let text = format!("cases: [{{ request: '{request}', caller: {caller}, expect: {{ decision: {decision} }} }}]");
        file(name, text.as_bytes())
    };
    assert!(test(&directory.path().join("missing.yaml"), 2));
    assert!(test(&file("no_cases.yaml", b"cases: []"), 2));
    assert!(test(&file("malformed.yaml", b"cases: 5"), 2));
    assert!(test(&cases("a.yaml", "GET ftp://x/", "anonymous", "deny"), 2));
    assert!(test(&cases("b.yaml", "GET /x", "{ provider: nobody }", "deny"), 2));
    assert!(test(&cases("c.yaml", "GET /x", "{ scopes: [a] }", "allow"), 1));
    assert!(test(&cases("d.yaml", "GET /ea/x", "{ subject: x, provider: other, scopes: ['access:ea'] }", "allow"), 0));
    assert!(test(&cases("e.yaml", "GET /other", "{ provider: other }", "allow"), 0));
    assert!(test(&cases("f.yaml", "GET /other", "authenticated", "deny"), 0));
    assert!(test(&cases("g.yaml", "GET /mail", "{ email: joe@example.com }", "allow"), 0));
    assert!(test(&cases("h.yaml", "GET /mail", "{ email: joe@example.org }", "deny"), 0));
}

#[test]
fn an_explanation_tells_the_operator_everything() {
    let explanation = explain("/ea/x", &CallerNames::default());
    assert_eq!(explanation.requires.unwrap().all, "tier ea and any of (group audit, user other/x)");
    assert_eq!((explanation.host, explanation.decision), (None, "deny"));
    // A target that is no path is shown as it was given.
    let explanation = explain("http://h?x=1", &CallerNames::default());
    assert_eq!((explanation.path.as_str(), explanation.reason), ("?x=1", "bad_target"));
}

#[test]
fn missing_keys_say_why() {
    let fetched = crate::app::fetch_keys(&config(), std::time::Duration::from_secs(5)).unwrap();
    let mut missing: Vec<(&str, &str)> =
        fetched.missing.iter().map(|(provider, why)| (provider.as_str(), why.as_str())).collect();
    missing.sort_unstable();
    let [(main, why), (other, _)] = missing.as_slice() else { panic!("{missing:?}") };
    assert_eq!((*main, *other), ("main", "other"));
    assert!(why.starts_with("the key set file `/nowhere/keys.json` is not readable: No such file"), "{why}");
}
