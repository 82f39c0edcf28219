//! The administrator's pages: forms and links over the [`AdminDesk`], which
//! need no script.
//!
//! ```text
//! below ─place─▶ desk ─▶ words ─▶ template ─▶ Page
//!          └POST─▶ desk ─▶ 303 back, with what was done
//! ```
//!
//! Looking changes nothing: what changes something is a form, and what is hard
//! to undo is asked for once more on a page of its own.

mod audit;
mod catalogue;
mod decisions;
mod explain;
mod frame;
mod overview;
mod place;
mod refusal;
mod sessions;
mod span;
mod told;
mod user;
mod user_forms;
mod users;
mod words;

use std::sync::Arc;

pub use frame::navigation;
use serde_json::Value;

use super::{AdminDesk, AdminPart, Administrator, By, DeskError, PartFuture, Refusal};
use crate::check::{Checker, Page};
use crate::http::pages::{Content, NoForm, Notice, Sheet, Visit, redirect};
use crate::types::{Clock, Reason};
use crate::ui::{Form, Text};
use place::Place;
use told::Told;
use words::Words;

/// What the pages need besides the desk.
pub struct PagePorts {
    /// What administrators can see and do.
    pub desk: Arc<AdminDesk>,
    /// How pages look, and where people sign in.
    pub checker: Arc<Checker>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Under what path the pages of the service live, without a trailing `/`.
    pub base_path: String,
    /// The providers whose management API may be asked.
    pub managed: Vec<String>,
}

/// The pages, one per process.
pub struct AdminPages {
    desk: Arc<AdminDesk>,
    checker: Arc<Checker>,
    clock: Arc<dyn Clock>,
    content: Content,
    /// The path of the overview, without a trailing `/`.
    base: String,
    managed: Vec<String>,
}

impl AdminPages {
    /// The pages at `<base_path>/admin`.
    #[must_use]
    pub fn new(ports: PagePorts) -> Self {
        let PagePorts { desk, checker, clock, base_path, managed } = ports;
        let content = Content::new(Arc::clone(&checker), format!("{base_path}/"));
        Self { desk, checker, clock, content, base: format!("{base_path}/admin"), managed }
    }

    async fn respond(&self, request: &Asked<'_>, below: &str) -> Page {
        let visit = request.visit;
        let Some(place) = Place::of(below) else { return self.not_there(visit) };
        let methods = place.methods();
        if !methods.contains(&visit.method()) {
            let notice = Notice::new(405, "lost", "fault.wrong_method", "fault.wrong_method_text");
            return self.allowing(visit, notice, methods);
        }
        if visit.method() == "POST" {
            if visit.body().is_none() {
                let notice = Notice::new(405, "trouble", "fault.not_routed", "fault.not_routed_text");
                return self.allowing(visit, notice, methods);
            }
            return match request.change(place).await {
                Ok(page) => page,
                Err(error) => self.failed(visit, &error),
            };
        }
        match request.look(place).await {
            Ok(page) => page,
            Err(error) => self.failed(visit, &error),
        }
    }

    /// What the desk could not do, in words.
    fn failed(&self, visit: &Visit<'_>, error: &DeskError) -> Page {
        let notice = match error {
            DeskError::NoDirectory => Notice::new(404, "lost", "admin.off", "admin.off_text"),
            DeskError::NoSessions => Notice::new(404, "lost", "admin.no_sessions", "admin.no_sessions_text"),
            DeskError::NotThere("user") => Notice::new(404, "lost", "admin.no_user", "admin.no_user_text"),
            DeskError::NotThere(_) => Notice::new(404, "lost", "admin.gone", "admin.gone_text"),
            DeskError::AlreadyThere | DeskError::ChangedMeanwhile => {
                Notice::new(409, "trouble", "admin.changed", "admin.changed_text")
            }
            DeskError::Yourself => Notice::new(409, "lock", "admin.yourself", "admin.yourself_text"),
            DeskError::Unfit(_) => Notice::new(400, "trouble", "admin.unfit", "admin.unfit_text"),
            DeskError::Unavailable(store, source) => {
                tracing::error!(request_id = visit.request_id(), store, error = %source, "an administrator's page has no store");
                Notice::new(503, "trouble", "admin.down", "admin.down_text").reason(Reason::Unavailable)
            }
        };
        let mut page = self.content.notice(visit, &notice.action("admin.title", format!("{}/", self.base)));
        if page.status == 503 {
            page.headers.push(("retry-after", "5".to_owned()));
        }
        page
    }

    fn not_there(&self, visit: &Visit<'_>) -> Page {
        let notice = Notice::new(404, "lost", "fault.not_there", "fault.not_there_text");
        self.content.notice(visit, &notice.action("admin.title", format!("{}/", self.base)))
    }

    fn allowing(&self, visit: &Visit<'_>, notice: Notice, methods: &[&str]) -> Page {
        let mut page = self.content.notice(visit, &notice.action("admin.title", format!("{}/", self.base)));
        page.headers.push(("allow", methods.join(", ")));
        page
    }

    fn no_form(&self, visit: &Visit<'_>, error: NoForm) -> Page {
        let notice = match error {
            NoForm::TooLarge => Notice::new(413, "trouble", "fault.form_large", "fault.form_large_text"),
            NoForm::NotAForm => Notice::new(415, "trouble", "fault.form_kind", "fault.form_kind_text"),
        };
        self.content.notice(visit, &notice.action("admin.title", format!("{}/", self.base)))
    }

    /// Sends the browser to one of the pages, so that a reload sends no form again.
    fn onward(&self, path: &str) -> Page {
        let snapshot = self.checker.snapshot();
        let origin = snapshot.login.as_ref().map_or("", |login| login.origin());
        redirect(format!("{origin}{}{path}", self.base), &[])
    }
}

impl AdminPart for AdminPages {
    fn answer<'a>(&'a self, visit: &'a Visit<'a>, administrator: &'a Administrator, below: &'a str) -> PartFuture<'a> {
        Box::pin(async move {
            let words = Words::new(self.content.language(visit));
            self.respond(&Asked { pages: self, visit, administrator, words }, below).await
        })
    }

    fn refuse(&self, visit: &Visit<'_>, refusal: Refusal) -> Page {
        self.refused(visit, refusal)
    }
}

/// One request of an administrator.
struct Asked<'a> {
    pages: &'a AdminPages,
    visit: &'a Visit<'a>,
    administrator: &'a Administrator,
    words: Words,
}

/// One page to write.
struct Sight {
    place: &'static str,
    template: &'static str,
    title: Text,
    values: Value,
    told: Option<Told>,
}

impl Asked<'_> {
    async fn look(&self, place: Place) -> Result<Page, DeskError> {
        match place {
            Place::Overview => Ok(self.overview().await),
            Place::Users => self.users().await,
            Place::User(id) => self.user(id, None).await,
            Place::Disable(id) => self.confirm_disable(id).await,
            Place::SignOut(id) => self.confirm_sign_out(id).await,
            Place::Sessions => self.sessions().await,
            Place::Apps => Ok(self.apps()),
            Place::Policy => self.policy().await,
            Place::Decisions => Ok(self.decisions()),
            Place::Providers => Ok(self.providers()),
            Place::Audit => self.audit().await,
            // Only sent, never looked at: the table of methods says so.
            Place::Enable(_)
            | Place::Grant(_)
            | Place::Revoke(_)
            | Place::EndSessionOf(_)
            | Place::RevokeToken(_)
            | Place::EndSession => Ok(self.pages.not_there(self.visit)),
        }
    }

    async fn change(&self, place: Place) -> Result<Page, DeskError> {
        let form = match self.visit.form() {
            Ok(form) => form,
            Err(error) => return Ok(self.pages.no_form(self.visit, error)),
        };
        match place {
            Place::Disable(id) => self.disable(id, form).await,
            Place::Enable(id) => self.enable(id).await,
            Place::SignOut(id) => self.sign_out(id).await,
            Place::Grant(id) => self.grant(id, form).await,
            Place::Revoke(id) => self.revoke(id, form).await,
            Place::EndSessionOf(id) => self.end_session_of(id, form).await,
            Place::RevokeToken(id) => self.revoke_token(id, form).await,
            Place::EndSession => self.end_session(form).await,
            Place::Overview
            | Place::Users
            | Place::User(_)
            | Place::Sessions
            | Place::Apps
            | Place::Policy
            | Place::Decisions
            | Place::Providers
            | Place::Audit => Ok(self.pages.not_there(self.visit)),
        }
    }

    /// The address of one of the pages.
    fn to(&self, path: &str) -> String {
        format!("{}{path}", self.pages.base)
    }

    fn by(&self) -> By<'_> {
        By { actor: &self.administrator.actor, request_id: self.visit.request_id(), expected_version: None }
    }

    /// A parameter of the query as it is searched for: without blanks around it, `None` when nothing is left.
    fn parameter(&self, name: &str) -> Option<String> {
        let value = self.visit.parameter(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.chars().take(place::MAX_PARAMETER).collect())
    }

    fn page(&self, sight: Sight) -> Page {
        let status = sight.told.as_ref().map_or(200, Told::status);
        let Sight { place, template, title, mut values, told } = sight;
        let has_passage = !self.pages.managed.is_empty();
        let nav = navigation(self.words.language(), &self.pages.base, has_passage, place);
        if let Some(members) = values.as_object_mut() {
            members.insert("nav".to_owned(), nav.into());
            members.insert("notice".to_owned(), told.map_or(Value::Null, |told| told.shown(&self.words)));
        }
        let sheet = Sheet { status, template, sign: "", title: "admin.title", form: Form::Own(&[]) };
        self.pages.content.titled(self.visit, &sheet, title, values)
    }
}

#[cfg(test)]
mod tests;
