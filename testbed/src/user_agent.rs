//! A browser without a screen: it keeps cookies as browsers do, follows
//! redirects one step at a time and shows each, and submits forms. Fast enough
//! for a thousand sign-ins at once.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::raw_http::{RawResponse, percent_encode, request_with_body};

const MAX_STEPS: usize = 20;

/// One request of a visit and its answer.
#[derive(Debug, Clone)]
pub struct Step {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The whole URL.
    pub url: String,
    /// What came back.
    pub answer: RawResponse,
}

/// Where a navigation led, by which steps.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Every request in order; there is at least one.
    pub steps: Vec<Step>,
}

impl Visit {
    /// The last step.
    pub fn last(&self) -> Result<&Step> {
        self.steps.last().context("a visit without a step")
    }

    /// The URL in the address bar.
    pub fn url(&self) -> &str {
        self.steps.last().map(|step| step.url.as_str()).unwrap_or_default()
    }

    /// The status of the last answer.
    pub fn status(&self) -> u16 {
        self.steps.last().map(|step| step.answer.status).unwrap_or_default()
    }

    /// The page.
    pub fn text(&self) -> String {
        self.steps.last().map(|step| step.answer.text()).unwrap_or_default()
    }

    /// The first step whose URL holds this text.
    pub fn step(&self, url_part: &str) -> Result<&Step> {
        let found = self.steps.iter().find(|step| step.url.contains(url_part));
        found.with_context(|| format!("no step went to `{url_part}`: {}", self.trail()))
    }

    /// The steps, and the page without its head: for messages.
    pub fn told(&self) -> String {
        let text = self.text();
        let body = text.split_once("<body>").map_or(text.as_str(), |(_, body)| body);
        format!("{}: {body}", self.trail())
    }

    /// The steps in one line, without their queries.
    pub fn trail(&self) -> String {
        let one = |step: &Step| {
            let url = step.url.split('?').next().unwrap_or_default();
            format!("{} {url} {}", step.method, step.answer.status)
        };
        self.steps.iter().map(one).collect::<Vec<_>>().join(" -> ")
    }
}

/// A cookie as the jar keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JarCookie {
    /// The host that set it; ports do not matter to cookies.
    pub host: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its path.
    pub path: String,
    /// The whole `Set-Cookie` value, for tests of its attributes.
    pub set_by: String,
}

/// The browser. Each is a person's own: nothing is shared between two.
#[derive(Debug, Clone, Default)]
pub struct UserAgent {
    cookies: Vec<JarCookie>,
    /// Set-Cookie values that a browser would have refused.
    refused: Vec<String>,
}

impl UserAgent {
    /// A browser without cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Navigates: a GET as from the address bar, then every redirect.
    pub fn open(&mut self, url: &str) -> Result<Visit> {
        self.follow("GET", url.to_owned(), None)
    }

    /// Navigates without following a redirect.
    pub fn step(&mut self, url: &str) -> Result<Step> {
        self.send("GET", url, &NAVIGATION, None)
    }

    /// A request of a script on a page: no navigation, no redirect followed.
    pub fn fetch(&mut self, method: &'static str, url: &str, headers: &[(&str, &str)]) -> Result<RawResponse> {
        let mut all =
            vec![("Accept", "application/json"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin")];
        all.extend_from_slice(headers);
        Ok(self.send(method, url, &all, None)?.answer)
    }

    /// A request of a script with a JSON body.
    pub fn send_json(&mut self, method: &'static str, url: &str, body: &Value) -> Result<RawResponse> {
        let headers = [("Accept", "application/json"), ("Content-Type", "application/json")];
        Ok(self.send(method, url, &headers, Some(&body.to_string()))?.answer)
    }

    /// Submits the form of a page with one more field, as a click on a button does, and follows every redirect.
    pub fn submit(&mut self, page: &Visit, fields: &[(&str, &str)]) -> Result<Visit> {
        let last = page.last()?;
        let form = Form::of(&last.answer.text()).with_context(|| format!("{} shows no form", last.url))?;
        let mut all: Vec<(String, String)> = form.hidden;
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let target = resolve(&last.url, &form.action)?;
        self.post(&target, &origin_of(&last.url)?, &all)
    }

    /// Posts form fields as a page of `origin` would, and follows every redirect.
    pub fn post(&mut self, url: &str, origin: &str, fields: &[(String, String)]) -> Result<Visit> {
        let pairs = fields.iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)));
        self.follow("POST", url.to_owned(), Some((origin.to_owned(), pairs.collect::<Vec<_>>().join("&"))))
    }

    /// The cookies that would go to this URL, as a `Cookie` header value.
    pub fn cookie_header(&self, url: &str) -> Result<String> {
        let url = Url::parse(url)?;
        let fits = |cookie: &&JarCookie| cookie.host == url.host && path_fits(&cookie.path, &url.path);
        let pairs = self.cookies.iter().filter(fits).map(|cookie| format!("{}={}", cookie.name, cookie.value));
        Ok(pairs.collect::<Vec<_>>().join("; "))
    }

    /// Every cookie.
    pub fn cookies(&self) -> &[JarCookie] {
        &self.cookies
    }

    /// The cookie of this name.
    pub fn cookie(&self, name: &str) -> Option<&JarCookie> {
        self.cookies.iter().find(|cookie| cookie.name == name)
    }

    /// Changes or sets the value of a cookie, as somebody who tampers would.
    pub fn set_cookie(&mut self, host: &str, name: &str, value: &str) {
        self.cookies.retain(|cookie| !(cookie.host == host && cookie.name == name));
        self.cookies.push(JarCookie {
            host: host.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            path: "/".to_owned(),
            set_by: String::new(),
        });
    }

    /// Forgets the cookies whose names begin so.
    pub fn forget_cookies(&mut self, name_start: &str) {
        self.cookies.retain(|cookie| !cookie.name.starts_with(name_start));
    }

    /// `Set-Cookie` values that a browser would have refused.
    pub fn refused_cookies(&self) -> &[String] {
        &self.refused
    }

    fn follow(&mut self, method: &'static str, url: String, body: Option<(String, String)>) -> Result<Visit> {
        let mut visit = Visit { steps: Vec::new() };
        let (mut method, mut url, mut body) = (method, url, body);
        loop {
            let mut headers = NAVIGATION.to_vec();
            if let Some((origin, _)) = &body {
                let site = if *origin == origin_of(&url)? { "same-origin" } else { "cross-site" };
                headers.extend([
                    ("Origin", origin.as_str()),
                    ("Sec-Fetch-Site", site),
                    ("Content-Type", "application/x-www-form-urlencoded"),
                ]);
            }
            let step = self.send(method, &url, &headers, body.as_ref().map(|(_, body)| body.as_str()))?;
            let location = step.answer.header("location").map(str::to_owned);
            let status = step.answer.status;
            visit.steps.push(step);
            let Some(location) = location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) else {
                return Ok(visit);
            };
            if visit.steps.len() >= MAX_STEPS {
                bail!("redirected without end: {}", visit.trail());
            }
            url = resolve(&url, &location)?;
            if !matches!(status, 307 | 308) {
                (method, body) = ("GET", None);
            }
        }
    }

    fn send(&mut self, method: &'static str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Result<Step> {
        let parsed = Url::parse(url)?;
        let cookies = self.cookie_header(url)?;
        let authority = format!("{}:{}", parsed.host, parsed.port);
        let mut all = vec![("Host", authority.as_str())];
        all.extend_from_slice(headers);
        if !cookies.is_empty() {
            all.push(("Cookie", &cookies));
        }
        // Both names of this machine lead to the same address.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, parsed.port));
        let target = format!("{}{}", parsed.path, parsed.query);
        let answer = request_with_body(address, method, &target, &all, body.unwrap_or_default().as_bytes())
            .with_context(|| format!("{method} {}", url.split('?').next().unwrap_or_default()))?;
        for value in answer.header_values("set-cookie") {
            self.keep(&parsed.host, value);
        }
        Ok(Step { method, url: url.to_owned(), answer })
    }

    fn keep(&mut self, host: &str, value: &str) {
        let mut parts = value.split(';').map(str::trim);
        let Some((name, content)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (mut path, mut gone, mut secure, mut domain) = ("/", false, false, false);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.to_ascii_lowercase().as_str() {
                "path" => path = value,
                "max-age" => gone = value.parse::<i64>().is_ok_and(|age| age <= 0),
                "expires" => gone = gone || value.contains("1970"),
                "secure" => secure = true,
                "domain" => domain = true,
                _ => {}
            }
        }
        if name.starts_with("__Host-") && (!secure || domain || path != "/") {
            self.refused.push(value.to_owned());
            return;
        }
        self.cookies.retain(|cookie| !(cookie.host == host && cookie.name == name && cookie.path == path));
        if !gone {
            self.cookies.push(JarCookie {
                host: host.to_owned(),
                name: name.to_owned(),
                value: content.to_owned(),
                path: path.to_owned(),
                set_by: value.to_owned(),
            });
        }
    }
}

const NAVIGATION: [(&str, &str); 3] = [
    ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
];

struct Url {
    host: String,
    port: u16,
    path: String,
    query: String,
}

impl Url {
    fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("not an http URL: `{url}`"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
        if !["localhost", "127.0.0.1"].contains(&host) {
            bail!("`{url}` is not on this machine");
        }
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = target.split_at_checked(target.find('?').unwrap_or(target.len())).unwrap_or((target, ""));
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host: host.to_owned(), port: port.parse()?, path: path.to_owned(), query: query.to_owned() })
    }
}

struct Form {
    action: String,
    hidden: Vec<(String, String)>,
}

impl Form {
    /// The first form of a page with its hidden fields.
    fn of(html: &str) -> Option<Self> {
        let (_, rest) = html.split_once("<form")?;
        let (head, rest) = rest.split_once('>')?;
        let body = rest.split("</form>").next().unwrap_or_default();
        let hidden = body.split("<input").skip(1).filter_map(|input| {
            let input = input.split('>').next()?;
            (attribute(input, "type")? == "hidden")
                .then(|| Some((attribute(input, "name")?, attribute(input, "value")?)))?
        });
        Some(Self { action: attribute(head, "action").unwrap_or_default(), hidden: hidden.collect() })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    let signs = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">")];
    let text = signs.iter().fold(value.to_owned(), |text, (escaped, sign)| text.replace(escaped, sign));
    Some(text.replace("&#38;", "&").replace("&#x27;", "'").replace("&#x2f;", "/").replace("&amp;", "&"))
}

fn path_fits(cookie: &str, path: &str) -> bool {
    let start = cookie.trim_end_matches('/');
    path == cookie || path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn origin_of(url: &str) -> Result<String> {
    let url = Url::parse(url)?;
    Ok(format!("http://{}:{}", url.host, url.port))
}

fn resolve(base: &str, reference: &str) -> Result<String> {
    if reference.starts_with("http://") || reference.starts_with("https://") {
        return Ok(reference.to_owned());
    }
    let parsed = Url::parse(base)?;
    let origin = origin_of(base)?;
    match reference.chars().next() {
        None => Ok(base.to_owned()),
        Some('/') => Ok(format!("{origin}{reference}")),
        Some('?') => Ok(format!("{origin}{}{reference}", parsed.path)),
        Some(_) => {
            let folder = parsed.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            Ok(format!("{origin}{folder}/{reference}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_go_by_host_and_path_and_never_by_port() {
        let mut agent = UserAgent::new();
        agent.keep("localhost", "a=1; Path=/; HttpOnly");
        agent.keep("localhost", "b=2; Path=/apps");
        agent.keep("127.0.0.1", "c=3; Path=/");
        assert_eq!(agent.cookie_header("http://localhost:1/apps/x?q").unwrap(), "a=1; b=2");
        assert_eq!(agent.cookie_header("http://localhost:2/appsx").unwrap(), "a=1");
        assert_eq!(agent.cookie_header("http://127.0.0.1:1/").unwrap(), "c=3");
        agent.keep("localhost", "a=; Path=/; Max-Age=0");
        assert_eq!(agent.cookie("a"), None);
    }

    #[test]
    fn a_host_cookie_without_its_attributes_is_refused() {
        let mut agent = UserAgent::new();
        agent.keep("localhost", "__Host-x=1; Path=/");
        agent.keep("localhost", "__Host-x=1; Secure; Path=/y");
        agent.keep("localhost", "__Host-x=1; Secure; Path=/; Domain=localhost");
        assert_eq!((agent.cookies().len(), agent.refused_cookies().len()), (0, 3));
        agent.keep("localhost", "__Host-x=1; Secure; Path=/");
        assert_eq!(agent.cookie("__Host-x").unwrap().value, "1");
    }

    #[test]
    fn a_form_is_read_with_its_hidden_fields() {
        let html = "<p><form id=\"f\" method=\"post\" action=\"/x?a=1&amp;b=2\"><input type=\"hidden\" name=\"t\" value=\"&#60;\"/>\
                    <input type=\"text\" name=\"u\" value=\"\"></form><input type=\"hidden\" name=\"no\" value=\"\">";
        let form = Form::of(html).unwrap();
        assert_eq!((form.action.as_str(), form.hidden), ("/x?a=1&b=2", vec![("t".to_owned(), "<".to_owned())]));
        assert_eq!(resolve("http://localhost:1/a/b?c", "d").unwrap(), "http://localhost:1/a/d");
        assert_eq!(resolve("http://localhost:1/a/b?c", "?d").unwrap(), "http://localhost:1/a/b?d");
    }
}
