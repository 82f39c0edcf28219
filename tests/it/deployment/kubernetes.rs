//! The manifests: valid for the oldest and the newest Kubernetes that they are
//! meant for, and consistent with each other and with the samples for gateways.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{documents, items, read, root, run_tool, said, text};

const FOLDER: &str = "deploy/kubernetes";
/// `matchLabelKeys` and the `sleep` of a hook came to everybody with these.
const OLDEST: &str = "1.30";
const NEWEST: &str = "1.37";

/// The manifests, without what only kustomize reads.
fn files() -> Vec<String> {
    let mut files: Vec<String> = fs::read_dir(root().join(FOLDER))
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "kustomization.yaml")
        .collect();
    files.sort();
    files
}

fn all() -> Vec<Value> {
    files().iter().flat_map(|file| documents(&read(format!("{FOLDER}/{file}")))).collect()
}

fn named(kind: &str, name: &str) -> Value {
    let is_it = |document: &Value| text(document, "/kind") == kind && text(document, "/metadata/name") == name;
    all().into_iter().find(is_it).unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn validate(version: &str, paths: &[String]) -> (bool, String) {
    let mut arguments = vec!["--strict", "-k", version];
    arguments.extend(paths.iter().map(String::as_str));
    let output = run_tool("kubernetes-validate", &arguments);
    let said = said(&output);
    // A kind that it does not know is a warning to it.
    (output.status.success() && !said.contains("WARN") && !said.contains("ERROR"), said)
}

#[test]
fn kubernetes_knows_every_field() {
    let paths: Vec<String> = files().iter().map(|file| format!("{FOLDER}/{file}")).collect();
    assert!(paths.len() > 6, "{paths:?}");
    for version in [OLDEST, NEWEST] {
        let (is_valid, said) = validate(version, &paths);
        assert!(is_valid, "Kubernetes {version}:\n{said}");
        assert_eq!(said.matches(" passed for resource ").count(), all().len(), "{said}");
    }
}

#[test]
fn a_field_that_kubernetes_does_not_know_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deployment.yaml");
    for (right, wrong) in [
        ("runAsNonRoot", "runsAsNonRoot"),
        ("terminationGracePeriodSeconds: 40", "terminationGracePeriodSeconds: soon"),
    ] {
        let manifest = read(format!("{FOLDER}/deployment.yaml"));
        assert!(manifest.contains(right), "{right}");
        fs::write(&path, manifest.replace(right, wrong)).expect("written");
        let (is_valid, said) = validate(NEWEST, &[path.to_string_lossy().into_owned()]);
        assert!(!is_valid, "{wrong}: {said}");
    }
}

#[test]
fn kustomize_takes_every_manifest_but_the_example_of_a_secret() {
    let [kustomization] = &documents(&read(format!("{FOLDER}/kustomization.yaml")))[..] else { panic!("one document") };
    let known = ["apiVersion", "kind", "resources", "images"];
    assert!(kustomization.as_object().expect("a map").keys().all(|key| known.contains(&key.as_str())));
    let taken: BTreeSet<&str> = items(kustomization, "/resources").iter().filter_map(Value::as_str).collect();
    let there = files();
    let expected: BTreeSet<&str> =
        there.iter().map(String::as_str).filter(|name| *name != "secret.example.yaml").collect();
    assert_eq!(taken, expected);
    let image = named("Deployment", "tiergate");
    let image = text(&image, "/spec/template/spec/containers/0/image").to_owned();
    let (name, tag) = image.split_once(':').expect("a tag");
    assert_eq!((name, tag), (text(kustomization, "/images/0/name"), text(kustomization, "/images/0/newTag")));
    assert_eq!(tag, env!("CARGO_PKG_VERSION"));
    let namespaces: BTreeSet<_> = all()
        .iter()
        .filter(|document| text(document, "/kind") != "Namespace")
        .map(|document| text(document, "/metadata/namespace").to_owned())
        .collect();
    assert_eq!(namespaces, BTreeSet::from(["tiergate".to_owned()]));
}

/// The profile `restricted` of the Pod Security Standards, and what it leaves out.
#[test]
fn the_pods_have_no_rights() {
    let deployment = named("Deployment", "tiergate");
    let pod = deployment.pointer("/spec/template/spec").expect("a pod");
    for (pointer, value) in [
        ("/automountServiceAccountToken", Value::Bool(false)),
        ("/enableServiceLinks", Value::Bool(false)),
        ("/serviceAccountName", "tiergate".into()),
        ("/securityContext/runAsNonRoot", Value::Bool(true)),
        ("/securityContext/runAsUser", 65532.into()),
        ("/securityContext/seccompProfile/type", "RuntimeDefault".into()),
    ] {
        assert_eq!(pod.pointer(pointer), Some(&value), "{pointer}");
    }
    for absent in ["/hostNetwork", "/hostPID", "/hostIPC"] {
        assert_eq!(pod.pointer(absent), None, "{absent}");
    }
    for container in items(pod, "/containers") {
        for (pointer, value) in [
            ("/securityContext/allowPrivilegeEscalation", Value::Bool(false)),
            ("/securityContext/readOnlyRootFilesystem", Value::Bool(true)),
            ("/securityContext/capabilities/drop/0", "ALL".into()),
        ] {
            assert_eq!(container.pointer(pointer), Some(&value), "{pointer}");
        }
        assert_eq!(container.pointer("/env"), None, "secrets and settings come as files");
        assert!(container.pointer("/resources/limits/memory").is_some());
    }
    let account = named("ServiceAccount", "tiergate");
    assert_eq!(account.pointer("/automountServiceAccountToken"), Some(&Value::Bool(false)));
    let autoscaler = named("HorizontalPodAutoscaler", "tiergate");
    assert!(autoscaler.pointer("/spec/minReplicas").and_then(Value::as_u64) >= Some(2));
    assert_eq!(deployment.pointer("/spec/replicas"), None, "the autoscaler's word");
    let nothing_else = named("NetworkPolicy", "nothing-else");
    assert_eq!(nothing_else.pointer("/spec/podSelector"), Some(&serde_json::json!({})));
    assert_eq!(items(&nothing_else, "/spec/ingress").len() + items(&nothing_else, "/spec/egress").len(), 0);
}

/// The service in the pod, with its real command: the config of the ConfigMap, its files where the pod has them.
#[test]
fn the_config_of_the_config_map_is_valid() {
    let pod = Pod::unpack();
    let output = pod.tiergate(&["config", "check", "-c", &pod.path("/etc/tiergate/tiergate.yaml")]);
    assert!(output.status.success(), "{}", said(&output));
    let deployment = named("Deployment", "tiergate");
    let arguments: Vec<&str> =
        items(&deployment, "/spec/template/spec/containers/0/args").iter().filter_map(Value::as_str).collect();
    assert_eq!(arguments, ["serve", "-c", "/etc/tiergate/tiergate.yaml"], "what the image does too");
    let config = fs::read_to_string(pod.path("/etc/tiergate/tiergate.yaml")).expect("text");
    assert!(!config.contains("/run/secrets") || config.contains(&pod.path("/run/secrets")), "{config}");
}

/// What the sample shows of adding an app: one key more in the ConfigMap of the apps, and the pods are given the whole of it.
#[test]
fn a_key_of_the_config_map_is_an_app() {
    let pod = Pod::unpack();
    let config = pod.path("/etc/tiergate/tiergate.yaml");
    let explain = |path: &str| {
        let url = format!("https://apps.example.com{path}");
        pod.tiergate(&["policy", "explain", "-c", &config, "GET", &url])
    };
    for (path, code) in [("/apps/stable/maps/", 0), ("/apps/ea/reports/", 1), ("/apps/stable/notes/", 1)] {
        let output = explain(path);
        assert_eq!(output.status.code(), Some(code), "{path}: {}", said(&output));
    }
    let notes = PathBuf::from(pod.path("/etc/tiergate/apps.d")).join("notes.yaml");
    pod.write(&notes, &"tier: stable\nupstream: http://notes.apps.svc.cluster.local\n".into());
    let output = explain("/apps/stable/notes/");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // A fault is found before it is applied.
    pod.write(&notes, &"tier: stabel\nupstream: http://notes.apps.svc.cluster.local\n".into());
    let output = pod.tiergate(&["config", "check", "-c", &config]);
    assert!(!output.status.success() && said(&output).contains("notes.yaml:1"), "{}", said(&output));
}

#[test]
fn a_config_map_without_a_secret_that_it_names_is_found() {
    let pod = Pod::unpack();
    fs::remove_file(pod.path("/run/secrets/tiergate/redis-url")).expect("it was there");
    let output = pod.tiergate(&["config", "check", "-c", &pod.path("/etc/tiergate/tiergate.yaml")]);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("redis-url"), "{}", said(&output));
}

/// The files of a pod below a folder, and the paths in the config made to lead there.
struct Pod(tempfile::TempDir);

impl Pod {
    fn unpack() -> Self {
        let pod = Self(tempfile::tempdir().expect("a folder"));
        let deployment = named("Deployment", "tiergate");
        let volumes = items(&deployment, "/spec/template/spec/volumes");
        for mount in items(&deployment, "/spec/template/spec/containers/0/volumeMounts") {
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("a volume of that name");
            let place = PathBuf::from(pod.path(text(mount, "/mountPath")));
            let content = match (volume.get("configMap"), volume.get("secret")) {
                (Some(map), _) => named("ConfigMap", text(map, "/name")).get("data").cloned(),
                (_, Some(secret)) => named("Secret", text(secret, "/secretName")).get("stringData").cloned(),
                (None, None) => None,
            };
            let Some(Value::Object(content)) = content else {
                assert!(volume.get("emptyDir").is_some(), "{volume}");
                fs::create_dir_all(place).expect("made");
                continue;
            };
            let one = mount.get("subPath").and_then(Value::as_str);
            for (name, value) in &content {
                match one {
                    Some(one) if one != name => {}
                    Some(_) => pod.write(&place, value),
                    None => pod.write(&place.join(name), value),
                }
            }
        }
        pod
    }

    fn write(&self, path: &Path, value: &Value) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let mut text = value.as_str().expect("a text").to_owned();
        for place in ["/run/secrets", "/etc/tiergate", "/var/lib/tiergate"] {
            text = text.replace(place, &self.path(place));
        }
        fs::write(path, text).expect("written");
    }

    fn path(&self, path: &str) -> String {
        self.0.path().join(path.trim_start_matches('/')).to_string_lossy().into_owned()
    }

    fn tiergate(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiergate"));
        command.args(arguments).env_clear().current_dir(self.path("/var/lib/tiergate"));
        command.output().expect("it runs")
    }
}

#[test]
fn the_samples_of_gateways_know_every_field() {
    let mut checked = 0;
    for sample in samples() {
        for document in documents(&read(&sample)) {
            if text(&document, "/kind") == "IstioOperator" {
                continue;
            }
            checked += 1;
            let faults = faults(&document);
            assert!(faults.is_empty(), "{sample}: {faults:?}");
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn a_field_that_a_gateway_does_not_know_is_found() {
    let sample = read("examples/envoy-gateway/tiergate.yaml");
    for (right, wrong) in
        [("failOpen: false", "failsOpen: false"), ("port: 9191", "port: grpc"), ("kind: Service,", "")]
    {
        assert!(sample.contains(right), "{right}");
        let found: usize = documents(&sample.replace(right, wrong)).iter().map(|document| faults(document).len()).sum();
        assert!(found > 0, "{wrong}");
    }
}

fn samples() -> Vec<String> {
    let files = [
        "istio/authorization-policy.yaml",
        "istio/extension-provider.yaml",
        "envoy-gateway/tiergate.yaml",
        "gateway-api/httproute.yaml",
    ];
    files.map(|file| format!("examples/{file}")).to_vec()
}

/// What the schema of its kind has against a document (tests/vectors/crds).
fn faults(document: &Value) -> Vec<String> {
    let kind = text(document, "/kind");
    let (group, version) = text(document, "/apiVersion").split_once('/').expect("a group");
    let schema: Value =
        serde_json::from_str(&read(format!("tests/vectors/crds/{group}_{version}_{kind}.json"))).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(document).map(|error| format!("{kind} {}: {error}", error.instance_path())).collect()
}

/// Nowhere is there an answer of its own to where the service is.
#[test]
fn the_gateways_ask_the_service_of_the_manifests() {
    let service = named("Service", "tiergate");
    let ports: BTreeSet<u64> = items(&service, "/spec/ports").iter().filter_map(|port| port["port"].as_u64()).collect();
    assert_eq!(ports, BTreeSet::from([4180, 9190, 9191]));
    let mut asked = 0;
    for sample in samples() {
        for document in documents(&read(&sample)) {
            for reference in references(&document) {
                asked += 1;
                let port = reference["port"].as_u64().expect("a port");
                assert!([4180, 9191].contains(&port), "{sample}: {reference}");
                let namespace = reference.get("namespace").and_then(Value::as_str);
                assert!(namespace.is_none_or(|namespace| namespace == "tiergate"), "{sample}: {reference}");
            }
        }
    }
    assert!(asked > 5, "{asked}");
    let [operator] = &documents(&read("examples/istio/extension-provider.yaml"))[..] else { panic!("one document") };
    let provider = operator.pointer("/spec/meshConfig/extensionProviders/0").expect("a provider");
    let grpc = &provider["envoyExtAuthzGrpc"];
    assert_eq!((text(grpc, "/service"), grpc["port"].as_u64()), ("tiergate.tiergate.svc.cluster.local", Some(9191)));
    assert_eq!((&grpc["failOpen"], text(grpc, "/statusOnError")), (&Value::Bool(false), "503"));
    let policies = documents(&read("examples/istio/authorization-policy.yaml"));
    assert_eq!(text(&policies[0], "/spec/provider/name"), text(provider, "/name"));
    // Who may ask: the namespaces in which the samples have their gateways.
    let policy = named("NetworkPolicy", "tiergate");
    let allowed = items(&policy, "/spec/ingress/0/from/0/namespaceSelector/matchExpressions/0/values");
    assert!(allowed.iter().any(|name| name == text(&policies[0], "/metadata/namespace")), "{allowed:?}");
}

/// Every reference to a Service `tiergate`.
fn references(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(members) => {
            let is_one = members.get("name").is_some_and(|name| name == "tiergate") && members.contains_key("port");
            let below = members.values().flat_map(references);
            is_one.then_some(value).into_iter().chain(below).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
