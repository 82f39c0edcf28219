//! A request for a page, read strictly: what it is, where it comes from, what
//! its query and its form say.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use super::client_address;
use crate::check::{PageRequest, is_navigation, is_request_id};
use crate::session::BrowserCookies;
use crate::types::{Protocol, RequestView};

/// The largest form, in bytes.
pub(super) const MAX_FORM: usize = 64 * 1024;

/// One request with what its headers say.
pub struct Visit<'a> {
    request: &'a PageRequest<'a>,
    pub(super) cookies: BrowserCookies,
    request_id: Cow<'a, str>,
}

/// Why a form is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum NoForm {
    TooLarge,
    /// The content type is another one.
    NotAForm,
}

impl<'a> Visit<'a> {
    /// `draw_id` makes an id for a request that the proxy gave none.
    pub(in crate::http) fn of(request: &'a PageRequest<'a>, draw_id: impl FnOnce() -> String) -> Self {
        let values = |wanted: &'static str| {
            request.headers.iter().filter(move |(name, _)| *name == wanted).map(|(_, value)| *value)
        };
        let mut ids = values("x-request-id");
        let given = ids.next().filter(|_| ids.next().is_none());
        let given = given.and_then(|id| std::str::from_utf8(id).ok()).filter(|id| is_request_id(id));
        let request_id = given.map_or_else(|| Cow::Owned(draw_id()), Cow::Borrowed);
        Self { request, cookies: BrowserCookies::read(&values("cookie")), request_id }
    }

    pub(in crate::http) fn method(&self) -> &'a str {
        self.request.method
    }

    pub(in crate::http) fn path(&self) -> &'a str {
        self.request.path
    }

    pub(in crate::http) fn query(&self) -> &'a [u8] {
        self.request.query
    }

    pub(in crate::http) fn body(&self) -> Option<&'a [u8]> {
        self.request.body
    }

    /// Whether somebody looks at the answer in a browser window. A form that
    /// was sent is one navigation more.
    pub(in crate::http) fn is_navigation(&self) -> bool {
        is_navigation(&RequestView {
            protocol: Protocol::ForwardAuth,
            method: "GET",
            target: self.request.path.as_bytes(),
            host: None,
            headers: self.request.headers,
            route_tier: None,
            route_app: None,
            request_id: None,
        })
    }

    /// Whether the browser only fetches ahead, with nobody there (Fetch
    /// standard, `Sec-Purpose`; older browsers say `Purpose` or `X-Moz`).
    pub(in crate::http) fn is_ahead(&self) -> bool {
        ["sec-purpose", "purpose", "x-purpose", "x-moz"]
            .iter()
            .flat_map(|name| self.values(name))
            .any(|value| value.to_ascii_lowercase().windows(8).any(|word| matches!(word, b"prefetch" | b"prerende")))
    }

    /// Whether the page would be shown inside another one.
    pub(in crate::http) fn is_framed(&self) -> bool {
        self.values("sec-fetch-dest").any(|value| {
            [&b"iframe"[..], b"frame", b"embed", b"object", b"fencedframe"]
                .iter()
                .any(|framed| value.trim_ascii().eq_ignore_ascii_case(framed))
        })
    }

    /// Whether a request that changes something comes from a page of our own
    /// origin. A browser that does not say `Sec-Fetch-Site` says `Origin`.
    pub(in crate::http) fn is_same_origin(&self, public_origin: &str) -> bool {
        let mut sites = self.values("sec-fetch-site");
        if let Some(site) = sites.next() {
            return site == b"same-origin" && sites.next().is_none();
        }
        self.single("origin").is_some_and(|origin| origin == public_origin.as_bytes())
    }

    /// Whether a browser says what page asks. A program need not say so.
    pub(in crate::http) fn is_of_a_page(&self) -> bool {
        ["sec-fetch-site", "origin"].iter().any(|name| self.values(name).next().is_some())
    }

    /// The id by which the log knows the request: the proxy's, or one of our own.
    pub(in crate::http) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The address that somebody asks from, where it is known; to count by.
    pub(in crate::http) fn client(&self, trusted_proxies: &[IpNet]) -> Option<IpAddr> {
        let forwarded_for: Vec<&[u8]> = self.values("x-forwarded-for").collect();
        client_address::find(self.request.sender, forwarded_for.into_iter(), trusted_proxies)
    }

    pub(in crate::http) fn user_agent(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.single("user-agent").unwrap_or_default())
    }

    /// Which languages whoever asks reads.
    pub(in crate::http) fn accept_language(&self) -> Option<&'a [u8]> {
        self.single("accept-language")
    }

    /// The values of a parameter of the query, decoded.
    pub(in crate::http) fn parameters(&self, name: &str) -> Vec<String> {
        fields(self.request.query, name)
    }

    /// The value of a parameter that stands exactly once.
    pub(in crate::http) fn parameter(&self, name: &str) -> Option<String> {
        once(self.parameters(name))
    }

    /// The form that was sent; no body is an empty form.
    pub(in crate::http) fn form(&self) -> Result<Form<'a>, NoForm> {
        let body = self.request.body.unwrap_or_default();
        if body.len() > MAX_FORM {
            return Err(NoForm::TooLarge);
        }
        let is_form = self.single("content-type").is_some_and(|kind| {
            let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        if is_form || body.is_empty() { Ok(Form(body)) } else { Err(NoForm::NotAForm) }
    }

    /// The header names in lower case with their raw values.
    pub(in crate::http) fn headers(&self) -> &'a [(&'a str, &'a [u8])] {
        self.request.headers
    }

    pub(in crate::http) fn values(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.request.headers.iter().filter(move |(held, _)| *held == name).map(|(_, value)| *value)
    }

    pub(in crate::http) fn single(&self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }
}

/// The fields of a form.
#[derive(Clone, Copy)]
pub(in crate::http) struct Form<'a>(&'a [u8]);

impl Form<'_> {
    /// The values of a field, however often it stands.
    pub(in crate::http) fn fields(&self, name: &str) -> Vec<String> {
        fields(self.0, name)
    }

    /// The value of a field that stands exactly once.
    pub(in crate::http) fn field(&self, name: &str) -> Option<String> {
        once(fields(self.0, name))
    }
}

fn fields(encoded: &[u8], name: &str) -> Vec<String> {
    url::form_urlencoded::parse(encoded).filter(|(held, _)| held == name).map(|(_, value)| value.into_owned()).collect()
}

fn once(values: Vec<String>) -> Option<String> {
    let mut values = values.into_iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}
