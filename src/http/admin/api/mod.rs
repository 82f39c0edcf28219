//! The administrator's JSON API.
//!
//! ```text
//! method, path ─table::TABLE─▶ Operation ─query, body─▶ AdminDesk ─▶ view or problem
//!                     └─▶ openapi: the document
//! ```

mod body;
mod fault;
mod openapi;
mod operation;
pub(in crate::http::admin) mod problem;
mod query;
mod table;

use std::sync::Arc;

use body::ChangeUser;
use fault::Fault;
use operation::{Answer, Described, IfMatch, Operation};
use query::Query;
use serde::Serialize;
use table::TABLE;

use super::desk::{AuditSearch, By, DecisionSearch, GroupSearch, SessionSearch, SignedOut, UserSearch, UserView};
use super::{AdminDesk, Administrator, DeskError};
use crate::check::Page;
use crate::directory::{AccessTokenId, UserId, UserOrder};
use crate::http::pages::Visit;
use crate::session::SessionKey;

/// The API.
pub struct Api {
    desk: Arc<AdminDesk>,
    document: String,
}

/// One request with what was read of it.
struct Asked<'a> {
    line: &'static Described,
    values: Vec<&'a str>,
    query: Query,
}

impl Api {
    /// The API at `base`, a path.
    #[must_use]
    pub fn new(desk: Arc<AdminDesk>, base: &str) -> Self {
        let document = format!("{}\n", openapi::document(base, &desk.provider_ids()));
        Self { desk, document }
    }

    /// The document as it is served.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }

    pub(super) async fn answer(&self, visit: &Visit<'_>, administrator: &Administrator, below: &str) -> Page {
        let lines = || TABLE.iter().filter_map(|line| Some((line, line.values(below)?)));
        let method = if visit.method() == "HEAD" { "GET" } else { visit.method() };
        let Some((line, values)) = lines().find(|(line, _)| line.method == method) else {
            let mut methods: Vec<&str> = lines().map(|(line, _)| line.method).collect();
            if methods.contains(&"GET") {
                methods.push("HEAD");
            }
            return if methods.is_empty() {
                problem::not_there(visit)
            } else {
                problem::wrong_method(visit, &methods.join(", "))
            };
        };
        if line.is_change() && visit.body().is_none() {
            return problem::not_routed(visit);
        }
        match self.done(visit, administrator, line, values).await {
            Ok(page) => page,
            Err(fault) => fault.page(visit),
        }
    }

    async fn done(
        &self,
        visit: &Visit<'_>,
        administrator: &Administrator,
        line: &'static Described,
        values: Vec<&str>,
    ) -> Result<Page, Fault> {
        let query = Query::read(visit.query(), line.parameters)?;
        let by = By {
            actor: &administrator.actor,
            request_id: visit.request_id(),
            expected_version: expected_version(visit, line.if_match)?,
        };
        let asked = Asked { line, values, query };
        let (desk, query) = (&self.desk, &asked.query);
        Ok(match line.operation {
            Operation::Me => asked.view(&desk.me(administrator)),
            Operation::Document => problem::json_text(200, self.document.clone()),
            Operation::ListUsers => asked.view(&desk.users(user_search(query)).await?),
            Operation::CreateUser => asked.user(&desk.create_user(by, body::new_user(visit)?).await?),
            Operation::ReadUser => asked.user(&desk.user(asked.user_id()?).await?),
            Operation::ChangeUser => {
                let (id, change) = (asked.user_id()?, body::change_user(visit)?);
                asked.user(&match change {
                    ChangeUser::Groups(groups) => desk.set_groups(by, id, groups).await?,
                    ChangeUser::Attributes(attributes) => desk.set_attributes(by, id, attributes).await?,
                })
            }
            Operation::DisableUser => {
                let (id, reason) = (asked.user_id()?, body::disable(visit)?);
                asked.user(&desk.disable(by, id, reason).await?)
            }
            Operation::EnableUser => asked.user(&desk.enable(by, asked.user_id()?).await?),
            Operation::SignOutUser => {
                let signed_out: SignedOut = desk.sign_out(by, asked.user_id()?).await?;
                asked.view(&signed_out)
            }
            Operation::GrantTier => {
                let (id, until) = (asked.user_id()?, body::grant(visit)?);
                asked.user(&desk.grant(by, id, asked.value(1).to_owned(), until).await?)
            }
            Operation::RevokeTier => asked.user(&desk.revoke(by, asked.user_id()?, asked.value(1).to_owned()).await?),
            Operation::UserSessions => asked.view(&desk.user_sessions(asked.user_id()?, query.limit()).await?),
            Operation::UserTokens => asked.view(&desk.access_tokens(asked.user_id()?).await?),
            Operation::RevokeToken => {
                let token = AccessTokenId::parse(asked.value(1)).ok_or(DeskError::NotThere("token"))?;
                asked.view(&desk.revoke_access_token(by, asked.user_id()?, token).await?)
            }
            Operation::ListGroups => {
                let search = GroupSearch { after: query.text("cursor"), limit: query.limit() };
                asked.view(&desk.groups(search).await?)
            }
            Operation::ListSessions => {
                let of = match (query.text("provider"), query.text("subject")) {
                    (Some(provider), Some(subject)) => Some((provider, subject)),
                    (None, None) => None,
                    (Some(_), None) | (None, Some(_)) => {
                        let fault = "`provider` and `subject` name a person together: give both or neither";
                        return Err(Fault::Unfit(fault.to_owned()));
                    }
                };
                asked.view(&desk.sessions(SessionSearch { of, limit: query.limit() }).await?)
            }
            Operation::RevokeSession => {
                let key = SessionKey::parse(asked.value(0)).ok_or(DeskError::NotThere("session"))?;
                desk.revoke_session(by, key).await?;
                problem::nothing()
            }
            Operation::ListApps => asked.view(&desk.apps()),
            Operation::ListTiers => asked.view(&desk.tiers()),
            Operation::ReadPolicy => asked.view(&desk.policy()),
            Operation::Explain => {
                let body::Explain { method, url, caller } = body::explain(visit)?;
                asked.view(&desk.explain(&method, &url, caller).await?)
            }
            Operation::ListDecisions => {
                let search = DecisionSearch {
                    allowed: query.text("decision").map(|decision| decision == "allow"),
                    reason: query.text("reason"),
                    tier: query.text("tier"),
                    subject: query.text("subject"),
                    path: query.text("path"),
                    host: query.text("host"),
                    since: query.moment("since"),
                    limit: query.limit(),
                };
                asked.view(&desk.decisions(&search))
            }
            Operation::ListProviders => asked.view(&desk.providers()),
            Operation::ReadAudit => {
                let search = AuditSearch {
                    user: query.id("user"),
                    actor: query.text("actor"),
                    action: query.text("action"),
                    before: query.number("before"),
                    limit: query.limit(),
                };
                asked.view(&desk.audit(search).await?)
            }
        })
    }
}

impl Asked<'_> {
    /// The value at a place of the path.
    fn value(&self, place: usize) -> &str {
        self.values.get(place).copied().unwrap_or_default()
    }

    /// The user that the path names first.
    fn user_id(&self) -> Result<UserId, DeskError> {
        UserId::parse(self.value(0)).ok_or(DeskError::NotThere("user"))
    }

    fn view(&self, view: &impl Serialize) -> Page {
        problem::view(self.line.answer.status(), view)
    }

    /// A user, with the tag by which a change can name this version.
    fn user(&self, user: &UserView) -> Page {
        let mut page = self.view(user);
        if matches!(self.line.answer, Answer::User(_)) {
            page.headers.push(("etag", format!("\"{}\"", user.version)));
        }
        page
    }
}

fn user_search(query: &Query) -> UserSearch {
    let order = match query.text("order").as_deref() {
        Some("last_seen") => UserOrder::LastSeen,
        Some("id") => UserOrder::Id,
        Some(_) | None => UserOrder::UserName,
    };
    UserSearch {
        search: query.text("search"),
        provider: query.text("provider"),
        disabled: query.flag("disabled"),
        group: query.text("group"),
        tier: query.text("tier"),
        order,
        after: query.id("cursor"),
        limit: query.limit(),
    }
}

/// The version that a change is meant for (RFC 9110 section 13.1.1); none for `*`.
/// What is no tag of ours fits no version.
fn expected_version(visit: &Visit<'_>, if_match: IfMatch) -> Result<Option<u64>, Fault> {
    let mut values = visit.values("if-match");
    let value = match (if_match, values.next(), values.next()) {
        (IfMatch::No, _, _) | (IfMatch::May, None, _) => return Ok(None),
        (IfMatch::Must, None, _) => return Err(Fault::NoIfMatch),
        (IfMatch::May | IfMatch::Must, Some(value), None) => value.trim_ascii(),
        (IfMatch::May | IfMatch::Must, Some(_), Some(_)) => return Err(Fault::IfMatch),
    };
    if value == b"*" {
        return Ok(None);
    }
    let tag = std::str::from_utf8(value).ok().and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
    let digits = |tag: &&str| tag.len() <= 18 && tag.bytes().all(|byte| byte.is_ascii_digit()) && !tag.starts_with('0');
    match tag.filter(digits).and_then(|tag| tag.parse().ok()) {
        Some(version) => Ok(Some(version)),
        None => Err(Fault::IfMatch),
    }
}
