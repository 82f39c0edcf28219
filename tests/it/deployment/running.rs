//! The commands of docker-compose.yml, run: Redis, MariaDB, the development provider, an
//! app, the service with its config and its secrets, and each proxy with the
//! config that the job before it wrote. Paths and addresses of the containers
//! become those of a folder and of loopback; nothing else is changed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tiergate_testbed::{Component, MariaDb, Process, Provider, Ready, UserAgent, free_port, repo_root, tool};

use super::compose::Project;
use super::{items, read, root, said, text};

const WITHIN: Duration = Duration::from_secs(60);
/// For an app to be routed: the service looks, writes; nginx looks every second. With room for a busy machine.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn behind_envoy_as_compose_runs_it() {
    let mut place = Place::prepare();
    place.start();
    place.write_proxy_config("envoy", None);
    let arguments = place.command("envoy");
    let envoy = tool("envoy").expect("installed");
    let validated = Command::new(&envoy).args(["--mode", "validate"]).args(&arguments).output().expect("it runs");
    assert!(validated.status.success(), "{}", said(&validated));
    assert_eq!(items(place.service("envoy"), "/entrypoint"), ["envoy"]);
    let proxy = Component::new("envoy", envoy).args(arguments).start().expect("it starts");
    place.story(proxy, "envoy");
}

#[test]
fn behind_nginx_as_compose_runs_it() {
    let mut place = Place::prepare();
    place.start();
    place.write_proxy_config("nginx", None);
    assert_eq!(items(place.service("nginx"), "/entrypoint"), ["bash"]);
    let proxy = Component::new("nginx", "/bin/bash").args(place.command("nginx")).env("PATH", path_with_tools());
    let proxy = proxy.start().expect("it starts");
    place.wait_healthy("nginx", place.ports.proxy);
    // Its container takes up another config without a restart, and none that is wrong.
    let config = place.folder.path().join("run/nginx.conf");
    let right = fs::read_to_string(&config).expect("text");
    let other = free_port().expect("a port");
    place.write_proxy_config("nginx", Some(other));
    place.wait_healthy("nginx", other);
    // The workers of before have ended: who answers there again has read the config again.
    wait("the old port is closed", || !place.is_healthy("nginx", place.ports.proxy).status.success());
    let later = place.folder.path().join("later");
    fs::write(&config, format!("include {};\n{right}", later.display())).expect("written");
    proxy.wait_log("[emerg]", WITHIN).expect("nginx says what is wrong");
    place.wait_healthy("nginx", other);
    assert!(!place.is_healthy("nginx", place.ports.proxy).status.success(), "taken up without what it lacks");
    // What it lacked comes, as a name does with its container, and no file that is watched changes.
    fs::write(&later, "").expect("written");
    // Nothing is left to take up: what the story sees is the routes alone.
    place.wait_healthy("nginx", place.ports.proxy);
    place.story(proxy, "nginx");
}

struct Ports {
    proxy: u16,
    provider: u16,
    redis: u16,
    admin: u16,
    app: u16,
}

/// A project with its files, their paths and addresses made to lead here.
struct Place {
    _project: Project,
    folder: TempDir,
    model: Value,
    ports: Ports,
    words: Vec<(String, String)>,
    redis: Option<Process>,
    mariadb: MariaDb,
    others: Vec<Process>,
    provider: Option<Provider>,
}

impl Place {
    fn prepare() -> Self {
        let project = Project::with_secrets();
        let model = project.model();
        let folder = tempfile::tempdir().expect("a folder");
        let port = || free_port().expect("a port");
        let ports = Ports { proxy: port(), provider: port(), redis: port(), admin: port(), app: port() };
        let here = folder.path().display().to_string();
        let secrets = project.path().join("deploy/secrets");
        let mut words = vec![
            ("/run/secrets".to_owned(), secrets.display().to_string()),
            ("/run/tiergate".to_owned(), format!("{here}/run")),
            ("/etc/tiergate".to_owned(), format!("{here}/etc")),
            ("/tmp/nginx".to_owned(), format!("{here}/nginx")),
            (
                "/usr/local/bin/tiergate-nginx".to_owned(),
                repo_root().join("deploy/compose/nginx.sh").display().to_string(),
            ),
            ("127.0.0.1:9190".to_owned(), format!("127.0.0.1:{}", ports.admin)),
            ("localhost:8080".to_owned(), format!("localhost:{}", ports.proxy)),
            ("http://tiergate:8080".to_owned(), format!("http://127.0.0.1:{}", ports.provider)),
            ("@redis:6379".to_owned(), format!("@127.0.0.1:{}", ports.redis)),
        ];
        for name in model["services"].as_object().expect("services").keys().filter(|name| name.contains('-')) {
            words.push((format!("http://{name}:8000"), format!("http://127.0.0.1:{}", ports.app)));
        }
        let mariadb = MariaDb::start().expect("it starts");
        let place = Self {
            _project: project,
            folder,
            model,
            ports,
            words,
            redis: None,
            mariadb,
            others: Vec::new(),
            provider: None,
        };
        for name in ["run", "etc/apps.d", "redis", "state"] {
            fs::create_dir_all(place.folder.path().join(name)).expect("made");
        }
        place.mount();
        place.edit(&secrets.join("redis_url"));
        // What the image of MariaDB makes at its start, with another password.
        let url = secrets.join("directory_url");
        assert!(fs::read_to_string(&url).expect("text").ends_with("@mariadb:3306/tiergate\n"));
        fs::remove_file(&url).expect("removed");
        fs::write(&url, place.mariadb.database().expect("made")).expect("written");
        place
    }

    /// What the service mounts from the repository.
    fn mount(&self) {
        for volume in items(self.service("tiergate"), "/volumes") {
            if text(volume, "/type") != "bind" {
                continue;
            }
            let source = text(volume, "/source").split_once("/deploy/").expect("below deploy").1;
            let (source, target) =
                (root().join("deploy").join(source), PathBuf::from(self.here(text(volume, "/target"))));
            let files: Vec<PathBuf> = match fs::read_dir(&source) {
                Ok(entries) => entries.map(|entry| entry.expect("an entry").path()).collect(),
                Err(_) => vec![source.clone()],
            };
            for file in files {
                let copy =
                    if source.is_dir() { target.join(file.file_name().expect("a name")) } else { target.clone() };
                fs::copy(&file, &copy).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                self.edit(&copy);
            }
        }
    }

    fn edit(&self, file: &Path) {
        let edited = self.here(&fs::read_to_string(file).expect("text"));
        fs::remove_file(file).expect("removed");
        fs::write(file, edited).expect("written");
    }

    /// A text of the containers, with the paths and addresses of here.
    fn here(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    fn service(&self, name: &str) -> &Value {
        &self.model["services"][name]
    }

    fn words_at(&self, name: &str, pointer: &str) -> Vec<String> {
        let words = items(self.service(name), pointer);
        assert!(!words.is_empty(), "{name} has no {pointer}");
        // Compose prints a dollar as two, as its file has it.
        words.iter().map(|word| self.here(&word.as_str().expect("a text").replace("$$", "$"))).collect()
    }

    fn command(&self, name: &str) -> Vec<String> {
        self.words_at(name, "/command")
    }

    fn tiergate(&self, arguments: &[String]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiergate"));
        command.args(arguments).env_clear().current_dir(self.folder.path().join("state")).output().expect("it runs")
    }

    /// Everything but the proxy, in the order of `depends_on`.
    fn start(&mut self) {
        let port = self.ports.redis;
        let command = self.command("redis");
        let redis = Component::new("redis", tool(&command[0]).expect("installed"))
            .args(command[1..].to_vec())
            .args(["--port".to_owned(), port.to_string(), "--bind".to_owned(), "127.0.0.1".to_owned()])
            .current_dir(self.folder.path().join("redis"))
            .ready(Ready::Tcp(loopback(port)));
        self.redis = Some(redis.start().expect("it starts"));
        let health = self.words_at("redis", "/healthcheck/test");
        let asked =
            health[1].replace("redis-cli", &format!("{} -p {port}", tool("redis-cli").expect("installed").display()));
        let healthy = Command::new("sh").args(["-c", &asked]).output().expect("sh runs");
        assert!(health[0] == "CMD-SHELL" && healthy.status.success(), "{asked}: {}", said(&healthy));

        let address = loopback(self.ports.provider).to_string();
        let arguments: Vec<String> =
            self.command("identity").iter().map(|word| word.replace("0.0.0.0:8080", &address)).collect();
        self.provider = Provider::from_arguments(&arguments).expect("it starts");
        let health = self.words_at("identity", "/healthcheck/test");
        let asked: Vec<String> = health[2..].iter().map(|word| word.replace("127.0.0.1:8080", &address)).collect();
        assert!(Provider::from_arguments(&asked).expect("healthy").is_none());

        let port = self.ports.app.to_string();
        let command = self.command("stable-hazard");
        let arguments = command[1..].iter().map(|word| word.replace("0.0.0.0", "127.0.0.1").replace("8000", &port));
        let app = Component::new("app", tool("python").expect("installed"))
            .args(["-m".to_owned(), command[0].clone()])
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(repo_root().join("examples/seismic-portal"))
            .ready(Ready::Tcp(loopback(self.ports.app)));
        self.others.push(app.start().expect("it starts"));
        let health = self.words_at("stable-hazard", "/healthcheck/test");
        let asked: Vec<String> = health[2..].iter().map(|word| word.replace("8000", &port)).collect();
        let healthy = Command::new(tool("python").expect("installed")).args(asked).output().expect("it runs");
        assert!(healthy.status.success(), "{}", said(&healthy));

        let command = self.command("tiergate");
        let check = ["config", "check", &command[1], &command[2]].map(str::to_owned);
        let checked = self.tiergate(&check);
        assert!(checked.status.success(), "{}", said(&checked));
        let mut service = Component::new("tiergate", env!("CARGO_BIN_EXE_tiergate")).args(command);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIERGATE_")) {
            service = service.without_env(name);
        }
        let service = service
            .current_dir(self.folder.path().join("state"))
            .ready(Ready::File(self.folder.path().join("run/http.sock")))
            .ready(Ready::Http(loopback(self.ports.admin), "/livez".to_owned(), 200));
        self.others.push(service.start().expect("it starts"));
    }

    /// The job that runs before a proxy; with a port of the proxy other than that of Compose.
    fn write_proxy_config(&self, proxy: &str, port: Option<u16>) {
        let address = loopback(port.unwrap_or(self.ports.proxy)).to_string();
        let command = self.command(&format!("{proxy}-config"));
        let arguments: Vec<String> = command.iter().map(|word| word.replace("0.0.0.0:8080", &address)).collect();
        assert!(command != arguments, "{command:?} names no address");
        let written = self.tiergate(&arguments);
        assert!(written.status.success() && written.stdout.is_empty(), "{}", said(&written));
    }

    fn is_healthy(&self, proxy: &str, port: u16) -> Output {
        let test = self.words_at(proxy, "/healthcheck/test");
        let asked = test[3].replace("/dev/tcp/127.0.0.1/8080", &format!("/dev/tcp/127.0.0.1/{port}"));
        assert!(test[..3] == ["CMD", "bash", "-c"] && asked != test[3], "{test:?}");
        Command::new("bash").args(["-c", &asked]).output().expect("bash runs")
    }

    fn wait_healthy(&self, proxy: &str, port: u16) {
        wait(&format!("{proxy} on {port}"), || self.is_healthy(proxy, port).status.success());
    }

    /// The folder of apps is all that changes.
    fn an_app_comes_and_goes(&self, browser: &mut UserAgent, proxy: &Process, name: &str) {
        let base = format!("http://localhost:{}", self.ports.proxy);
        let (wanted, neighbour) = (format!("{base}/apps/stable/notes/"), format!("{base}/apps/stable/hazard/"));
        let written = || {
            ["envoy.yaml", "nginx.conf"].map(|file| fs::read_to_string(self.folder.path().join("run").join(file)).ok())
        };
        let (before, pid) = (written(), proxy.pid());
        let mut routed_within = |routed: bool, within: Duration| {
            let begun = Instant::now();
            loop {
                let visit = browser.open(&wanted).expect("an answer");
                if (visit.status() == 200 && visit.url() == wanted) == routed {
                    assert!(!routed || visit.text().contains("Hazard"), "{name}: {}", visit.text());
                    return;
                }
                assert!([200, 403, 404].contains(&visit.status()), "{name}: {}", visit.trail());
                assert!(begun.elapsed() < within, "{name}: routed is not {routed} after {within:?}: {}", visit.trail());
                let other = browser.open(&neighbour).expect("an answer");
                assert_eq!(other.status(), 200, "{name}: {}", other.trail());
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        routed_within(false, Duration::ZERO);
        let file = self.folder.path().join("etc/apps.d/notes.yaml");
        fs::write(&file, format!("tier: stable\nupstream: http://127.0.0.1:{}\ntitle: Notes\n", self.ports.app))
            .expect("written");
        routed_within(true, SOON);
        let stranger = UserAgent::new().open(&wanted).expect("an answer");
        assert!(stranger.url().starts_with(&format!("{base}/provider/authorize")), "{name}: {}", stranger.trail());
        fs::remove_file(&file).expect("removed");
        // The check refuses from then on; the routes follow.
        routed_within(false, SOON);
        for file in ["envoy/routes.json", "nginx/routes.conf"] {
            let file = self.folder.path().join("run").join(file);
            wait("the route goes", || !fs::read_to_string(&file).expect("text").contains("stable/notes"));
        }
        assert!(written() == before && proxy.pid() == pid, "{name}: more than the routes has changed");
    }

    /// Somebody signs in and sees what is theirs; an app comes and goes; Redis restarts, and they are still there; the service goes, and nobody gets in.
    fn story(mut self, mut proxy: Process, name: &str) {
        self.wait_healthy(name, self.ports.proxy);
        // The first container of all that is healthy when its keys are there.
        let health = self.words_at("tiergate", "/healthcheck/test");
        assert_eq!(health[..2], ["CMD", "/usr/local/bin/tiergate"]);
        wait("the service is ready", || self.tiergate(&health[2..]).status.success());

        let base = format!("http://localhost:{}", self.ports.proxy);
        let wanted = format!("{base}/apps/stable/hazard/");
        let mut browser = UserAgent::new();
        let page = browser.open(&wanted).expect("an answer");
        assert!(page.url().starts_with(&format!("{base}/provider/authorize")), "{}", page.trail());
        let visit = browser.submit(&page, &[("account", "stable")]).expect("an answer");
        assert!(visit.url() == wanted && visit.status() == 200, "{}", visit.trail());
        assert!(visit.text().contains("Hazard"), "{}", visit.text());
        let denied = browser.open(&format!("{base}/apps/devel/hazard/")).expect("an answer");
        assert_eq!(denied.status(), 403, "{}", denied.trail());

        self.an_app_comes_and_goes(&mut browser, &proxy, name);

        self.redis.as_mut().expect("running").restart().expect("it starts");
        let deadline = Instant::now() + WITHIN;
        loop {
            let visit = browser.open(&wanted).expect("an answer");
            if visit.status() == 200 && visit.url() == wanted {
                break;
            }
            let service = self.others.last().map(Process::log).unwrap_or_default();
            assert_eq!(visit.status(), 503, "the session is lost with Redis: {}\n{service}", visit.trail());
            assert!(Instant::now() < deadline, "no session after the restart of Redis: {}\n{service}", visit.trail());
            std::thread::sleep(Duration::from_millis(100));
        }

        let mut service = self.others.pop().expect("the service");
        service.terminate();
        let grace =
            text(self.service("tiergate"), "/stop_grace_period").trim_end_matches('s').parse().expect("seconds");
        let ended = service.wait_exit(Duration::from_secs(grace)).expect("asked");
        assert!(ended.is_some_and(|status| status.success()), "the service outstays its {grace} s");
        let answer = browser.open(&wanted).expect("an answer");
        assert_eq!(answer.status(), 503, "{}", answer.trail());
        assert!(!self.is_healthy(name, self.ports.proxy).status.success(), "the health check sees nothing");
        proxy.stop();
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn path_with_tools() -> String {
    let tools = tool("nginx").expect("installed");
    format!("{}:/usr/sbin:/usr/bin:/bin", tools.parent().expect("a folder").display())
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the image does by itself is what Compose tells it.
#[test]
fn the_image_and_compose_say_the_same() {
    let model = Project::with_secrets().model();
    let dockerfile = read("Dockerfile");
    let json = |pointer: &str| {
        let words: Vec<String> = items(&model["services"]["tiergate"], pointer).iter().map(Value::to_string).collect();
        format!("[{}]", words.join(", "))
    };
    assert!(dockerfile.contains(&format!("\nCMD {}\n", json("/command"))), "{}", json("/command"));
    let health = json("/healthcheck/test").replacen("\"CMD\", ", "", 1);
    assert!(dockerfile.contains(&format!("    CMD {health}\n")), "{health}");
}
