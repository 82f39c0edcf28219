//! Chromium, driven over WebDriver: real pages, tabs, cookies and WebSockets.
//!
//! Its methods are async, because the driver's client is; a test that uses one
//! is a `#[tokio::test]`. End it with [`Browser::quit`]; dropping it ends the
//! driver and with it the browser.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, WindowHandle};

use crate::component::{Component, Process, Ready, retry_taken_port};
use crate::raw_http::request_with_body;
use crate::{free_port, repo_root, tool};

/// How long a page may take to show what a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1000,700",
    "--lang=en",
];

/// A running browser with a profile of its own.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    process: Process,
    address: SocketAddr,
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let (process, address) = tokio::task::spawn_blocking(|| retry_taken_port(start_driver)).await??;
        let mut capabilities = ChromeCapabilities::new();
        for flag in FLAGS {
            capabilities.add_arg(flag)?;
        }
        let profile = process.scratch().join("profile");
        capabilities.add_arg(&format!("--user-data-dir={}", profile.display()))?;
        capabilities.set_binary(tool("chromium")?.to_str().context("a path that is not UTF-8")?)?;
        capabilities.set("goog:loggingPrefs", json!({"browser": "ALL"}))?;
        let driver = WebDriver::new(&format!("http://{address}"), capabilities)
            .await
            .with_context(|| format!("chromium did not start; the driver wrote:\n{}", process.log()))?;
        driver.set_page_load_timeout(PATIENCE).await?;
        Ok(Self { driver, process, address })
    }

    /// The driver's own client, for what is not here.
    pub fn driver(&self) -> &WebDriver {
        &self.driver
    }

    /// What the driver has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Navigates, and waits until the page has loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.driver.goto(url).await.with_context(|| format!("cannot open {url}"))
    }

    /// Starts a navigation and does not wait for it.
    pub async fn start_opening(&self, url: &str) -> Result<()> {
        self.run("setTimeout(() => { location.href = arguments[0] }, 0)", &[json!(url)]).await.map(drop)
    }

    /// The URL in the address bar.
    pub async fn url(&self) -> Result<String> {
        Ok(self.driver.current_url().await?.to_string())
    }

    /// The text of the page.
    pub async fn text(&self) -> Result<String> {
        let text = self.run("return document.body ? document.body.innerText : ''", &[]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the address bar holds this URL.
    pub async fn wait_url(&self, url: &str) -> Result<()> {
        self.wait(&format!("the URL `{url}`"), "return location.href === arguments[0]", &[json!(url)]).await
    }

    /// Waits until the page shows this text.
    pub async fn wait_text(&self, text: &str) -> Result<()> {
        let script = "return !!document.body && document.body.innerText.includes(arguments[0])";
        self.wait(&format!("the text `{text}`"), script, &[json!(text)]).await
    }

    /// Waits until a script says true.
    pub async fn wait(&self, what: &str, script: &str, arguments: &[Value]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Between two documents a script has nowhere to run.
            if self.run(script, arguments).await.is_ok_and(|answer| answer == Value::Bool(true)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (url, text) = (self.url().await.unwrap_or_default(), self.text().await.unwrap_or_default());
                let screenshot = self.screenshot("not-there").await.unwrap_or_default();
                bail!("waited for {what}; the page is {url}: {text:?} (screenshot: {})", screenshot.display());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Clicks the first element that fits a CSS selector, once it is there.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let script = "return !!document.querySelector(arguments[0])";
        self.wait(&format!("an element `{selector}`"), script, &[json!(selector)]).await?;
        Ok(self.driver.find(By::Css(selector)).await?.click().await?)
    }

    /// Types into the first element that fits a CSS selector, once it is there.
    pub async fn type_into(&self, selector: &str, text: &str) -> Result<()> {
        let script = "return !!document.querySelector(arguments[0])";
        self.wait(&format!("an element `{selector}`"), script, &[json!(selector)]).await?;
        Ok(self.driver.find(By::Css(selector)).await?.send_keys(text).await?)
    }

    /// Runs a script in the page; what it returns.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        Ok(self.driver.execute(script, arguments.to_vec()).await?.json().clone())
    }

    /// Runs an async function body in the page; what it resolves to, or `{"error": …}`.
    pub async fn run_async(&self, body: &str, arguments: &[Value]) -> Result<Value> {
        let script = format!(
            "const args = [...arguments]; const done = args.pop();\
             (async (...arguments) => {{ {body} }})(...args).then(done, error => done({{error: String(error)}}))"
        );
        Ok(self.driver.execute_async(&script, arguments.to_vec()).await?.json().clone())
    }

    /// `fetch` from the page: the status and the body.
    pub async fn fetch(&self, url: &str) -> Result<(u16, String)> {
        let body = "const answer = await fetch(arguments[0], {headers: {accept: 'application/json'}});\
                    return [answer.status, await answer.text()]";
        let answer = self.run_async(body, &[json!(url)]).await?;
        serde_json::from_value(answer.clone()).with_context(|| format!("fetch of {url} came to {answer}"))
    }

    /// A cookie of the page's host by its name: its value, also of one that scripts cannot read.
    pub async fn cookie(&self, name: &str) -> Result<Option<Cookie>> {
        let all = self.driver.get_all_cookies().await?;
        Ok(all.into_iter().find(|cookie| cookie.name == name))
    }

    /// Opens a further tab and makes it the current one.
    pub async fn new_tab(&self) -> Result<WindowHandle> {
        let tab = self.driver.new_tab().await?;
        self.driver.switch_to_window(tab.clone()).await?;
        Ok(tab)
    }

    /// The current tab.
    pub async fn tab(&self) -> Result<WindowHandle> {
        Ok(self.driver.window().await?)
    }

    /// Makes a tab the current one.
    pub async fn switch_to(&self, tab: &WindowHandle) -> Result<()> {
        Ok(self.driver.switch_to_window(tab.clone()).await?)
    }

    /// Saves what the page looks like to `screenshots/NAME.png` in the target folder.
    pub async fn screenshot(&self, name: &str) -> Result<PathBuf> {
        let file = screenshots()?.join(format!("{name}.png"));
        self.driver.screenshot(&file).await?;
        Ok(file)
    }

    /// Sets the size of the view, in CSS pixels, and whether pages are to be dark.
    pub async fn view(&self, width: u32, height: u32, dark: bool) -> Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics)?;
        // A scrollbar beside the page would be cut from its picture, and with it a part of the page.
        self.cdp("Emulation.setScrollbarsHidden", &json!({"hidden": true}))?;
        let scheme = if dark { "dark" } else { "light" };
        self.media(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]).await
    }

    /// Sets media features, such as `forced-colors`.
    pub async fn media(&self, features: &[(&str, &str)]) -> Result<()> {
        let features: Vec<Value> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": features})).map(drop)
    }

    /// Whether pages may run scripts of their own; those of the test run all the same.
    pub async fn scripts(&self, allowed: bool) -> Result<()> {
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({"value": !allowed})).map(drop)
    }

    /// The languages that pages are told (`Accept-Language`).
    pub async fn languages(&self, languages: &str) -> Result<()> {
        let agent = self.run("return navigator.userAgent", &[]).await?;
        let agent = json!({"userAgent": agent, "acceptLanguage": languages});
        self.cdp("Emulation.setUserAgentOverride", &agent).map(drop)
    }

    /// Presses a key, such as `Tab`.
    pub async fn press(&self, key: &str, code: u32) -> Result<()> {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.cdp("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Saves the whole page, also what is below the view, to `screenshots/NAME.png` in the target folder.
    pub async fn picture(&self, name: &str) -> Result<PathBuf> {
        let answer = self.cdp("Page.captureScreenshot", &json!({"captureBeyondViewport": true}))?;
        let encoded = answer.get("data").and_then(Value::as_str).context("no picture")?;
        let file = screenshots()?.join(format!("{name}.png"));
        std::fs::write(&file, base64::engine::general_purpose::STANDARD.decode(encoded)?)?;
        Ok(file)
    }

    /// What axe-core finds wrong with the page, one line each.
    pub async fn axe(&self) -> Result<Vec<String>> {
        let path = repo_root().join(".tools/npm/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(&path).with_context(|| format!("`{}`: run `make setup`", path.display()))?;
        self.run(&format!("{axe}; return true"), &[]).await?;
        let body = "const found = await axe.run(document, {resultTypes: ['violations']});\
                    return found.violations.flatMap(rule => rule.nodes.map(node =>\
                      `${rule.id}: ${rule.help}: ${node.html} ${node.any.concat(node.all).map(check => check.message).join('; ')}`))";
        let found = self.run_async(body, &[]).await?;
        serde_json::from_value(found.clone()).with_context(|| format!("axe-core came to {found}"))
    }

    /// A command of the browser's own protocol, which the driver hands on.
    fn cdp(&self, command: &str, parameters: &Value) -> Result<Value> {
        let path = format!("/session/{}/goog/cdp/execute", self.driver.session_id());
        let body = json!({"cmd": command, "params": parameters}).to_string();
        let headers = [("Content-Type", "application/json")];
        let answer = request_with_body(self.address, "POST", &path, &headers, body.as_bytes())?.json()?;
        let value = answer.get("value").cloned().unwrap_or_default();
        match value.get("error") {
            Some(error) => bail!("{command}: {error}"),
            None => Ok(value),
        }
    }

    /// What pages have written to the console since the last call, one message a line.
    pub async fn console(&self) -> Result<Vec<String>> {
        let path = format!("/session/{}/se/log", self.driver.session_id());
        let headers = [("Content-Type", "application/json")];
        let answer = request_with_body(self.address, "POST", &path, &headers, br#"{"type": "browser"}"#)?.json()?;
        let entries = answer.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(entries.iter().filter_map(|entry| Some(entry.get("message")?.as_str()?.to_owned())).collect())
    }

    /// Ends the browser, then the driver.
    pub async fn quit(self) -> Result<()> {
        Ok(self.driver.quit().await?)
    }
}

/// Where pictures are kept.
fn screenshots() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo_root().join("target"), PathBuf::from);
    let folder = target.join("screenshots");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn start_driver() -> Result<(Process, SocketAddr)> {
    let port = free_port()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let process = Component::new("chromedriver", tool("chromedriver")?)
        .arg(format!("--port={port}"))
        .ready(Ready::Http(address, "/status".to_owned(), 200))
        .start()?;
    Ok((process, address))
}
