//! The request that everything is measured with: a browser's, for the API of an
//! app, with the demo's token; and what a proxy makes of it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use prost::Message as _;
use tiergate_testbed::request;

use crate::envoy::{Envoy, Filter};
use crate::floor::Floor;

pub(crate) const HOST: &str = "portal.example.com";
pub(crate) const PATH: &str = "/apps/devel/seismic/api/v1/spectra?site=WLG&period=0.5";

/// Header names and values.
pub(crate) type Headers = Vec<(String, String)>;

/// What a browser sends along, except its credential.
const BROWSER: [(&str, &str); 12] = [
    ("Host", HOST),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Language", "en-NZ,en;q=0.9,de;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://portal.example.com/apps/devel/seismic/"),
    ("Sec-CH-UA", "\"Chromium\";v=\"138\", \"Not=A?Brand\";v=\"8\""),
    ("Sec-CH-UA-Mobile", "?0"),
    ("Sec-CH-UA-Platform", "\"Linux\""),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
];

fn owned(headers: &[(&str, &str)]) -> Headers {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The request as a client sends it to a proxy.
pub(crate) fn browser(token: &str) -> Headers {
    let mut headers = owned(&BROWSER);
    headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
    headers
}

/// The path and headers with which nginx asks about it, as `nginx/nginx.conf` has them.
pub(crate) fn auth_request(token: &str) -> (String, Headers) {
    let mut headers = browser(token);
    let url = format!("https://{HOST}{PATH}");
    headers.extend(owned(&[
        ("X-Request-Id", "7a6c5f0e3f0a4b519d576c3f0c9e2b11"),
        ("X-Original-Method", "GET"),
        ("X-Original-URL", &url),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", HOST),
    ]));
    ("/authz/auth-request".to_owned(), headers)
}

/// What a real Envoy makes of a browser's request: one message, taken down once.
#[derive(Debug, Clone)]
pub(crate) struct Recorded(CheckRequest);

/// Of a framed message: a flag and its length.
const FRAME_HEADER: usize = 5;

impl Recorded {
    /// Sends the request through Envoy with the shipped filter, to a server that keeps the check.
    pub(crate) fn take(floor: &Path, token: &str, scratch: &Path, filter: fn(SocketAddr) -> Filter) -> Result<Self> {
        let file = scratch.join("recorded");
        let recorder = Floor::record(floor, &file)?;
        let envoy = Envoy::start(&filter(recorder.at))?;
        let headers = browser(token);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // `Host` is written by the client itself.
        let answer = request(envoy.at, "GET", PATH, headers.get(1..).unwrap_or_default())?;
        ensure!(answer.status == 200, "Envoy answered {} while its check was recorded", answer.status);
        let deadline = Instant::now() + Duration::from_secs(5);
        while !file.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let framed = std::fs::read(&file).context("Envoy sent no check")?;
        std::fs::remove_file(&file)?;
        let mut recorded = Self(CheckRequest::decode(framed.get(FRAME_HEADER..).unwrap_or_default())?);
        recorded.set("authorization", &format!("Bearer {token}"));
        Ok(recorded)
    }

    /// The message with another credential in place of the token, framed.
    pub(crate) fn framed_with(&self, name: &str, value: &str) -> Result<Vec<u8>> {
        let mut other = self.clone();
        other.set(name, value);
        other.framed()
    }

    /// The message as gRPC frames it: not compressed, its length, itself.
    pub(crate) fn framed(&self) -> Result<Vec<u8>> {
        let message = self.0.encode_to_vec();
        let length = u32::try_from(message.len())?.to_be_bytes();
        Ok([&[0], length.as_slice(), &message].concat())
    }

    fn set(&mut self, name: &str, value: &str) {
        let attributes = self.0.attributes.as_mut();
        let http = attributes.and_then(|attributes| attributes.request.as_mut()?.http.as_mut());
        let Some(http) = http else { return };
        let Some(map) = http.header_map.as_mut() else {
            http.headers.remove("authorization");
            http.headers.insert(name.to_owned(), value.to_owned());
            return;
        };
        for header in &mut map.headers {
            if header.key == "authorization" {
                name.clone_into(&mut header.key);
                header.raw_value = value.as_bytes().to_vec();
            }
        }
    }
}
