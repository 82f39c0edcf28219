//! nginx's routes as a file that its config includes, and the reload.
//!
//! ```text
//! new file ──test──▶ reload ──▶ done
//!              └───────┴──failed──▶ the file from before, and another try later
//! ```

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::time::Instant;

use super::routes::{Target, Wanted};
use crate::backend::route_files;
use crate::config;
use crate::routes::nginx_routes;

/// Reloads are not nearer to each other: each one leaves workers behind that
/// finish their requests.
const APART: Duration = Duration::from_millis(800);
/// How much of a command's output is logged.
const OUTPUT: usize = 4096;

pub(super) struct NginxRoutes {
    settings: config::NginxRoutes,
    /// What nginx runs with, as far as is known.
    live: Option<String>,
    is_first: bool,
    reloaded_at: Option<Instant>,
}

impl NginxRoutes {
    pub(super) fn new(settings: config::NginxRoutes) -> Self {
        Self { settings, live: None, is_first: true, reloaded_at: None }
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

impl Target for NginxRoutes {
    const PROXY: &'static str = "nginx";

    async fn bring(&mut self, wanted: &Wanted) -> anyhow::Result<Option<Duration>> {
        let Wanted { settings, catalogue } = wanted.clone();
        let text = tokio::task::spawn_blocking(move || nginx_routes(&settings, &catalogue)).await??;
        if self.live.as_ref() == Some(&text) {
            return Ok(None);
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
        self.write(text.clone()).await?;
        let judged = run("test", &self.settings.test, self.settings.timeout).await;
        let reloaded = match judged {
            Ok(()) => run("reload", &self.settings.reload, self.settings.timeout).await,
            Err(error) => return self.restore(before, error).await,
        };
        self.reloaded_at = Some(now());
        match reloaded {
            Ok(()) => {
                self.live = Some(text);
                tracing::info!("routes written for nginx");
                Ok(None)
            }
            // An nginx that does not run yet has nothing to reload: it finds these routes when it starts.
            Err(error) if is_first => Err(error),
            Err(error) => self.restore(before, error).await,
        }
    }
}

impl NginxRoutes {
    /// Puts back what nginx could read before, for its next start.
    async fn restore(&self, before: Option<String>, error: anyhow::Error) -> anyhow::Result<Option<Duration>> {
        // Without the file that its config includes nginx could not start at all.
        let Some(before) = before else { return Err(error) };
        self.write(before).await.context("the file from before cannot be put back")?;
        Err(error.context("the file from before was put back"))
    }
}

/// Runs a command to its end, or to the end of its time.
async fn run(key: &'static str, words: &[String], timeout: Duration) -> anyhow::Result<()> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(timeout, command.output()).await;
    let output = ended
        .with_context(|| format!("`{program}` (`routes.nginx.{key}`) did not end within {} s", timeout.as_secs()))?
        .with_context(|| format!("`{program}` (`routes.nginx.{key}`) cannot be run"))?;
    let said = tail(&output.stderr);
    let said = if said.is_empty() { tail(&output.stdout) } else { said };
    if !output.status.success() {
        bail!("`{program}` (`routes.nginx.{key}`) failed with {}: {said}", output.status);
    }
    if !said.is_empty() {
        tracing::info!(command = key, said, "the command said");
    }
    Ok(())
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
