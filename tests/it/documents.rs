//! What README and docs show is what the files hold and the program does.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tiergate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiergate"));
    command.args(arguments).current_dir(root()).env_clear();
    command.output().expect("the program runs")
}

fn assert_succeeds(arguments: &[&str]) -> String {
    let output = tiergate(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_config_in_the_readme_is_the_file_and_loads() {
    let file = "examples/readme/tiergate.yaml";
    assert!(read("README.md").contains(&format!("```yaml\n{}```", read(file))), "README.md shows another {file}");
    assert_succeeds(&["config", "check", "-c", file]);
    let explained =
        tiergate(&["policy", "explain", "-c", file, "GET", "http://localhost/apps/devel/x", "--scope", "access:ea"]);
    assert_eq!(explained.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&explained.stdout).contains("insufficient_tier"));
}

#[test]
fn the_readme_says_how_the_config_of_a_proxy_is_written() {
    let readme = read("README.md");
    let folder = tempfile::tempdir().expect("a folder");
    for (proxy, file) in [("envoy", "envoy.yaml"), ("nginx", "nginx.conf")] {
        assert!(readme.contains(&format!("\ntiergate proxy-config {proxy} -c tiergate.yaml --output {file}\n")));
        let output = folder.path().join(file);
        let to = output.to_str().expect("a path");
        let printed = assert_succeeds(&["proxy-config", proxy, "-c", "examples/readme/tiergate.yaml", "--output", to]);
        assert_eq!(printed, "");
        assert!(fs::read_to_string(&output).expect("the file").contains("127.0.0.1"), "{file}");
    }
}

#[test]
fn the_policy_cases_in_the_docs_are_the_file_and_hold() {
    let file = "examples/readme/cases.yaml";
    assert!(
        read("docs/config.md").contains(&format!("```yaml\n{}```", read(file))),
        "docs/config.md shows another {file}"
    );
    assert_succeeds(&["policy", "test", "-c", "examples/readme/tiergate.yaml", file]);
}

#[test]
fn every_key_of_the_config_is_in_the_docs() {
    let docs = read("docs/config.md");
    let schema: Value = serde_json::from_str(&assert_succeeds(&["config", "schema"])).expect("a schema");
    let mut keys = Vec::new();
    collect_keys(&schema, &mut keys);
    assert!(keys.len() > 60, "{} keys", keys.len());
    keys.retain(|key| {
        // `key`, `section.key`, or the section itself in `key.more`.
        let ticked = [format!("`{key}`"), format!(".{key}`"), format!("`{key}."), format!(".{key}.")];
        !ticked.iter().any(|text| docs.contains(text.as_str()))
    });
    assert!(keys.is_empty(), "docs/config.md does not name {keys:?}");
}

fn collect_keys(schema: &Value, keys: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| collect_keys(member, keys));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_keys(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_local_link_of_the_documents_leads_somewhere() {
    let docs = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("a document").file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_string_lossy()));
    let documents: Vec<String> = docs.chain(["README.md".to_owned(), "CHANGELOG.md".to_owned()]).collect();
    assert!(documents.len() > 5, "{documents:?}");
    for document in &documents {
        let text = read(document);
        let folder = Path::new(document).parent().expect("a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or_default();
            let is_local = !file.is_empty() && !file.contains("://");
            assert!(!is_local || root().join(folder).join(file).exists(), "{document} links to {target}");
        }
    }
}

#[test]
fn the_config_of_every_provider_in_the_docs_loads() {
    let text = read("docs/providers.md");
    let blocks: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect();
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(block.as_bytes()).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiergate"));
        command.args(["config", "check", "-c"]).arg(file.path()).env_clear().env("OIDC_CLIENT_SECRET", "a secret");
        let output = command.output().expect("the program runs");
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
