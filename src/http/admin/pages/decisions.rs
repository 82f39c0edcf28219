//! The last decisions.

use serde_json::{Value, json};

use super::words::{Choice, State, address, pager, reason_key};
use super::{Asked, Sight};
use crate::check::Page;
use crate::http::admin::desk::{DecisionSearch, Timestamp};
use crate::http::admin::{AdminDesk, DecisionLine};
use crate::types::{Reason, UnixTime};
use crate::ui::Text;

/// How many are shown, unless all are asked for.
const SHOWN: usize = 50;

impl Asked<'_> {
    /// `GET /decisions?decision=…&reason=…&path=…&subject=…`
    pub(super) fn decisions(&self) -> Page {
        let [decision, reason, path, subject] =
            ["decision", "reason", "path", "subject"].map(|name| self.parameter(name));
        let decision = decision.filter(|decision| ["allow", "deny"].contains(&decision.as_str()));
        let reason = reason.filter(|reason| Reason::ALL.iter().any(|known| known.as_str() == reason.as_str()));
        let all = self.parameter("all").is_some();
        let found = self.pages.desk.decisions(&DecisionSearch {
            allowed: decision.as_deref().map(|decision| decision == "allow"),
            reason: reason.clone(),
            path: path.clone(),
            subject: subject.clone(),
            limit: if all { AdminDesk::MAX_DECISIONS } else { SHOWN },
            ..DecisionSearch::default()
        });
        let here = self.to("/decisions");
        let is_filtered = [&decision, &reason, &path, &subject].into_iter().any(Option::is_some);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let more = (found.more && !all).then(|| {
            let (decision, reason, path, subject) = (text(&decision), text(&reason), text(&path), text(&subject));
            let parameters = [
                ("decision", decision.as_str()),
                ("reason", &reason),
                ("path", &path),
                ("subject", &subject),
                ("all", "1"),
            ];
            address(&here, &parameters)
        });
        let reasons: Vec<Choice> = std::iter::once(self.words.choice("", "admin.any", reason.as_deref()))
            .chain(
                Reason::ALL
                    .iter()
                    .map(|known| self.words.choice(known.as_str(), reason_key(*known), reason.as_deref())),
            )
            .collect();
        let values = json!({
            "here": here,
            "kept": found.kept,
            "decisions": [
                self.words.choice("", "admin.any", decision.as_deref()),
                self.words.choice("allow", "admin.allowed", decision.as_deref()),
                self.words.choice("deny", "admin.denied", decision.as_deref()),
            ],
            "reasons": reasons,
            "asked": { "path": path, "subject": subject },
            "filtered": is_filtered,
            "pages": pager(None, more.as_deref()),
            "list": found.decisions.iter().map(|line| self.decision_row(line)).collect::<Vec<_>>(),
        });
        let title = Text::of("admin.decisions");
        self.page(Sight { place: "/decisions", template: "admin_decisions.html", title, values, told: None })
    }

    fn decision_row(&self, line: &DecisionLine) -> Value {
        let state: State = if line.decision == "allow" {
            self.words.state("good", "admin.allowed")
        } else {
            self.words.state("bad", "admin.denied")
        };
        let at = UnixTime::parse_rfc3339(&line.ts).unwrap_or_default();
        let who = line.provider.as_deref().zip(line.subject.as_deref());
        let who = who.map(|(provider, subject)| format!("{provider}/{subject}"));
        let url = if line.host.is_empty() { line.path.clone() } else { format!("http://{}{}", line.host, line.path) };
        let as_whom = match &who {
            Some(_) if self.pages.desk.has_directory() => "user",
            Some(_) | None => "anonymous",
        };
        let parameters = [
            ("method", line.method.as_str()),
            ("url", &url),
            ("as", as_whom),
            ("user", who.as_deref().unwrap_or_default()),
        ];
        json!({
            "state": state,
            "request": format!("{} {}{}", line.method, line.host, line.path),
            "reason": self.words.reason(&line.reason),
            "at": self.words.moment(Timestamp(at)),
            "subject": who,
            "rule": line.rule,
            "reference": line.request_id,
            "explain": line.path.starts_with('/').then(|| address(&self.to("/policy"), &parameters)),
        })
    }
}
