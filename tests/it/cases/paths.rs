//! `paths`: each target has one reading or none, whoever carries it.

use super::ask::{Answered, Ask, Way, ask};
use super::corpus::{Failures, PathCase, corpus, goes_over, runnable};
use super::service::{service, token};

/// Where our word for the cause is another one than the corpus', by case.
const OUR_WORDS: [(&str, &str); 6] = [
    // A dot segment is one in whatever spelling; trailing blanks are no cause of their own.
    ("P080", "dot-segment"),
    ("P081", "dot-segment"),
    // `..%2F` is wrong in two ways. An encoded slash is judged by the rule that matches, a dot segment before that.
    ("P085", "dot-segment"),
    ("P086", "dot-segment"),
    ("P093", "dot-segment"),
    ("P094", "dot-segment"),
];

/// An absolute URL has no place for a target that does not begin with `/`: cut
/// apart, it names no path, or the target's beginning has become part of the host.
const NOT_IN_A_URL: [&str; 3] = ["ambiguous_target_header", "bad-host", "leading-double-slash"];

/// One request and what came of it.
struct Exchange<'c> {
    case: &'c PathCase,
    way: Way,
    answered: Answered,
}

impl PathCase {
    /// The characters of the target up to U+00FF stand for bytes.
    fn bytes(&self) -> Vec<u8> {
        let byte = |char| u8::try_from(u32::from(char)).expect("a target of bytes");
        self.target.chars().map(byte).collect()
    }

    fn canonical(&self) -> Option<&str> {
        self.expected.strip_prefix("treat-as:")
    }

    fn is_carried_by(&self, way: Way) -> bool {
        let fits = match self.carrier.as_str() {
            "any" => true,
            "grpc-only" => way == Way::Grpc,
            "http-only" => way != Way::Grpc,
            other => panic!("{}: unknown carrier {other}", self.id),
        };
        fits && goes_over(&self.id, way)
    }

    /// The status for a caller without credentials, or for one who holds everything.
    fn status(&self, way: Way, holds_everything: bool) -> u16 {
        match (self.canonical(), holds_everything) {
            (None, _) => way.bad_target(),
            (Some(_), false) => self.anonymous_status.expect("an anonymous status"),
            (Some(_), true) if self.tier.as_deref() == Some("deny") => 403,
            (Some(_), true) => 200,
        }
    }

    fn check_line(&self, way: Way, line: &serde_json::Value) -> Result<(), String> {
        let (reason, cause) = (line["reason"].as_str(), line["cause"].as_str().unwrap_or_default());
        if let Some(canonical) = self.canonical() {
            let same = line["path"] == canonical && reason != Some("bad_target");
            return if same { Ok(()) } else { Err(format!("is not treated as {canonical}: {line}")) };
        }
        let word = self.reason.as_deref().expect("a reason");
        let word = OUR_WORDS.iter().find(|(id, _)| *id == self.id).map_or(word, |(_, ours)| ours);
        let unreadable_in_url =
            way == Way::AuthRequestUrl && word == "not-origin-form" && NOT_IN_A_URL.contains(&cause);
        if reason == Some("bad_target") && (cause == word || unreadable_in_url) {
            return Ok(());
        }
        Err(format!("is refused as {reason:?} {cause:?}, not as bad_target {word:?}"))
    }
}

#[test]
fn every_target_has_one_reading_whoever_carries_it() {
    let mut failures = Failures::default();
    let everything = token("admin devel ea stable");
    let mut exchanges: Vec<Exchange<'_>> = Vec::new();
    for case in runnable(&corpus().paths, |case| &case.id, |_| true, &mut failures) {
        for way in Way::ALL.into_iter().filter(|way| case.is_carried_by(*way)) {
            for holds_everything in [false, true] {
                let request = Ask::get(case.bytes());
                let request = if holds_everything { request.bearer(&everything) } else { request };
                let Some(answered) = failures.note(&case.id, ask(service(), way, &request)) else { continue };
                let expected = case.status(way, holds_everything);
                if answered.status != expected {
                    let caller = if holds_everything { "a caller with every tier" } else { "nobody" };
                    failures.add(&case.id, format!("{way:?} for {caller}: {} in place of {expected}", answered.status));
                }
                exchanges.push(Exchange { case, way, answered });
            }
        }
    }
    let ids: Vec<String> = exchanges.iter().filter_map(|exchange| exchange.answered.request_id.clone()).collect();
    let lines = service().decisions(&ids);
    for Exchange { case, way, answered } in exchanges {
        match &answered.request_id {
            Some(id) => {
                failures.note(&case.id, case.check_line(way, &lines[id]).map_err(|what| format!("{way:?}: {what}")));
            }
            // Such bytes are no HTTP request, so no decision was made or logged.
            None if way == Way::ExtAuthz
                && matches!(case.reason.as_deref(), Some("control-or-space" | "raw-non-ascii")) => {}
            None => failures.add(&case.id, format!("{way:?}: nobody can tell which decision this was")),
        }
    }
    failures.report();
}
