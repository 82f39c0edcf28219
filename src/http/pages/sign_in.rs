//! Signing in: to the provider and back.

use metrics::counter;
use serde::Serialize;
use serde_json::json;

use super::content::{Notice, Sheet, redirect};
use super::request::Visit;
use super::{Pages, SigningIn, Who, failures, renewed, rounds};
use crate::check::{LoginPlace, Page};
use crate::oidc::{Busy, CallbackFailure, LoginProvider, ReturnTarget, ReturnTargetError, SignInError};
use crate::session::{SESSION_COOKIE, SetCookie};
use crate::types::{ProviderId, Reason};
use crate::ui::Form;

#[derive(Serialize)]
struct Choice<'a> {
    label: &'a str,
    href: String,
}

impl Pages {
    /// `GET /login?rd=…[&provider=id][&again=1][&why=…][&form=1]`
    pub(super) async fn login(&self, visit: &Visit<'_>, parts: &SigningIn) -> Page {
        if visit.is_framed() {
            let notice = Notice::new(403, "key", "sign_in.framed", "sign_in.framed_text");
            return self.content.notice(visit, &notice);
        }
        let target = self.return_target(visit, parts);
        let form_lost = visit.parameter(LoginPlace::FORM_LOST).is_some();
        let why = match self.who(visit, parts).await {
            Who::Somebody(live) if form_lost => {
                return renewed(self.content.notice(visit, &form_was_lost().action("sign_in.go_on", target)), &live);
            }
            Who::Somebody(live) => return renewed(self.go_on(visit, parts, &target), &live),
            Who::Barred(live) => return self.barred(visit, &live),
            Who::Unknown => return self.store_is_down(visit, "fault.store_sign_in"),
            Who::Nobody(why) => why,
        };
        if visit.is_ahead() || !visit.is_navigation() {
            return self.nobody(visit, parts);
        }
        if visit.method() == "HEAD" {
            return self.choose(visit, parts, &target, 200);
        }
        if form_lost {
            let sign_in = self.login_link(&target, None, false);
            return self.content.notice(visit, &form_was_lost().action("page.sign_in", sign_in));
        }
        let again = visit.parameter("again").is_some();
        if !again && rounds::failed(visit.cookies.rounds, self.now()) >= rounds::LIMIT {
            let retry = self.login_link(&target, None, true);
            let notice = failures::round(why.or_told(visit)).action("page.once_more", retry);
            return self.content.notice(visit, &notice.action("page.start", self.routes.portal()));
        }
        let mut page = match chosen(visit, parts.relying_party.providers()) {
            Ok(Some(provider)) => self.begin(visit, parts, &provider.id, &target).await,
            Ok(None) => self.choose(visit, parts, &target, 200),
            Err(NoSuchProvider) => self.choose(visit, parts, &target, 400),
        };
        if again && visit.cookies.rounds.is_some() {
            page.headers.push(("set-cookie", SetCookie::clear_rounds().header_value()));
        }
        page
    }

    /// Where somebody goes who is signed in already.
    fn go_on(&self, visit: &Visit<'_>, parts: &SigningIn, target: &str) -> Page {
        let (rounds, now) = (visit.cookies.rounds, self.now());
        if rounds::passes(rounds, target, now) >= rounds::PASSES && visit.parameter("again").is_none() {
            let notice = failures::unseen().action("page.once_more", self.login_link(target, None, true));
            return self.content.notice(visit, &notice.action("page.start", self.routes.portal()));
        }
        // No check stands before the portal.
        let cookie = if target == self.routes.portal() {
            rounds.map(|_| SetCookie::clear_rounds())
        } else {
            let (count, first) = rounds::after_pass(rounds, target, now);
            Some(SetCookie::rounds(count, first))
        };
        redirect(format!("{}{target}", parts.public_origin), cookie.as_slice())
    }

    /// `GET /callback/{provider}`
    pub(super) async fn callback(&self, visit: &Visit<'_>, parts: &SigningIn, provider: &ProviderId) -> Page {
        let was_signed_in = matches!(self.who(visit, parts).await, Who::Somebody(..));
        let user_agent = visit.user_agent();
        let completed = parts.relying_party.complete(provider, visit.query(), &visit.cookies, &user_agent).await;
        match completed {
            Ok(next) => {
                let mut cookies = next.set_cookies;
                let begins = |cookie: &SetCookie| cookie.header_value().starts_with(&format!("{SESSION_COOKIE}="));
                if cookies.iter().any(begins) {
                    count(provider, "ok");
                    let (count, first) = rounds::after_sign_in(visit.cookies.rounds, was_signed_in, self.now());
                    cookies.push(SetCookie::rounds(count, first));
                } else {
                    // With the session that another tab has got.
                    count(provider, "went_on");
                }
                redirect(self.checked(parts, next.location), &cookies)
            }
            Err(CallbackFailure { error, set_cookies, return_to }) => {
                count(provider, error.as_str());
                let (request_id, provider) = (visit.request_id(), provider.as_str());
                tracing::warn!(request_id, provider, error = %error, "sign-in failed");
                let target = return_to.filter(|target| self.is_acceptable(parts, target));
                let target = target.unwrap_or_else(|| self.routes.portal());
                let notice = failures::callback(&error)
                    .action("page.start", self.routes.portal())
                    .action("page.sign_in_again", self.login_link(&target, None, false));
                let mut page = self.content.notice(visit, &notice);
                page.headers.extend(set_cookies.iter().map(|cookie| ("set-cookie", cookie.header_value())));
                page
            }
        }
    }

    async fn begin(&self, visit: &Visit<'_>, parts: &SigningIn, provider: &ProviderId, target: &str) -> Page {
        let client = visit.client(&self.trusted_proxies);
        let begun = parts.relying_party.begin(provider, target, &visit.cookies, client).await;
        let error = match begun {
            Ok(next) => return redirect(next.location, &next.set_cookies),
            // The metric tells it: a line each would be a flood of its own.
            Err(SignInError::Busy(busy)) => return self.too_many(visit, provider, target, busy),
            Err(error) => error,
        };
        let request_id = visit.request_id();
        tracing::warn!(request_id, provider = provider.as_str(), error = %error, "sign-in does not begin");
        match error {
            SignInError::UnknownProvider => return self.choose(visit, parts, target, 400),
            SignInError::Store => {
                count(provider, "store");
                return self.store_is_down(visit, "fault.store_sign_in");
            }
            SignInError::Provider(_) | SignInError::Busy(_) => {}
        }
        count(provider, "provider");
        let notice = Notice::new(503, "trouble", "sign_in.down", "sign_in.down_text")
            .reason(Reason::Unavailable)
            .action("page.again", self.login_link(target, Some(provider), false))
            .action("page.start", self.routes.portal());
        let mut page = self.content.notice(visit, &notice);
        page.headers.push(("retry-after", "5".to_owned()));
        page
    }

    /// The answer to one sign-in more than may begin now.
    fn too_many(&self, visit: &Visit<'_>, provider: &ProviderId, target: &str, busy: Busy) -> Page {
        let (status, result, text) = if busy.of_client {
            (429, "busy_client", "sign_in.busy_client")
        } else {
            (503, "busy", "sign_in.busy_all")
        };
        count(provider, result);
        let reason = Reason::Overloaded;
        let notice = Notice::new(status, "clock", "sign_in.busy", text)
            .reason(reason)
            .action("page.again", self.login_link(target, Some(provider), false))
            .action("page.start", self.routes.portal());
        let mut page = self.content.notice(visit, &notice);
        page.headers.push(("retry-after", busy.retry_after.as_secs().max(1).to_string()));
        page
    }

    fn choose(&self, visit: &Visit<'_>, parts: &SigningIn, target: &str, status: u16) -> Page {
        let link = |provider: &LoginProvider| self.login_link(target, Some(&provider.id), false);
        let providers = parts.relying_party.providers();
        let choices: Vec<Choice<'_>> =
            providers.iter().map(|provider| Choice { label: &provider.label, href: link(provider) }).collect();
        let sheet = Sheet { status, template: "choose.html", sign: "key", title: "choose.title", form: Form::None };
        self.content.page(visit, &sheet, json!({ "choices": choices }))
    }

    /// The answer for whoever would have to sign in and cannot from here.
    pub(super) fn nobody(&self, visit: &Visit<'_>, parts: &SigningIn) -> Page {
        let login = self.routes.to("/login");
        let notice = Notice::new(401, "key", "sign_in.nobody", "sign_in.nobody_text")
            .reason(Reason::NoCredentials)
            .login_url(format!("{}{login}", parts.public_origin))
            .action("page.sign_in", login);
        self.content.notice(visit, &notice)
    }

    /// Where the browser wants to go, or the portal when it may not go there.
    fn return_target(&self, visit: &Visit<'_>, parts: &SigningIn) -> String {
        let refused = match visit.parameters("rd").as_slice() {
            [] => return self.routes.portal(),
            // The portal is where everybody may go, though it is one of our own pages.
            [rd] if *rd == self.routes.portal() => return self.routes.portal(),
            [rd] => match ReturnTarget::parse(rd, &parts.public_origin, |path| self.routes.is_no_target(path)) {
                Ok(target) => return target.as_str().to_owned(),
                Err(error) => error,
            },
            _ => ReturnTargetError::Repeated,
        };
        count_refused(refused);
        self.routes.portal()
    }

    /// Judges the end of a sign-in once more: what was kept meanwhile may have
    /// been written under another config.
    fn checked(&self, parts: &SigningIn, location: String) -> String {
        let portal = format!("{}{}", parts.public_origin, self.routes.portal());
        if location == portal {
            return location;
        }
        match ReturnTarget::parse(&location, &parts.public_origin, |path| self.routes.is_no_target(path)) {
            Ok(target) => format!("{}{}", parts.public_origin, target.as_str()),
            Err(error) => {
                count_refused(error);
                portal
            }
        }
    }

    fn is_acceptable(&self, parts: &SigningIn, target: &str) -> bool {
        ReturnTarget::parse(target, &parts.public_origin, |path| self.routes.is_no_target(path)).is_ok()
    }

    fn login_link(&self, target: &str, provider: Option<&ProviderId>, again: bool) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(provider) = provider {
            query.append_pair("provider", provider.as_str());
        }
        if again {
            query.append_pair("again", "1");
        }
        if target != self.routes.portal() {
            query.append_pair("rd", target);
        }
        let query = query.finish();
        if query.is_empty() { self.routes.to("/login") } else { self.routes.to(&format!("/login?{query}")) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_secs()).unwrap_or(0)
    }
}

/// What was posted without a session is gone: nobody may think it was sent.
fn form_was_lost() -> Notice {
    Notice::new(200, "trouble", "sign_in.form_lost", "sign_in.form_lost_text").and("sign_in.form_lost_again")
}

struct NoSuchProvider;

/// The provider to sign in at; none while there are several and none is named.
fn chosen<'a>(visit: &Visit<'_>, providers: &'a [LoginProvider]) -> Result<Option<&'a LoginProvider>, NoSuchProvider> {
    let named = visit.parameters("provider");
    match (named.as_slice(), providers) {
        ([], [only]) => Ok(Some(only)),
        ([], _) => Ok(None),
        ([name], _) => {
            let found = providers.iter().find(|provider| provider.id.as_str() == name);
            found.map(Some).ok_or(NoSuchProvider)
        }
        _ => Err(NoSuchProvider),
    }
}

fn count(provider: &ProviderId, result: &'static str) {
    counter!("tiergate_login_total", "provider" => provider.as_str().to_owned(), "result" => result).increment(1);
}

fn count_refused(error: ReturnTargetError) {
    counter!("tiergate_redirect_rejected_total", "reason" => error.as_str()).increment(1);
}
