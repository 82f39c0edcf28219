//! Apps that come, move and go under load: no 5xx and no wrong answer from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tiergate_testbed::{Gateway, RunningGateway, Tiergate, Upstream, request, tool};

use super::{BINARY, POLICY, start};

/// From the write of an app's file to its route.
const ROUTED_WITHIN: Duration = Duration::from_secs(2);
/// The same where a reload of nginx, which starts new workers, has to find its time on a busy machine.
const RELOADED_WITHIN: Duration = Duration::from_secs(5);
const STEADY: &str = "/apps/open/steady/x";
const MOVING: &str = "/apps/open/moving/x";
const LOCKED: &str = "/apps/locked/moving/x";
/// How long between two requests of one of the threads that ask.
const PAUSE: Duration = Duration::from_millis(6);
const THREADS: usize = 4;

struct Stage {
    dir: tempfile::TempDir,
    first: Upstream,
    second: Upstream,
    steady: Upstream,
    tiergate: Tiergate,
    gateway: RunningGateway,
}

impl Stage {
    fn start(gateway: Gateway) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("apps.d"))?;
        let at = dir.path().display();
        let (first, second, steady) = (Upstream::start()?, Upstream::start()?, Upstream::start()?);
        let routes = match gateway {
            Gateway::Nginx => {
                std::fs::write(dir.path().join("reload.sh"), format!("kill -HUP \"$(cat '{at}/nginx/nginx.pid')\"\n"))?;
                std::fs::write(dir.path().join("test.sh"), "")?;
                format!(
                    "nginx: {{ file: {at}/live/routes.conf, test: \"sh {at}/test.sh\", reload: \"sh {at}/reload.sh\" }}"
                )
            }
            _ => format!("envoy: {{ dir: {at}/live }}"),
        };
        let config = format!(
            "{POLICY}apps_dir: {at}/apps.d\nroutes: {{ {routes} }}\napps: [{{ name: steady, tier: open, upstream: \"http://127.0.0.1:{}\" }}]\n",
            steady.port()
        );
        let tiergate = Tiergate::start(BINARY, &config)?;
        let gateway = start(gateway, &tiergate)?;
        if gateway.kind() == Gateway::Nginx {
            std::os::unix::fs::symlink(gateway.folder(), dir.path().join("nginx"))?;
        }
        Ok(Self { dir, first, second, steady, tiergate, gateway })
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("apps.d/moving.yaml")
    }

    fn write(&self, tier: &str, upstream: &Upstream) -> Result<()> {
        let text = format!("tier: {tier}\nupstream: http://127.0.0.1:{}\n", upstream.port());
        replace(&self.file(), &text)
    }

    /// Waits until a path is answered like this, and says how long that took.
    fn wait(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if is_so()? {
                let took = begun.elapsed();
                let is_reloaded = self.gateway.kind() == Gateway::Nginx;
                let within = if is_reloaded { RELOADED_WITHIN } else { ROUTED_WITHIN };
                ensure!(took < within, "{what} took {took:?}");
                return Ok(took);
            }
            sleep(Duration::from_millis(10));
        }
        bail!("{what} did not come about\n{}\n{}", self.tiergate.log(), self.gateway.process.log())
    }

    fn status(&self, target: &str) -> Result<u16> {
        Ok(request(self.gateway.address(), "GET", target, &[("Host", "localhost")])?.status)
    }

    fn lands_at(&self, upstream: &Upstream, marker: &str) -> Result<bool> {
        let target = format!("{MOVING}?{marker}");
        let answered = self.status(&target)? == 200;
        Ok(answered && upstream.received().iter().any(|received| received.target.ends_with(marker)))
    }

    /// One app comes, moves to another server, moves to another tier, and goes.
    fn round(&self, number: usize) -> Result<Vec<Duration>> {
        let mark = |step: &str| format!("{step}-{number}");
        self.write("open", &self.first)?;
        let came = self.wait("a new app", || self.lands_at(&self.first, &mark("new")))?;
        self.write("open", &self.second)?;
        let moved = self.wait("another upstream", || self.lands_at(&self.second, &mark("moved")))?;
        self.write("locked", &self.second)?;
        let promoted = self.wait("another tier", || Ok(self.status(MOVING)? == 403 && self.status(LOCKED)? == 401))?;
        std::fs::remove_file(self.file())?;
        let gone = self.wait("an app that is gone", || Ok(self.status(LOCKED)? == 403))?;
        Ok(vec![came, moved, promoted, gone])
    }
}

fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, path)?)
}

/// Asks again and again, and counts the answers by path and status; 0 is no answer.
fn ask(address: SocketAddr, stop: &AtomicBool, answers: &Mutex<BTreeMap<(&'static str, u16), usize>>) {
    while !stop.load(Ordering::Relaxed) {
        for target in [STEADY, MOVING, LOCKED] {
            let status = request(address, "GET", target, &[("Host", "localhost")]).map_or(0, |answer| answer.status);
            *answers.lock().unwrap().entry((target, status)).or_default() += 1;
        }
        sleep(PAUSE);
    }
}

fn apps_change_under_load(gateway: Gateway) {
    let stage = Stage::start(gateway).unwrap();
    let (stop, answers) = (AtomicBool::new(false), Mutex::default());
    let begun = Instant::now();
    let rounds = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| ask(stage.gateway.address(), &stop, &answers));
        }
        let rounds: Vec<_> = (0..8).map(|number| stage.round(number)).collect();
        stop.store(true, Ordering::Relaxed);
        rounds
    });
    let answers = answers.into_inner().unwrap();
    let asked: usize = answers.values().sum();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}: {asked} requests in {seconds:.1} s: {answers:?}, {rounds:?}", gateway.name());
    for round in rounds {
        round.unwrap();
    }
    for ((target, status), count) in &answers {
        let is_right = match *target {
            STEADY => *status == 200,
            // Without a rule and before its route is there, it is nobody's.
            MOVING => matches!(status, 200 | 403 | 404),
            _ => matches!(status, 401 | 403 | 404),
        };
        assert!(is_right, "{count} times {status} at {target}: {answers:?}\n{}", stage.gateway.process.log());
    }
    assert!(asked > 1000, "{asked} requests are no load");
    // Nobody may open the tier `locked`, so what arrived came by the path of the tier `open`.
    let foreign = |upstream: &Upstream| {
        upstream.received().iter().any(|received| received.header("x-forwarded-prefix") != Some("/apps/open/moving"))
    };
    assert!(!foreign(&stage.first) && !foreign(&stage.second));
    assert!(stage.steady.received().len() > 100);
}

#[test]
fn envoy_follows_the_apps_under_load() {
    apps_change_under_load(Gateway::EnvoyGrpc);
}

#[test]
fn nginx_follows_the_apps_under_load() {
    apps_change_under_load(Gateway::Nginx);
}

#[test]
fn a_reload_that_fails_puts_the_file_back_and_is_tried_again() {
    let stage = Stage::start(Gateway::Nginx).unwrap();
    let script = stage.dir.path().join("reload.sh");
    let works = std::fs::read_to_string(&script).unwrap();
    let routes = stage.dir.path().join("live/routes.conf");
    stage.write("open", &stage.first).unwrap();
    stage.wait("a new app", || stage.lands_at(&stage.first, "works")).unwrap();
    let before = std::fs::read_to_string(&routes).unwrap();
    replace(&script, "echo the reload is broken >&2; exit 3\n").unwrap();
    let errors = || stage.tiergate.metric("tiergate_routes_written_total", &["nginx", "error"]).unwrap();
    let counted = errors();
    stage.write("open", &stage.second).unwrap();
    stage.wait("an error that is counted", || Ok(errors() > counted)).unwrap();
    assert_eq!(std::fs::read_to_string(&routes).unwrap(), before);
    assert!(stage.tiergate.log().contains("the reload is broken"), "{}", stage.tiergate.log());
    replace(&script, &works).unwrap();
    let deadline = Instant::now() + Duration::from_secs(40);
    while !stage.lands_at(&stage.second, "again").unwrap() {
        assert!(Instant::now() < deadline, "{}", stage.tiergate.log());
        sleep(Duration::from_millis(100));
    }
    assert_ne!(std::fs::read_to_string(&routes).unwrap(), before);
}

#[test]
fn a_name_that_does_not_resolve_stops_no_other_app() {
    let stage = Stage::start(Gateway::Nginx).unwrap();
    let (nginx, folder) = (tool("nginx").unwrap(), stage.gateway.folder());
    let test = format!(
        "exec '{}' -t -e stderr -p '{folder}' -c '{folder}/nginx.conf'\n",
        nginx.display(),
        folder = folder.display()
    );
    replace(&stage.dir.path().join("test.sh"), &test).unwrap();
    replace(
        &stage.dir.path().join("apps.d/adrift.yaml"),
        "tier: open\nupstream: http://adrift.invalid:8000\nname: adrift\n",
    )
    .unwrap();
    let status = || stage.status("/apps/open/adrift/x");
    let begun = Instant::now();
    while status().unwrap() != 502 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", stage.tiergate.log());
        sleep(Duration::from_millis(20));
    }
    let log = stage.tiergate.log();
    assert!(log.contains("adrift.invalid") && log.contains("open/adrift"), "{log}");
    stage.write("open", &stage.first).unwrap();
    let begun = Instant::now();
    while !stage.lands_at(&stage.first, "beside").unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", stage.tiergate.log());
        sleep(Duration::from_millis(20));
    }
    assert_eq!((status().unwrap(), stage.status(STEADY).unwrap()), (502, 200));
}

#[test]
fn a_second_instance_that_cannot_listen_leaves_the_routes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let config = format!(
        "{POLICY}routes: {{ envoy: {{ dir: {} }} }}\napps: [{{ name: steady, tier: open, upstream: \"http://127.0.0.1:9\" }}]\n",
        live.display()
    );
    let tiergate = Tiergate::start(BINARY, &config).unwrap();
    let routes = || std::fs::read_to_string(live.join("routes.json")).unwrap();
    let before = routes();
    let second = dir.path().join("second.yaml");
    let config = std::fs::read_to_string(tiergate.config_path()).unwrap();
    std::fs::write(&second, config.replace("name: steady", "name: other")).unwrap();
    let ended = std::process::Command::new(BINARY).args(["serve", "-c"]).arg(&second).output().unwrap();
    let said = String::from_utf8_lossy(&[ended.stderr, ended.stdout].concat()).into_owned();
    assert!(!ended.status.success() && said.contains("cannot listen"), "{said}");
    assert_eq!(routes(), before);
}

#[test]
fn a_reload_that_works_and_says_it_failed_is_not_taken_for_undone() {
    let stage = Stage::start(Gateway::Nginx).unwrap();
    stage.write("open", &stage.first).unwrap();
    stage.wait("a new app", || stage.lands_at(&stage.first, "works")).unwrap();
    let script = stage.dir.path().join("reload.sh");
    let works = std::fs::read_to_string(&script).unwrap();
    replace(&script, &format!("{works}sleep 0.3\nexit 3\n")).unwrap();
    let reach = |upstream: &Upstream, marker: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !stage.lands_at(upstream, marker).unwrap() {
            assert!(Instant::now() < deadline, "{}", stage.tiergate.log());
            sleep(Duration::from_millis(20));
        }
    };
    stage.write("open", &stage.second).unwrap();
    reach(&stage.second, "there");
    stage.write("open", &stage.first).unwrap();
    reach(&stage.first, "back");
}
