//! What somebody is told who is not let in.

use serde_json::{Value, json};

use super::AdminPages;
use crate::check::Page;
use crate::http::admin::{Refusal, api};
use crate::http::pages::{Notice, Sheet, Visit, redirect};
use crate::types::Reason;
use crate::ui::{Form, Text};

impl AdminPages {
    /// Programs get the API's own words; a browser without a session goes to
    /// sign in, and everybody else is told in words why not.
    pub(super) fn refused(&self, visit: &Visit<'_>, refusal: Refusal) -> Page {
        if !visit.is_navigation() {
            return api::problem::refused(visit, refusal);
        }
        let snapshot = self.checker.snapshot();
        let login = snapshot.login.as_ref();
        match (refusal, login) {
            (Refusal::Nobody | Refusal::Refused(Reason::SessionExpired, _), Some(login)) => {
                // A form is lost: its page is gone back to, nothing is sent twice.
                let looks = matches!(visit.method(), "GET" | "HEAD");
                let query = std::str::from_utf8(visit.query()).unwrap_or_default();
                let target = match (looks, query) {
                    (false, _) => format!("{}/", self.base),
                    (true, "") => visit.path().to_owned(),
                    (true, query) => format!("{}?{query}", visit.path()),
                };
                redirect(login.sign_in(&target), &[])
            }
            (Refusal::CrossSite, _) => {
                let notice = Notice::new(403, "lock", "fault.elsewhere", "fault.elsewhere_text");
                self.content.notice(visit, &notice.action("admin.title", format!("{}/", self.base)))
            }
            (Refusal::LacksTier, _) => self.denied(visit, 403, "refused.title_403", "refused.insufficient_tier"),
            (Refusal::Refused(Reason::DisabledUser, _), _) => {
                self.denied(visit, 403, "refused.title_403", "refused.disabled_user")
            }
            (Refusal::Refused(Reason::Unavailable | Reason::Overloaded, _), _) => {
                let mut page = self.denied(visit, 503, "refused.title_503", "refused.unavailable");
                page.headers.push(("retry-after", "5".to_owned()));
                page
            }
            (Refusal::Refused(..) | Refusal::Nobody, _) => {
                let status = refusal.status();
                let mut page = if status == 401 {
                    self.denied(visit, status, "refused.title_401", "refused.invalid_token")
                } else {
                    self.denied(visit, status, "refused.title_other", "refused.invalid_token")
                };
                if status == 401 {
                    page.headers.push(("www-authenticate", "Bearer".to_owned()));
                }
                page
            }
        }
    }

    fn denied(&self, visit: &Visit<'_>, status: u16, title: &'static str, told: &'static str) -> Page {
        let language = self.content.language(visit);
        let snapshot = self.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let asked =
            tiers.index(self.desk.admin_tier()).map(|tier| tiers.label(tier)).filter(|_| title == "refused.title_403");
        let values = json!({
            "message": language.say(&Text::of(told)),
            "tiers": asked.map_or_else(Vec::new, |label| vec![label]),
            "name": Value::Null,
            "owner": Value::Null,
            "actions": [{ "label": language.say(&Text::of("refused.account")), "href": self.content.home() }],
        });
        let sheet = Sheet { status, template: "refused.html", sign: "lock", title, form: Form::None };
        self.content.page(visit, &sheet, values)
    }
}
