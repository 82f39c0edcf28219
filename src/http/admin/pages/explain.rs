//! The live policy, and what it would decide.

use serde_json::{Value, json};

use super::words::{State, address};
use super::{Asked, Sight};
use crate::check::{CallerNames, Explanation, Page};
use crate::http::admin::DeskError;
use crate::http::admin::desk::{ExplainCaller, UserSearch};
use crate::ui::Text;

/// How many rules are listed.
const SHOWN: usize = 1000;
/// The values of the choice as whom.
const ANONYMOUS: &str = "anonymous";
const USER: &str = "user";
const NAMES: &str = "names";

/// What the form asks.
struct Question {
    method: String,
    url: String,
    as_whom: String,
    user: String,
    scopes: String,
    permissions: String,
    groups: String,
}

impl Question {
    fn of(asked: &Asked<'_>) -> Self {
        let [url, as_whom, user, scopes, permissions, groups] =
            ["url", "as", "user", "scopes", "permissions", "groups"].map(|name| {
                let value = asked.visit.parameter(name).unwrap_or_default();
                value.trim().to_owned()
            });
        let method = asked.parameter("method").unwrap_or_else(|| "GET".to_owned());
        Self { method, url, as_whom, user, scopes, permissions, groups }
    }
}

/// What is shown below the form.
enum Answer {
    Explained(Box<Explanation>),
    Not(&'static str),
}

impl Asked<'_> {
    /// `GET /policy?method=…&url=…&as=…`
    pub(super) async fn policy(&self) -> Result<Page, DeskError> {
        let question = Question::of(self);
        let answer = if question.url.is_empty() { None } else { Some(self.answer(&question).await?) };
        let kinds = [(ANONYMOUS, "admin.as_anonymous"), (USER, "admin.as_directory"), (NAMES, "admin.as_typed")];
        let has_directory = self.pages.desk.has_directory();
        let chosen = if question.as_whom.is_empty() { ANONYMOUS } else { &question.as_whom };
        let kinds: Vec<_> = kinds
            .into_iter()
            .filter(|(value, _)| *value != USER || has_directory)
            .map(|(value, label)| self.words.choice(value, label, Some(chosen)))
            .collect();
        let policy = self.pages.desk.policy();
        let rules: Vec<Value> = policy
            .rules
            .iter()
            .take(SHOWN)
            .map(|rule| json!({ "id": rule.name, "needs": rule.requires, "implied": rule.source.starts_with("app") }))
            .collect();
        let snapshot = self.pages.checker.snapshot();
        let origin = snapshot.login.as_ref().map_or("", |login| login.origin());
        let values = json!({
            "here": self.to("/policy"),
            "example": format!("{origin}/apps/"),
            "kinds": kinds,
            "asked": {
                "method": question.method,
                "url": question.url,
                "user": question.user,
                "scopes": question.scopes,
                "permissions": question.permissions,
                "groups": question.groups,
            },
            "result": answer.map(|answer| self.result(answer)),
            "rules": rules,
            "total": policy.rules.len(),
            "more": policy.rules.len().saturating_sub(SHOWN),
        });
        let title = Text::of("admin.policy");
        Ok(self.page(Sight { place: "/policy", template: "admin_policy.html", title, values, told: None }))
    }

    /// The address that explains a request of nobody.
    pub(super) fn explained(&self, url: &str) -> String {
        address(&self.to("/policy"), &[("method", "GET"), ("url", url)])
    }

    async fn answer(&self, question: &Question) -> Result<Answer, DeskError> {
        let caller = match question.as_whom.as_str() {
            USER => match self.user_called(&question.user).await? {
                Ok(caller) => caller,
                Err(why) => return Ok(Answer::Not(why)),
            },
            NAMES => {
                let split = |text: &str| {
                    text.split([' ', ',', '\t']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
                };
                ExplainCaller::Names(CallerNames {
                    scopes: split(&question.scopes),
                    permissions: split(&question.permissions),
                    // A group may have blanks in its name.
                    groups: question
                        .groups
                        .split(',')
                        .map(str::trim)
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned)
                        .collect(),
                    ..CallerNames::default()
                })
            }
            _ => ExplainCaller::Anonymous,
        };
        match self.pages.desk.explain(&question.method, &question.url, caller).await {
            Ok(explanation) => Ok(Answer::Explained(Box::new(explanation))),
            Err(DeskError::Unfit(_)) => Ok(Answer::Not("admin.explain_bad_url")),
            Err(error) => Err(error),
        }
    }

    /// The one user with this address or user name, or with this provider and subject.
    async fn user_called(&self, called: &str) -> Result<Result<ExplainCaller, &'static str>, DeskError> {
        if called.is_empty() {
            return Ok(Err("admin.explain_no_user"));
        }
        let desk = &self.pages.desk;
        if let Some(id) = desk.id_of(called).await? {
            return Ok(Ok(ExplainCaller::User(id)));
        }
        let search = UserSearch { search: Some(called.to_owned()), limit: 200, ..UserSearch::default() };
        let found = desk.users(search).await?;
        let is_called = |text: &str| text.eq_ignore_ascii_case(called);
        let mut fitting = found.users.iter().filter(|user| {
            is_called(&user.user_name) || user.subject == called || user.email.as_deref().is_some_and(is_called)
        });
        let id = fitting.next().and_then(|user| crate::directory::UserId::parse(&user.id));
        match (id, fitting.next()) {
            (None, _) => Ok(Err("admin.explain_no_user")),
            (Some(_), Some(_)) => Ok(Err("admin.explain_many")),
            (Some(id), None) => Ok(Ok(ExplainCaller::User(id))),
        }
    }

    fn result(&self, answer: Answer) -> Value {
        let words = &self.words;
        let explanation = match answer {
            Answer::Explained(explanation) => explanation,
            Answer::Not(why) => {
                let state = words.state("bad", "admin.explain_bad");
                return json!({ "state": state, "reason": words.say(why), "facts": [], "lists": [] });
            }
        };
        let allowed = explanation.decision == "allow";
        let state: State =
            if allowed { words.state("good", "admin.allowed") } else { words.state("bad", "admin.denied") };
        let rule = explanation.rule.clone().unwrap_or_else(|| words.say("admin.explain_no_rule"));
        let caller = explanation.caller.as_ref().map_or_else(
            || words.say("admin.as_anonymous"),
            |caller| format!("{}/{}", caller.provider, caller.subject),
        );
        let mut facts = vec![words.fact("admin.explain_path", format!("{} {}", explanation.method, explanation.path))];
        facts.extend(explanation.host.as_ref().map(|host| words.fact("admin.explain_host", host)));
        facts.push(words.fact("admin.explain_rule", rule));
        facts.extend(explanation.requires.as_ref().map(|requires| words.fact("admin.explain_needs", &requires.all)));
        facts.push(words.fact("admin.explain_caller", caller));
        let cause = explanation.cause.map_or_else(String::new, |cause| format!(" ({cause})"));
        facts.push(words.fact("admin.explain_cause", format!("{}{cause}", explanation.reason)));
        let mut lists = Vec::new();
        let mut list = |label: &'static str, names: &[String]| {
            if !names.is_empty() {
                lists.push(json!({ "label": words.say(label), "names": names }));
            }
        };
        if let Some(requires) = &explanation.requires {
            list("admin.needs_tiers", &requires.tiers);
            list("admin.needs_scopes", &requires.scopes);
            list("admin.needs_permissions", &requires.permissions);
        }
        if let Some(caller) = &explanation.caller {
            list("admin.has_tiers", &caller.tiers);
            list("admin.has_scopes", &caller.scopes);
            list("admin.has_permissions", &caller.permissions);
            list("admin.has_groups", &caller.groups);
        }
        json!({ "state": state, "reason": words.reason(explanation.reason), "facts": facts, "lists": lists })
    }
}
