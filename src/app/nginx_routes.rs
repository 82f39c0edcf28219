//! nginx's routes as a file that its config includes, and the reload.
//!
//! ```text
//! new file ──test──▶ reload ──▶ done
//!              └───────┴──failed──▶ the same without names that do not resolve
//!                                     └──failed──▶ the file from before, and another try later
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::routes::{Target, Wanted};
use crate::backend::route_files;
use crate::config;
use crate::routes::nginx_routes_without;

/// Reloads are not nearer to each other: each one leaves workers behind that
/// finish their requests.
const APART: Duration = Duration::from_millis(800);
/// How long one name may take to resolve.
const LOOKUP: Duration = Duration::from_secs(1);
/// From one look at names that did not resolve to the next.
const NAMES_AGAIN: Duration = Duration::from_secs(5);
/// How long the rest of its output is awaited once a command has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How much of a command's output is logged.
const OUTPUT: usize = 4096;

pub(super) struct NginxRoutes {
    settings: config::NginxRoutes,
    /// What nginx runs with, as far as is known.
    live: Option<String>,
    /// The names of upstreams that are left out of it.
    absent: BTreeSet<String>,
    is_first: bool,
    reloaded_at: Option<Instant>,
}

impl NginxRoutes {
    pub(super) fn new(settings: config::NginxRoutes) -> Self {
        Self { settings, live: None, absent: BTreeSet::new(), is_first: true, reloaded_at: None }
    }

    async fn write(&self, text: String) -> anyhow::Result<()> {
        let path = self.settings.file.clone();
        let written = tokio::task::spawn_blocking(move || route_files::replace(&path, &text));
        written
            .await?
            .with_context(|| format!("`{}` (`routes.nginx.file`) cannot be written", shown(&self.settings.file)))
    }

    async fn before(&self) -> anyhow::Result<Option<String>> {
        let path = self.settings.file.clone();
        let read = tokio::task::spawn_blocking(move || route_files::read(&path)).await?;
        read.with_context(|| format!("`{}` (`routes.nginx.file`) cannot be read", shown(&self.settings.file)))
    }
}

/// How far a new file came before it failed.
struct Failed {
    at_reload: bool,
    error: anyhow::Error,
}

impl Target for NginxRoutes {
    const PROXY: &'static str = "nginx";

    async fn bring(&mut self, wanted: &Wanted) -> anyhow::Result<Option<Duration>> {
        let all = text(wanted, &BTreeSet::new()).await?;
        if self.live.as_ref() == Some(&all) {
            return Ok(None);
        }
        if self.waits_for_names(wanted).await? {
            return Ok(Some(NAMES_AGAIN));
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        if let Some(before) = self.reloaded_at {
            let since = now().saturating_duration_since(before);
            if since < APART {
                // What is wanted until then goes into the same reload.
                return Ok(Some(APART.saturating_sub(since)));
            }
        }
        let before = self.before().await?;
        self.absent.clear();
        let Err(failed) = self.put(all).await else { return Ok(None) };
        let failed = match self.put_without_absent(wanted, failed).await {
            Ok(()) => return Ok(Some(NAMES_AGAIN)),
            Err(failed) => failed,
        };
        // An nginx that does not run yet has nothing to reload: it finds these routes when it starts.
        if is_first && failed.at_reload { Err(failed.error) } else { self.restore(before, failed.error).await }
    }
}

impl NginxRoutes {
    /// Has nginx run with this text.
    async fn put(&mut self, text: String) -> Result<(), Failed> {
        // A reload that fails here may take effect there, so nothing is known until one worked.
        self.live = None;
        let early = |error| Failed { at_reload: false, error };
        self.write(text.clone()).await.map_err(early)?;
        run("test", &self.settings.test, self.settings.timeout).await.map_err(early)?;
        let reloaded = run("reload", &self.settings.reload, self.settings.timeout).await;
        self.reloaded_at = Some(now());
        reloaded.map_err(|error| Failed { at_reload: true, error })?;
        self.live = Some(text);
        tracing::info!("routes written for nginx");
        Ok(())
    }

    /// Tries once more without the upstreams whose names lead nowhere: one of
    /// them is enough for nginx to refuse the whole file.
    async fn put_without_absent(&mut self, wanted: &Wanted, failed: Failed) -> Result<(), Failed> {
        let names = names(wanted);
        let absent = unresolved(names.keys()).await;
        if absent.is_empty() {
            return Err(failed);
        }
        let text = text(wanted, &absent).await.map_err(|error| Failed { at_reload: false, error })?;
        self.put(text).await?;
        tracing::warn!(error = format!("{:#}", failed.error), "nginx refused the routes, and took them in part");
        for (host, apps) in names.iter().filter(|(host, _)| absent.contains(*host)) {
            for app in apps {
                tracing::error!(
                    app,
                    upstream = host,
                    "the name of the upstream does not resolve: answered 502 until it does"
                );
            }
        }
        self.absent = absent;
        Ok(())
    }

    /// Whether nginx runs with all that is wanted but names that still lead nowhere.
    async fn waits_for_names(&self, wanted: &Wanted) -> anyhow::Result<bool> {
        if self.absent.is_empty() || self.live.is_none() {
            return Ok(false);
        }
        let is_same = self.live.as_ref() == Some(&text(wanted, &self.absent).await?);
        Ok(is_same && unresolved(self.absent.iter()).await == self.absent)
    }

    /// Puts back what nginx could read before, for its next start.
    async fn restore(&self, before: Option<String>, error: anyhow::Error) -> anyhow::Result<Option<Duration>> {
        // Without the file that its config includes nginx could not start at all.
        let Some(before) = before else { return Err(error) };
        self.write(before).await.context("the file from before cannot be put back")?;
        Err(error.context("the file from before was put back"))
    }
}

async fn text(wanted: &Wanted, absent: &BTreeSet<String>) -> anyhow::Result<String> {
    let (Wanted { settings, catalogue }, absent) = (wanted.clone(), absent.clone());
    Ok(tokio::task::spawn_blocking(move || nginx_routes_without(&settings, &catalogue, &absent)).await??)
}

/// The host names of upstreams, each with the apps behind it.
fn names(wanted: &Wanted) -> BTreeMap<String, Vec<String>> {
    let apps = wanted.catalogue.apps().iter().map(|app| (&app.upstream, app.id.to_string()));
    let site = wanted.settings.site.iter().map(|site| (site, "routes.site".to_owned()));
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (upstream, app) in apps.chain(site).filter(|(upstream, _)| !upstream.is_address()) {
        names.entry(upstream.address().to_owned()).or_default().push(app);
    }
    names
}

/// Those of the names that lead to no address now.
async fn unresolved(names: impl Iterator<Item = &String>) -> BTreeSet<String> {
    let mut lookups = JoinSet::new();
    for name in names.cloned() {
        lookups.spawn(async move {
            let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name.as_str(), 0))).await;
            let resolves = found.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.next().is_some()));
            (!resolves).then_some(name)
        });
    }
    lookups.join_all().await.into_iter().flatten().collect()
}

/// Runs a command to its end, or to the end of its time.
async fn run(key: &'static str, words: &[String], timeout: Duration) -> anyhow::Result<()> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = tokio::time::timeout(timeout, ended(command)).await;
    let (status, output) = ended
        .with_context(|| format!("`{program}` (`routes.nginx.{key}`) did not end within {} s", timeout.as_secs()))?
        .with_context(|| format!("`{program}` (`routes.nginx.{key}`) cannot be run"))?;
    let [said, printed] = output.map(|output| tail(&output));
    let said = if said.is_empty() { printed } else { said };
    if !status.success() {
        bail!("`{program}` (`routes.nginx.{key}`) failed with {status}: {said}");
    }
    if !said.is_empty() {
        tracing::info!(command = key, said, "the command said");
    }
    Ok(())
}

/// The end of a command and what it wrote until then (errors first). What it
/// left running, such as a daemon, may hold the pipes open for ever.
async fn ended(mut command: Command) -> std::io::Result<(ExitStatus, [Vec<u8>; 2])> {
    let mut child = command.spawn()?;
    let (stderr, stdout) = (child.stderr.take(), child.stdout.take());
    let mut output = [Vec::new(), Vec::new()];
    let [errors, printed] = &mut output;
    let mut reading = Box::pin(async { tokio::join!(read_tail(stderr, errors), read_tail(stdout, printed)) });
    let status = tokio::select! {
        status = child.wait() => {
            let _ = tokio::time::timeout(LAST_WORDS, &mut reading).await;
            status?
        }
        _ = &mut reading => child.wait().await?,
    };
    drop(reading);
    Ok((status, output))
}

/// Reads to the end, and keeps no more than is logged.
async fn read_tail(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    while let Ok(1..) = pipe.read_buf(kept).await {
        let surplus = kept.len().saturating_sub(OUTPUT);
        kept.drain(..surplus);
    }
}

/// The last words of an output, which say why.
fn tail(output: &[u8]) -> String {
    let from = output.len().saturating_sub(OUTPUT);
    String::from_utf8_lossy(output.get(from..).unwrap_or_default()).trim().to_owned()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[expect(clippy::disallowed_methods, reason = "waits are measured on the clock that the runtime sleeps by")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).into()
    }

    #[tokio::test]
    async fn a_command_ends_though_what_it_started_holds_its_output_open() {
        let limit = Duration::from_secs(5);
        run("reload", &words("sleep 20 & true"), limit).await.unwrap();
        let error = run("reload", &words("sleep 20 & echo broken >&2; exit 3"), limit).await.unwrap_err();
        assert!(format!("{error:#}").contains("broken"), "{error:#}");
    }

    #[tokio::test]
    async fn the_end_of_much_output_is_kept_and_time_is_limited() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; echo the end; exit 1";
        let error = run("test", &words(script), Duration::from_secs(30)).await.unwrap_err();
        assert!(format!("{error:#}").ends_with("the end"), "{error:#}");
        let error = run("test", &words("exec sleep 20"), Duration::from_millis(50)).await.unwrap_err();
        assert!(format!("{error:#}").contains("did not end"), "{error:#}");
    }

    #[tokio::test]
    async fn names_that_lead_nowhere_are_told_from_those_that_do() {
        let names = ["localhost", "nowhere.invalid"].map(str::to_owned);
        assert_eq!(unresolved(names.iter()).await, BTreeSet::from(["nowhere.invalid".to_owned()]));
    }
}
