//! The corpus as data, and the list of what does not apply.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::ask::Way;

/// The attack cases, as they were written down before the service was.
#[derive(Debug, Deserialize)]
pub(super) struct Corpus {
    pub(super) meta: Value,
    pub(super) paths: Vec<PathCase>,
    pub(super) tokens: Vec<TokenCase>,
    pub(super) headers: Vec<HeaderCase>,
    pub(super) jwks: Vec<PlainCase>,
    pub(super) protocol: Vec<PlainCase>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PathCase {
    pub(super) id: String,
    pub(super) target: String,
    pub(super) expected: String,
    pub(super) reason: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) anonymous_status: Option<u16>,
    pub(super) carrier: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct TokenCase {
    pub(super) id: String,
    pub(super) expected: Statuses,
    pub(super) reason: String,
    pub(super) sign: Option<Sign>,
    #[serde(default)]
    pub(super) header: Map<String, Value>,
    #[serde(default)]
    pub(super) claims: Map<String, Value>,
    #[serde(default)]
    pub(super) header_del: Vec<String>,
    #[serde(default)]
    pub(super) claims_del: Vec<String>,
    pub(super) wire: Option<String>,
    pub(super) present: Option<String>,
    pub(super) setup: Option<String>,
    #[serde(default)]
    pub(super) assert_no_outbound: bool,
    pub(super) assert_jwks_fetches_max: Option<usize>,
    pub(super) assert_max_ms: Option<u64>,
    pub(super) repeat: Option<usize>,
    pub(super) then_valid: Option<u16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Sign {
    pub(super) key: Option<String>,
    pub(super) alg: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HeaderCase {
    pub(super) id: String,
    pub(super) mode: String,
    pub(super) peer: String,
    pub(super) path: String,
    pub(super) credentials: String,
    pub(super) request_headers: Vec<(String, String)>,
    pub(super) expected: Value,
}

/// A case in words; the test that runs it is found by its id.
#[derive(Debug, Deserialize)]
pub(super) struct PlainCase {
    pub(super) id: String,
    pub(super) desc: String,
}

/// One status, or any of several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Statuses {
    One(u16),
    Any(Vec<u16>),
}

impl Statuses {
    pub(super) fn hold(&self, status: u16) -> bool {
        match self {
            Self::One(one) => *one == status,
            Self::Any(any) => any.contains(&status),
        }
    }
}

/// What is not run, with the reasons.
#[derive(Debug, Deserialize)]
struct Applicability {
    not_run: BTreeMap<String, String>,
    not_over: BTreeMap<String, BTreeMap<String, String>>,
}

pub(super) fn corpus() -> &'static Corpus {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    CORPUS.get_or_init(|| serde_json::from_str(include_str!("../../vectors/attacks/cases.json")).expect("cases.json"))
}

fn applicability() -> &'static Applicability {
    static LIST: OnceLock<Applicability> = OnceLock::new();
    LIST.get_or_init(|| {
        serde_json::from_str(include_str!("../../vectors/attacks/applicability.json")).expect("applicability.json")
    })
}

/// Whether the list says that this case is not run at all.
pub(super) fn is_listed(id: &str) -> bool {
    applicability().not_run.contains_key(id)
}

/// Whether this case is run over this protocol.
pub(super) fn goes_over(id: &str, way: Way) -> bool {
    !applicability().not_over.get(id).is_some_and(|ways| ways.contains_key(way.as_str()))
}

/// What went wrong, by case; a test ends with [`Failures::report`].
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<String>);

impl Failures {
    /// Notes that a case failed.
    pub(super) fn add(&mut self, id: &str, what: impl AsRef<str>) {
        self.0.push(format!("{id}: {}", what.as_ref()));
    }

    /// Notes an error, if it is one.
    pub(super) fn note<T>(&mut self, id: &str, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|what| self.add(id, what)).ok()
    }

    /// Fails the test with every failure at once.
    pub(super) fn report(self) {
        assert!(self.0.is_empty(), "{} failures:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// The cases to run of `all` with their ids, after checking them against the
/// list: a case that nothing runs has to be listed, one that is run must not be.
pub(super) fn runnable<'c, C>(
    all: &'c [C],
    id: impl Fn(&C) -> &str,
    can_run: impl Fn(&C) -> bool,
    failures: &mut Failures,
) -> Vec<&'c C> {
    assert!(!all.is_empty(), "the corpus has no such cases");
    all.iter()
        .filter(|case| {
            match (can_run(case), is_listed(id(case))) {
                (true, false) => return true,
                (true, true) => failures.add(id(case), "can be run and is listed as not applicable"),
                (false, false) => failures.add(id(case), "is neither run nor listed as not applicable"),
                (false, true) => {}
            }
            false
        })
        .collect()
}

#[test]
fn the_list_names_only_cases_of_the_corpus_and_gives_reasons() {
    let Corpus { meta, paths, tokens, headers, jwks, protocol } = corpus();
    assert!(meta["about"].as_str().is_some_and(|about| about.contains("independent")));
    let plain = jwks.iter().chain(protocol).map(|case| (&case.id, Some(&case.desc)));
    let ids: Vec<&String> = (paths.iter().map(|case| &case.id))
        .chain(tokens.iter().map(|case| &case.id))
        .chain(headers.iter().map(|case| &case.id))
        .chain(plain.map(|(id, _)| id))
        .collect();
    let Applicability { not_run, not_over } = applicability();
    let reasons = not_run.iter().chain(not_over.iter().flat_map(|(id, ways)| ways.values().map(move |why| (id, why))));
    for (id, reason) in reasons {
        assert!(ids.contains(&id), "{id} is no case of the corpus");
        assert!(reason.split_whitespace().count() >= 5, "{id} has no reason");
    }
    for (id, ways) in not_over {
        assert!(!is_listed(id), "{id} is not run at all, so it needs no list of protocols");
        for way in ways.keys() {
            assert!(Way::ALL.iter().any(|known| known.as_str() == way), "{id}: there is no protocol {way}");
        }
    }
}
