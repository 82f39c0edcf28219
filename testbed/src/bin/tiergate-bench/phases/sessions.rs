//! Browser sessions: the cookie in the place of the token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{Component, Provider, Redis, repo_root};

use super::{Bench, Found, cold};
use crate::load::Load;
use crate::plot::{Kind, Line, Plot};
use crate::process::resident;
use crate::rounds::{Spread, Subject, interleave};
use crate::service::{Service, readme_config};
use crate::table::Row;

/// Seals the sessions of the bench.
const SECRET: &str = "bench-bench-bench-bench-bench-bench-bench-00";

/// A store with sessions in it.
struct Filled {
    address: String,
    /// As browsers send them.
    cookies: Vec<String>,
    _folder: TempDir,
}

impl Filled {
    /// Fills a SQLite file that no disk slows down.
    fn sqlite(bench: &Bench, count: usize) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
        let address = format!("sqlite:{}", folder.path().join("sessions.db").display());
        Self::fill(bench, address, count, folder)
    }

    fn fill(bench: &Bench, address: String, count: usize, folder: TempDir) -> Result<Self> {
        let cookies = folder.path().join("cookies");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let (status, output) = Component::new("sessions", PathBuf::from(cargo))
            .args(["bench", "--quiet", "--locked", "--bench", "sessions", "--"])
            .args([&address, SECRET, &bench.token, &count.to_string()])
            .arg(&cookies)
            .current_dir(repo_root())
            .within(Duration::from_secs(1800))
            .run()?;
        ensure!(status.success(), "the sessions could not be made: {output}");
        let cookies: Vec<String> = std::fs::read_to_string(&cookies)?.lines().map(str::to_owned).collect();
        ensure!(cookies.len() == count, "{} sessions were made in place of {count}", cookies.len());
        Ok(Self { address, cookies, _folder: folder })
    }

    fn service(&self, bench: &Bench) -> Result<Service> {
        Service::start(&bench.tiergate, &self.config(&bench.provider)?)
    }

    /// The README's config, with a sign-in and this store.
    fn config(&self, provider: &Provider) -> Result<String> {
        let audience = format!("audience: [{}]\n", provider.audience());
        let config = readme_config(provider)?;
        ensure!(config.contains(&audience), "examples/readme/tiergate.yaml has changed");
        let login = format!("{audience}    login: {{ client_id: {WEB_CLIENT}, client_secret: {WEB_CLIENT_SECRET} }}\n");
        let config = config.replace(&audience, &login);
        let address = &self.address;
        Ok(format!(
            "public_url: https://portal.example.com\n{config}sessions: {{ store: \"{address}\", secrets: [\"{SECRET}\"] }}\n"
        ))
    }

    /// The checks of these sessions, as a file.
    fn messages(&self, bench: &Bench, name: &str, count: usize) -> Result<PathBuf> {
        let mut all = Vec::new();
        for cookie in self.cookies.iter().take(count) {
            all.extend(bench.recorded.framed_with("cookie", &format!("theme=dark; {cookie}"))?);
        }
        bench.file(name, &all)
    }
}

pub(crate) fn cookies(bench: &Bench, found: &mut Found) -> Result<()> {
    let count = bench.choose(100_000, 5000);
    let filled = Filled::sqlite(bench, count)?;
    let service = filled.service(bench)?;
    let pid = service.pid()?;
    let before = resident(pid)?.all;
    // Each of them comes by.
    cold::load(bench, service.grpc(), filled.messages(bench, "every-session", count)?, count).run()?;
    let after = resident(pid)?.all;
    let row = Row::new("rss_sessions", "memory with 100 000 sessions", "MB", 120.0, Spread::of([after]));
    let size = if bench.is_quick { format!("a quick run: {count} sessions; ") } else { String::new() };
    found.rows.push(row.note(format!("{size}{:.0} MB before the first of them came by", before)));

    let (bearer, cookie) = (bench.message()?, filled.messages(bench, "session", 1)?);
    let requests = bench.choose(60_000, 15_000);
    let subject = |name, message: &Path| {
        let load = Load::grpc(service.grpc(), message, requests);
        Subject { name, pid: Some(pid), proxy: None, load, decided_by: Some(&service) }
    };
    let series = interleave(&[subject("bearer", &bearer), subject("cookie", &cookie)], bench.choose(7, 3))?;
    if let [bearer, cookie] = series.as_slice() {
        let more = cookie.above(bearer, |sample| sample.cpu);
        found.rows.extend([
            Row::told("cookie_cpu", "gRPC allow by session cookie", "µs", cookie.cpu()),
            Row::told("cookie_above", "· above a cached bearer token over gRPC", "µs", more),
        ]);
    }
    found.keep("cookie", &series);

    let mut points = Vec::new();
    for step in [1, 100, 10_000, 100_000].into_iter().filter(|step| *step <= count) {
        let file = filled.messages(bench, "some-sessions", step)?;
        let load = cold::load(bench, service.grpc(), file, requests.max(step) / 2);
        let subject = Subject { name: "sessions", pid: Some(pid), proxy: None, load, decided_by: Some(&service) };
        let series = interleave(&[subject], 3)?;
        points.extend(series.first().map(|series| (step as f64, series.cpu())));
    }
    found.grown.push(("sessions", "sessions in use", points));
    Ok(())
}

pub(crate) fn replicas(bench: &Bench, found: &mut Found) -> Result<()> {
    let redis = Redis::standalone()?;
    let filled = Filled::fill(bench, redis.url().to_owned(), 1000, tempfile::tempdir()?)?;
    let file = filled.messages(bench, "redis-sessions", 1000)?;
    let services = [filled.service(bench)?, filled.service(bench)?];
    let requests = bench.choose(30_000, 8000);
    let mut points = Vec::new();
    for replicas in 1..=services.len() {
        let mut samples = Vec::new();
        for round in 0..=3 {
            let measured = std::thread::scope(|scope| {
                let running: Vec<_> = services
                    .iter()
                    .take(replicas)
                    .map(|service| {
                        let load = cold::load(bench, service.grpc(), file.clone(), requests);
                        scope.spawn(move || {
                            let pid = Some(service.pid()?);
                            Subject { name: "replica", pid, proxy: None, load, decided_by: Some(service) }.measure()
                        })
                    })
                    .collect();
                let ended = running.into_iter().map(|one| one.join().ok().context("a replica's load panicked")?);
                ended.collect::<Result<Vec<_>>>()
            })?;
            if round > 0 {
                samples.extend(measured.iter().map(|sample| sample.cpu));
            }
        }
        points.push((replicas as f64, Spread::of(samples)));
    }
    let lines = vec![Line { name: "each replica", points }];
    found.plots.push(Plot {
        file: "replicas.svg",
        title: "Replicas that share their sessions in Redis",
        under: "CPU of one replica for a check by session cookie, µs; 1 000 sessions, all replicas busy at once"
            .to_owned(),
        kind: Kind::Lines { x: "replicas", lines },
    });
    Ok(())
}
