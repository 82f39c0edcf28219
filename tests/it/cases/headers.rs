//! `headers`: what a client writes into headers neither chooses the rule nor
//! reaches the upstream as somebody's identity.

use serde_json::Value;

use super::ask::{Answered, Ask, MANAGED, Way, ask};
use super::corpus::{Failures, HeaderCase, Statuses, corpus, goes_over, runnable};
use super::service::{Service, browser_service, distrusting_service, service, token};

pub(super) const SUBJECT: &str = "u-123";
const BY_COOKIE: &str = "cookie(stable,devel)";

/// The cookies of a case with our name and real sessions in them.
fn cookies(of_case: &str) -> String {
    let [valid, attacker] = &browser_service().1;
    of_case.replace("__Host-sid=", "__Host-tiergate-session=").replace("VALID", valid).replace("ATTACKER", attacker)
}

impl HeaderCase {
    fn can_run(&self) -> bool {
        ["none", "valid(stable,devel)", BY_COOKIE].contains(&self.credentials.as_str())
    }

    fn is_of_a_browser(&self) -> bool {
        self.credentials == BY_COOKIE || self.request_headers.iter().any(|(name, _)| name == "cookie")
    }

    fn ways(&self) -> impl Iterator<Item = Way> {
        let fits = |way: Way| match self.mode.as_str() {
            "any" => true,
            "grpc" => way == Way::Grpc,
            "http" => way != Way::Grpc,
            other => panic!("{}: unknown mode {other}", self.id),
        };
        Way::ALL.into_iter().filter(move |way| fits(*way) && goes_over(&self.id, *way))
    }

    fn service(&self) -> &'static Service {
        match self.peer.as_str() {
            "trusted" if self.is_of_a_browser() => &browser_service().0,
            "trusted" => service(),
            _ => distrusting_service(),
        }
    }

    fn request(&self) -> Ask {
        let mut request = Ask::get(self.path.as_str());
        for (name, value) in &self.request_headers {
            match name.as_str() {
                ":method" => request.method.clone_from(value),
                "host" => request.host = value.clone().into_bytes(),
                "cookie" => request = request.header(name, cookies(value)),
                _ if value.starts_with("\\xff") => request = request.header(name, *b"\xff\xfe"),
                _ => request = request.header(name, value.as_bytes()),
            }
        }
        // H040 is the one that leaves out what it is about.
        request.says_target = self.id != "H040";
        if self.expected.get("redirect_scheme").is_some() {
            // So that there is a cookie to set.
            return request.header("sec-fetch-mode", "navigate").header("cookie", cookies("__Host-sid=gone"));
        }
        match self.credentials.as_str() {
            "none" => request,
            BY_COOKIE => request.header("cookie", cookies("__Host-sid=VALID")),
            _ => request.bearer(&token("stable devel")),
        }
    }

    /// The expectation for one protocol.
    fn expected(&self, way: Way) -> &Value {
        let part = if way == Way::Grpc { "grpc" } else { "http" };
        self.expected.get(part).unwrap_or(&self.expected)
    }

    fn judge(&self, way: Way, answered: &Answered) -> Result<(), String> {
        let expected = self.expected(way);
        if let Some(scheme) = expected.get("redirect_scheme").and_then(Value::as_str) {
            let (location, cookie) = (answered.values("location"), answered.values("set-cookie"));
            let redirects = answered.status == if way.is_nginx() { 401 } else { 302 };
            let login = format!("{scheme}://portal.example.com/_auth/login?rd=/apps/devel/x&why=malformed");
            let fits =
                redirects && location == [login.as_str()] && cookie.len() == 1 && cookie[0].contains("; Secure;");
            return if fits { Ok(()) } else { Err(format!("{} to {location:?} with {cookie:?}", answered.status)) };
        }
        let decision = expected.get("status_nginx").filter(|_| way.is_nginx()).or(expected.get("decision"));
        let decision: Statuses = serde_json::from_value(decision.cloned().unwrap_or_default())
            .map_err(|error| format!("expects no decision: {error}"))?;
        if !decision.hold(answered.status) {
            return Err(format!("{} in place of {decision:?}", answered.status));
        }
        let names = |key: &str| -> Vec<&str> {
            expected.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
        };
        for name in names("remove") {
            if !is_taken_away(way, answered, name) {
                return Err(format!("leaves `{name}` as the client sent it"));
            }
        }
        for name in names("if_allowed_remove").into_iter().filter(|_| answered.status == 200) {
            if !is_taken_away(way, answered, name) && answered.values(name) != [SUBJECT] {
                return Err(format!("leaves `{name}` as the client sent it"));
            }
        }
        for name in names("overwrite") {
            if answered.values(name) != [SUBJECT] || answered.removed.iter().any(|removed| removed == name) {
                return Err(format!("sets `{name}` to {:?}", answered.values(name)));
            }
        }
        for (name, count) in expected.get("upstream_count").and_then(Value::as_object).into_iter().flatten() {
            if answered.values(name).len() as u64 != count.as_u64().unwrap_or(u64::MAX) {
                return Err(format!("sets `{name}` to {:?}", answered.values(name)));
            }
        }
        for (name, value) in expected.get("headers").and_then(Value::as_object).into_iter().flatten() {
            if answered.values(name) != [value.as_str().unwrap_or_default()] {
                return Err(format!("`{name}` is {:?}", answered.values(name)));
            }
        }
        Ok(())
    }
}

/// gRPC tells Envoy to remove a header; over HTTP there is an empty one for
/// the proxy to copy over the client's.
fn is_taken_away(way: Way, answered: &Answered, name: &str) -> bool {
    if way == Way::Grpc {
        answered.removed.iter().any(|removed| removed == name) && answered.values(name).is_empty()
    } else {
        answered.values(name) == [""]
    }
}

#[test]
fn no_header_of_a_client_chooses_the_rule_or_passes_for_an_identity() {
    let mut failures = Failures::default();
    let mut untrusted: Vec<(&str, Option<String>)> = Vec::new();
    let mut browsers: Vec<(&str, Option<String>)> = Vec::new();
    // Both sessions open: what is refused below is not refused for want of one.
    for (way, session) in Way::ALL.into_iter().flat_map(|way| browser_service().1.iter().map(move |id| (way, id))) {
        let request = Ask::get("/apps/devel/x").header("cookie", format!("__Host-tiergate-session={session}"));
        let answered = ask(&browser_service().0, way, &request).unwrap_or_else(|what| panic!("{way:?}: {what}"));
        assert_eq!(answered.status, 200, "{way:?}");
    }
    for case in runnable(&corpus().headers, |case| &case.id, HeaderCase::can_run, &mut failures) {
        for way in case.ways() {
            let answered = ask(case.service(), way, &case.request());
            let Some(answered) = failures.note(&case.id, answered) else { continue };
            let judged = case.judge(way, &answered);
            failures.note(&case.id, judged.map_err(|what| format!("{way:?}: {what}")));
            if case.peer != "trusted" {
                untrusted.push((&case.id, answered.request_id));
            } else if case.is_of_a_browser() {
                browsers.push((&case.id, answered.request_id));
            }
        }
    }
    // H032 to H034: refused for the peer, not for what it said.
    let ids: Vec<String> = untrusted.iter().filter_map(|(_, id)| id.clone()).collect();
    let lines = distrusting_service().decisions(&ids);
    for (case, id) in untrusted {
        let line = id.and_then(|id| lines.get(&id).cloned()).unwrap_or_default();
        if line["reason"] != "spoofed_header" || line["cause"] != "untrusted_peer" {
            failures.add(case, format!("is logged as {line}"));
        }
    }
    let ids: Vec<String> = browsers.iter().filter_map(|(_, id)| id.clone()).collect();
    let lines = browser_service().0.decisions(&ids);
    for (case, id) in browsers {
        let line = id.and_then(|id| lines.get(&id).cloned()).unwrap_or_default();
        let cause = match case {
            "H056" => Value::from("websocket_origin"),
            "H075" | "H076" => Value::from("session_ambiguous"),
            _ => Value::Null,
        };
        if line["cause"] != cause || line["decision"] != "deny" {
            failures.add(case, format!("is logged as {line}"));
        }
    }
    failures.report();
}

/// What the corpus shows with `x-auth-user` holds of every managed header, in
/// every spelling that a CGI or WSGI server reads as the same.
#[test]
fn no_managed_header_passes_in_any_spelling() {
    let spellings = |name: &str| {
        let upper = name.to_ascii_uppercase();
        [name.replace('-', "_"), name.replace('-', "."), name.replacen('-', "_", 1), upper.replace('-', "_"), upper]
    };
    let callers = [None, Some(token("stable devel"))];
    for (name, caller) in MANAGED.iter().flat_map(|name| callers.iter().map(move |caller| (name, caller))) {
        for spelling in spellings(name) {
            let path = if caller.is_some() { "/apps/devel/x" } else { "/public/x" };
            let request = Ask::get(path).header(&spelling, "forged");
            let request = caller.iter().fold(request, |request, token| request.bearer(token));
            let same = spelling.eq_ignore_ascii_case(name);
            for way in Way::ALL {
                let answered = ask(service(), way, &request).unwrap_or_else(|what| panic!("{spelling}: {what}"));
                if way == Way::Grpc || same {
                    assert_eq!(answered.status, 200, "{spelling} over {way:?}");
                    assert!(
                        !answered.headers.iter().any(|(_, value)| value.contains("forged")),
                        "{spelling} over {way:?}"
                    );
                    let lower = spelling.to_ascii_lowercase();
                    let gone = is_taken_away(way, &answered, &lower);
                    assert!(gone || (same && !answered.values(&lower).is_empty()), "{spelling} over {way:?}");
                } else {
                    assert_eq!(answered.status, way.bad_target(), "{spelling} over {way:?}");
                }
            }
        }
    }
}
