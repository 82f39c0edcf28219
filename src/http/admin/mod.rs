//! The administrator's area at `<base_path>/admin`: a JSON API and the pages,
//! which both stand on one [`AdminDesk`].
//!
//! ```text
//! Visit ─Gate─▶ Administrator ─▶ api: /api/…      ─▶ AdminDesk ─▶ Directory, Sessions,
//!                             └▶ parts, pages     ─▶     ″         snapshot, recent decisions
//! ```
//!
//! Whoever is not let in is told so before anything else: a path that is not
//! there and a method that is not meant answer as every other path does.

pub mod api;
pub mod desk;
mod gate;
pub mod pages;
mod recent;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use desk::{AdminDesk, By, DeskError, DeskPorts, Timestamp};
pub use gate::{Administrator, Gate, Refusal};
pub use recent::{DecisionLine, RecentDecisions};

use crate::check::{Credential, Page};
use crate::http::pages::{Area, Visit};

/// How long an answer may take; an area ends within 5 s.
const LIMIT: Duration = Duration::from_millis(4800);
/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// What a part of the area answers with.
pub type PartFuture<'a> = Pin<Box<dyn Future<Output = Page> + Send + 'a>>;

/// A part of the area, such as its pages. Whoever gets here was let in; a change
/// that came with the session cookie came from a page of our own.
pub trait AdminPart: Send + Sync {
    /// The answer to `visit` at `below`, the path below the part's own: empty, or `/` and more.
    fn answer<'a>(&'a self, visit: &'a Visit<'a>, administrator: &'a Administrator, below: &'a str) -> PartFuture<'a>;

    /// The answer to somebody who is not let in. A program gets the API's own words.
    fn refuse(&self, visit: &Visit<'_>, refusal: Refusal) -> Page {
        api::problem::refused(visit, refusal)
    }
}

/// The area.
pub struct Admin {
    gate: Gate,
    api: api::Api,
    parts: Vec<(&'static str, Arc<dyn AdminPart>)>,
    pages: Option<Arc<dyn AdminPart>>,
}

impl Admin {
    /// The area of those who hold `tier`, with its API at `<base_path>/admin/api`.
    #[must_use]
    pub fn new(gate: Gate, desk: Arc<AdminDesk>, base_path: &str) -> Self {
        Self { gate, api: api::Api::new(desk, &format!("{base_path}/admin/api")), parts: Vec::new(), pages: None }
    }

    /// The same, with everything below `path`, such as `/idp`, answered by `part`.
    #[must_use]
    pub fn with_part(mut self, path: &'static str, part: Arc<dyn AdminPart>) -> Self {
        self.parts.push((path, part));
        self
    }

    /// The same, with every other path answered by `pages`.
    #[must_use]
    pub fn with_pages(self, pages: Arc<dyn AdminPart>) -> Self {
        Self { pages: Some(pages), ..self }
    }

    /// The part that a path belongs to, and the path below the part's own.
    fn part<'p>(&self, below: &'p str) -> Option<(&Arc<dyn AdminPart>, &'p str)> {
        let named = self.parts.iter().find_map(|(path, part)| Some((part, under(path, below)?)));
        named.or_else(|| Some((self.pages.as_ref()?, below)))
    }

    async fn respond<'a>(&self, visit: &'a Visit<'a>, below: &'a str) -> Page {
        let api = under("/api", below);
        let administrator = match self.gate.admit(visit).await {
            Ok(administrator) => administrator,
            Err(refusal) => {
                tracing::info!(
                    request_id = visit.request_id(),
                    reason = refusal.reason().as_str(),
                    cause = refusal.cause(),
                    "not let into the administrator's area"
                );
                return match (api, self.part(below)) {
                    (None, Some((part, _))) => part.refuse(visit, refusal),
                    (Some(_), _) | (None, None) => api::problem::refused(visit, refusal),
                };
            }
        };
        let mut page = match (api, self.part(below)) {
            (Some(below), _) => self.api.answer(visit, &administrator, below).await,
            (None, Some((part, below))) => part.answer(visit, &administrator, below).await,
            (None, None) => api::problem::not_there(visit),
        };
        if let Credential::Session(live) = &administrator.guest.credential
            && let Some(cookie) = &live.set_cookie
        {
            page.headers.push(("set-cookie", cookie.header_value()));
        }
        page
    }
}

/// What of `path` stands below `front`.
fn under<'p>(front: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(front).filter(|below| below.is_empty() || below.starts_with('/'))
}

impl Area for Admin {
    fn answer<'a>(&'a self, visit: &'a Visit<'a>, below: &'a str) -> PartFuture<'a> {
        Box::pin(async move {
            match tokio::time::timeout(LIMIT, self.respond(visit, below)).await {
                Ok(page) => page,
                Err(_) => api::problem::too_slow(visit),
            }
        })
    }

    fn max_body(&self) -> usize {
        MAX_BODY
    }

    fn passes_unasked(&self) -> bool {
        false
    }

    fn tier(&self) -> Option<&str> {
        Some(self.gate.tier())
    }
}
