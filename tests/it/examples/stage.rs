//! A running copy of an example behind one proxy, and what its tests ask of it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result, anyhow, ensure};
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::{Example, Gateway, RawResponse, RunningExample, UserAgent};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
/// The proxies that the examples run behind.
pub(super) const PROXIES: [Gateway; 2] = [Gateway::EnvoyGrpc, Gateway::Nginx];

/// How a browser asks for a page.
pub(super) const NAVIGATE: [(&str, &str); 2] = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")];

/// One example behind one proxy.
pub(super) struct Stage {
    pub(super) running: RunningExample,
    marks: AtomicUsize,
}

/// Runs the same through each proxy and reports all that fail. The tests of one
/// example share what runs.
pub(super) fn for_each_proxy(example: Example, check: impl Fn(&Stage) -> Result<()>) {
    let mut failures = Vec::new();
    for proxy in PROXIES {
        let done = stage(example, proxy).and_then(&check);
        if let Err(error) = done {
            failures.push(format!("{}: {error:#}", proxy.name()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// This example behind this proxy, started by the first test that wants it.
pub(super) fn stage(example: Example, proxy: Gateway) -> Result<&'static Stage> {
    type Slot = OnceLock<Result<Stage, String>>;
    static STAGES: Mutex<Vec<(Example, Gateway, &'static Slot)>> = Mutex::new(Vec::new());
    let slot = {
        let mut stages = STAGES.lock().map_err(|_| anyhow!("a test panicked with the list of stages"))?;
        let found =
            stages.iter().find(|(other, behind, _)| (*other, *behind) == (example, proxy)).map(|(.., slot)| *slot);
        found.unwrap_or_else(|| {
            let slot: &'static Slot = Box::leak(Box::default());
            stages.push((example, proxy, slot));
            slot
        })
    };
    let started = slot.get_or_init(|| Stage::start(example, proxy).map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow!("the example did not start: {error}"))
}

impl Stage {
    fn start(example: Example, proxy: Gateway) -> Result<Self> {
        let running = example.start_copy(Path::new(BINARY), proxy)?;
        Ok(Self { running, marks: AtomicUsize::new(0) })
    }

    /// An `Authorization` header with a good token of this person.
    pub(super) fn bearer(&self, person: &str) -> Result<String> {
        Ok(format!("Bearer {}", self.running.provider.token(person)?))
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.url())
    }

    /// Asks as a person, or as nobody.
    pub(super) fn ask(
        &self,
        person: Option<&str>,
        method: &str,
        target: &str,
        body: Option<&str>,
    ) -> Result<RawResponse> {
        let bearer = person.map(|person| self.bearer(person)).transpose()?;
        let mut headers = vec![("Accept", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        headers.extend(body.map(|_| ("Content-Type", "application/json")));
        self.send(method, target, &headers, body.unwrap_or_default())
    }

    /// Sends a request with these headers.
    pub(super) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Result<RawResponse> {
        let address = self.running.proxy.address();
        let host = format!("localhost:{}", address.port());
        let mut all = vec![("Host", host.as_str())];
        all.extend_from_slice(headers);
        request_with_body(address, method, target, &all, body.as_bytes())
            .with_context(|| format!("no answer to {method} {target}"))
    }

    /// A refusal with this status, of which no app heard.
    pub(super) fn refused(
        &self,
        person: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&str>,
        status: u16,
    ) -> Result<RawResponse> {
        let (mark, target) = self.marked(path);
        let answer = self.ask(person, method, &target, body)?;
        let who = person.unwrap_or("anonymous");
        ensure!(
            answer.status == status,
            "{who}: {method} {path}: {} in place of {status}: {}",
            answer.status,
            answer.text()
        );
        ensure!(!self.heard(&mark), "{who}: {method} {path}: the app heard of a refused request");
        Ok(answer)
    }

    /// An answer of an app, of which its log tells.
    pub(super) fn passed(
        &self,
        person: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&str>,
        status: u16,
    ) -> Result<RawResponse> {
        let (mark, target) = self.marked(path);
        let answer = self.ask(person, method, &target, body)?;
        let who = person.unwrap_or("anonymous");
        ensure!(
            answer.status == status,
            "{who}: {method} {path}: {} in place of {status}: {}",
            answer.status,
            answer.text()
        );
        ensure!(self.heard(&mark), "{who}: {method} {path}: no app heard of it");
        Ok(answer)
    }

    /// A target that the log of an app can be searched for.
    pub(super) fn marked(&self, path: &str) -> (String, String) {
        let mark = format!("mark-{}-end", self.marks.fetch_add(1, Ordering::Relaxed));
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}m={mark}");
        (mark, target)
    }

    /// Whether the log of an app tells of this mark.
    pub(super) fn heard(&self, mark: &str) -> bool {
        self.running.app_logs().iter().any(|(_, log)| log.contains(mark))
    }

    /// A browser that opened a page, was sent to sign in, chose an account, and came back to that page.
    pub(super) fn sign_in(&self, path: &str, account: &str) -> Result<UserAgent> {
        let mut browser = UserAgent::new();
        let choice = browser.open(&self.url(path))?;
        ensure!(choice.url().starts_with(self.running.provider.issuer()), "not sent to sign in: {}", choice.told());
        let page = browser.submit(&choice, &[("account", account)])?;
        ensure!((page.status(), page.url()) == (200, self.url(path).as_str()), "did not come back: {}", page.told());
        ensure!(browser.refused_cookies().is_empty(), "a browser refuses {:?}", browser.refused_cookies());
        Ok(browser)
    }
}
