//! The last decisions of this process, as the decision log wrote them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The last lines of the decision log. They are given by the thread that writes
/// the log, as many at once as it writes, so that no check waits for whoever looks
/// at them here, and read only when somebody asks.
pub struct RecentDecisions {
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Default)]
struct Kept {
    /// What was written together, with its number of lines.
    written: VecDeque<(usize, Arc<[u8]>)>,
    lines: usize,
}

/// One decision. Holds no token, cookie or query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionLine {
    /// When (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub ts: String,
    /// The id of the request.
    pub request_id: String,
    /// The id of the decision.
    pub decision_id: String,
    /// By which door it came: `grpc`, `forward-auth`, `auth-request`, `ext-authz`.
    pub protocol: String,
    /// The method.
    pub method: String,
    /// The canonical host; empty where there is none.
    pub host: String,
    /// The canonical path.
    pub path: String,
    /// The rule that matched.
    pub rule: Option<String>,
    /// The tier that it asked for.
    pub tier: Option<String>,
    /// `allow` or `deny`.
    pub decision: String,
    /// The reason.
    pub reason: String,
    /// The exact cause behind the reason.
    pub cause: Option<String>,
    /// The verified subject.
    pub subject: Option<String>,
    /// The provider that vouches for it.
    pub provider: Option<String>,
    /// How long the decision took, in microseconds.
    pub duration_us: u64,
    /// The fingerprint of the policy that decided.
    pub policy: String,
}

impl RecentDecisions {
    /// Keeps at most `most` lines.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { kept: Mutex::default(), most }
    }

    /// Takes `count` lines of the log, in place of the oldest ones where there are enough.
    pub fn push(&self, written: &[u8], count: usize) {
        if self.most == 0 {
            return;
        }
        let written: Arc<[u8]> = Arc::from(written);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines = kept.lines.saturating_add(count);
        kept.written.push_back((count, written));
        while let Some((oldest, _)) = kept.written.front() {
            let rest = kept.lines.saturating_sub(*oldest);
            if rest < self.most {
                break;
            }
            kept.lines = rest;
            kept.written.pop_front();
        }
    }

    /// How many it keeps at most.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }

    /// The last `limit` decisions that fit, the latest first; and whether there are more.
    #[must_use]
    pub fn find(&self, limit: usize, fits: impl Fn(&DecisionLine) -> bool) -> (Vec<DecisionLine>, bool) {
        // Taken out, so that the writer waits for no parser.
        let kept: Vec<(usize, Arc<[u8]>)> =
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).written.iter().rev().cloned().collect();
        let lines = kept.iter().flat_map(|(_, written)| written.split(|byte| *byte == b'\n').rev());
        let lines = lines.filter(|line| !line.is_empty()).take(self.most);
        let read = lines.filter_map(|line| serde_json::from_slice::<DecisionLine>(line).ok());
        let mut found: Vec<DecisionLine> = read.filter(fits).take(limit.saturating_add(1)).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Vec<u8> {
        format!(
            r#"{{"ts":"2027-01-15T20:00:00.000Z","request_id":"r","decision_id":"d{number}","protocol":"grpc","method":"GET","host":"","path":"/x","rule":null,"tier":null,"decision":"deny","reason":"no_rule","cause":null,"subject":null,"provider":null,"duration_us":{number},"policy":"p"}}
"#
        )
        .into_bytes()
    }

    #[test]
    fn lines_that_were_written_together_count_one_by_one() {
        let recent = RecentDecisions::new(4);
        for batch in [0..3, 3..4, 4..6, 6..16] {
            let count = batch.clone().count();
            recent.push(&batch.flat_map(line).collect::<Vec<u8>>(), count);
        }
        let (found, more) = recent.find(9, |_| true);
        let found: Vec<&str> = found.iter().map(|line| line.decision_id.as_str()).collect();
        assert_eq!((found, more), (vec!["d15", "d14", "d13", "d12"], false));
    }

    #[test]
    fn the_latest_come_first_and_the_oldest_go() {
        let recent = RecentDecisions::new(3);
        (0..5).for_each(|number| recent.push(&line(number), 1));
        let ids = |found: Vec<DecisionLine>| found.into_iter().map(|line| line.decision_id).collect::<Vec<_>>();
        let (found, more) = recent.find(2, |_| true);
        assert_eq!((ids(found), more), (vec!["d4".to_owned(), "d3".to_owned()], true));
        let (found, more) = recent.find(9, |line| line.duration_us < 3);
        assert_eq!((ids(found), more), (vec!["d2".to_owned()], false), "those before are gone");
    }

    #[test]
    fn with_no_place_nothing_is_kept() {
        let recent = RecentDecisions::new(0);
        recent.push(&line(1), 1);
        assert!(recent.find(9, |_| true).0.is_empty());
    }
}
