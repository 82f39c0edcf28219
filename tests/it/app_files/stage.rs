//! A service that follows a directory of apps.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tiergate_testbed::{Tiergate, TiergateBuilder, request};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");

/// Nobody can hold `devel` here: who asks for it anonymously gets 401. Without a
/// rule it is 403, with the tier `public` 200.
pub(super) const TIERS: &str = "trusted_proxies: [127.0.0.1/32]
tiers:
  public: { grant: anyone }
  stable: { grant: authenticated }
  devel: { grant: { scopes: [\"access:devel\"] }, includes: [stable] }
";

/// Longer than any change takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

pub(super) struct Stage {
    pub(super) apps: Apps,
    pub(super) service: Tiergate,
}

/// A directory of apps.
pub(super) struct Apps(TempDir);

/// An app of `tier`, with further lines.
pub(super) fn app(tier: &str, more: &str) -> String {
    format!("tier: {tier}\nupstream: http://127.0.0.1:9\n{more}\n")
}

impl Apps {
    pub(super) fn new() -> Self {
        let apps = Self(TempDir::new().unwrap());
        fs::create_dir(apps.directory()).unwrap();
        apps
    }

    /// Other things can stand beside it.
    pub(super) fn directory(&self) -> PathBuf {
        self.0.path().join("apps")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(super) fn config(&self, more: &str) -> String {
        format!("{TIERS}apps_dir: {}\n{more}", self.directory().display())
    }

    /// The config in a file, for commands.
    pub(super) fn config_file(&self, more: &str) -> PathBuf {
        let path = self.0.path().join("tiergate.yaml");
        fs::write(&path, self.config(more)).unwrap();
        path
    }
}

impl Stage {
    pub(super) fn start(apps: Apps) -> Self {
        Self::start_with(apps, "", |builder| builder)
    }

    pub(super) fn start_with(apps: Apps, more: &str, build: impl FnOnce(TiergateBuilder) -> TiergateBuilder) -> Self {
        let service = build(Tiergate::builder(BINARY, &apps.config(more))).start().unwrap();
        Self { apps, service }
    }

    /// What an anonymous GET of `path` is answered with.
    pub(super) fn status(&self, path: &str) -> u16 {
        let headers = [
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "localhost"),
            ("X-Forwarded-Uri", path),
        ];
        request(self.service.http(), "GET", "/authz/forward-auth", &headers).unwrap().status
    }

    /// Waits until `path` is answered with `status`, and says how long it took.
    #[track_caller]
    pub(super) fn becomes(&self, path: &str, status: u16) -> Duration {
        self.until(&format!("{path} is answered with {status}"), || self.status(path) == status)
    }

    #[track_caller]
    pub(super) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < LONG, "{what}: not so\n{}", self.service.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        start.elapsed()
    }

    /// Log lines with all of these texts in them.
    pub(super) fn said(&self, texts: &[&str]) -> usize {
        let log = self.service.log();
        log.lines().filter(|line| texts.iter().all(|text| line.contains(text))).count()
    }

    #[track_caller]
    pub(super) fn says(&self, texts: &[&str]) {
        self.until(&format!("the log says {texts:?}"), || self.said(texts) > 0);
    }

    pub(super) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.service.metric(name, labels).unwrap()
    }

    pub(super) fn reloads(&self, result: &str) -> f64 {
        self.metric("tiergate_policy_reload_total", &[&format!("result=\"{result}\"")])
    }

    /// The hash of the live policy, and that it is the only one.
    pub(super) fn policy(&self) -> String {
        let metrics = self.service.metrics().unwrap();
        let lines: Vec<&str> = metrics.lines().filter(|line| line.starts_with("tiergate_policy_info{")).collect();
        let [line] = lines.as_slice() else { panic!("one policy is live: {lines:?}") };
        let (hash, value) = line.trim_start_matches("tiergate_policy_info{hash=\"").split_once("\"} ").unwrap();
        assert_eq!(value, "1");
        hash.to_owned()
    }

    /// The decision lines about `path`.
    pub(super) fn decisions(&self, path: &str) -> Vec<Value> {
        let lines = self.service.log_lines().into_iter();
        lines.filter(|line| line.get("path").and_then(Value::as_str) == Some(path)).collect()
    }
}

/// Exit code, stdout and stderr of a command.
pub(super) fn run(arguments: &[&str]) -> (i32, String, String) {
    run_in(Path::new("."), arguments)
}

pub(super) fn run_in(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = std::process::Command::new(BINARY);
    command.args(arguments).current_dir(directory).env_clear();
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
