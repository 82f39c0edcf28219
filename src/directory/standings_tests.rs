//! What is remembered is never older than what a finished change or look made
//! known, whatever happens in between.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::types::{NameSet, ProviderId};

const MAX_STALE: Duration = Duration::from_secs(60);

fn key(name: u8) -> UserKey {
    UserKey::new(&ProviderId::new("main"), &format!("u-{name}"))
}

fn standing(name: u8, sequence: u64) -> Arc<Standing> {
    Arc::new(Standing {
        id: UserId::from_bytes([name; 16]),
        is_disabled: false,
        valid_from: None,
        groups: NameSet::default(),
        grants: Box::default(),
        attributes: Arc::new(Map::new()),
        rights: super::super::Rights::default(),
        email: None,
        name: None,
        sequence,
    })
}

fn at(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

fn following() -> Standings {
    let standings = Standings::new(1000, MAX_STALE);
    standings.begin(0, at(0));
    standings
}

fn load(standings: &Standings, name: u8, sequence: u64) {
    let ticket = standings.ticket(&key(name));
    standings.settle(&key(name), ticket, Some(standing(name, sequence)));
}

fn sequence(recalled: &Recalled) -> Option<u64> {
    match recalled {
        Recalled::Known(Some(standing)) => Some(standing.sequence),
        Recalled::Known(None) => Some(0),
        Recalled::Stale(_) | Recalled::Nothing => None,
    }
}

#[test]
fn a_load_from_before_a_change_keeps_nothing_also_where_it_was_evicted() {
    for evicted in [false, true] {
        let standings = following();
        load(&standings, 1, 1);
        let ticket = standings.ticket(&key(1));
        standings.apply(&key(1), standing(1, 2));
        if evicted {
            standings.evict(&key(1));
        }
        standings.settle(&key(1), ticket, Some(standing(1, 1)));
        let known = sequence(&standings.recall(&key(1), at(0)));
        assert_eq!(known, if evicted { None } else { Some(2) });
    }
}

#[test]
fn who_is_not_there_is_remembered_until_they_are() {
    let standings = following();
    let ticket = standings.ticket(&key(1));
    standings.settle(&key(1), ticket, None);
    assert_eq!(standings.recall(&key(1), at(0)), Recalled::Known(None));
    let mark = standings.mark(at(1)).unwrap();
    let users = vec![(key(1), standing(1, 5).as_ref().clone())];
    assert!(standings.take(mark, Changes { users, through: 5 }, at(1), true));
    assert_eq!(sequence(&standings.recall(&key(1), at(1))), Some(5));
}

#[test]
fn what_is_known_counts_as_long_as_changes_are_followed_and_for_a_while_after() {
    let standings = following();
    load(&standings, 1, 1);
    assert!(matches!(standings.recall(&key(1), at(60_000)), Recalled::Known(_)));
    assert!(matches!(standings.recall(&key(1), at(60_001)), Recalled::Stale(_)));
    let mark = standings.mark(at(59_000)).unwrap();
    assert!(standings.take(mark, Changes { users: Vec::new(), through: 0 }, at(59_000), true));
    assert!(matches!(standings.recall(&key(1), at(119_000)), Recalled::Known(_)));
    // A page of many is no look at everything.
    let mark = standings.mark(at(100_000)).unwrap();
    assert!(standings.take(mark, Changes { users: Vec::new(), through: 3 }, at(100_000), false));
    assert!(matches!(standings.recall(&key(1), at(119_001)), Recalled::Stale(_)));
}

#[test]
fn a_database_that_went_back_and_one_that_was_away_leave_nothing() {
    let standings = following();
    let mark = standings.mark(at(1)).unwrap();
    assert!(standings.take(mark, Changes { users: Vec::new(), through: 10 }, at(1), true));
    load(&standings, 1, 9);
    let (ticket, mark) = (standings.ticket(&key(1)), standings.mark(at(2)).unwrap());
    assert!(!standings.take(mark, Changes { users: Vec::new(), through: 9 }, at(2), true));
    assert_eq!(standings.recall(&key(1), at(2)), Recalled::Nothing);
    standings.settle(&key(1), ticket, Some(standing(1, 9)));
    assert_eq!(standings.recall(&key(1), at(2)), Recalled::Nothing);
    assert_eq!(standings.mark(at(3)), None);

    standings.begin(9, at(3));
    load(&standings, 1, 9);
    standings.failed();
    assert!(standings.mark(at(2000)).is_some(), "one late answer is no gap");
    assert!(matches!(standings.recall(&key(1), at(2100)), Recalled::Known(_)), "what was known counts on");
    assert_eq!(standings.mark(at(2100)), None);
    standings.begin(12, at(2100));
    assert_eq!(standings.recall(&key(1), at(2100)), Recalled::Nothing);
}

#[test]
fn a_look_from_before_everything_was_dropped_says_nothing_of_how_far_we_are() {
    type Drop = fn(&Standings);
    let began: (Drop, Option<u64>) = (|standings| standings.begin(5, at(2)), Some(5));
    let lost: (Drop, Option<u64>) = (Standings::lose, None);
    for (drop_all, through) in [began, lost] {
        let standings = following();
        let mark = standings.mark(at(1)).unwrap();
        drop_all(&standings);
        // Of a database that was further on: what the present one changes up to there would never be asked for.
        assert!(standings.take(mark, Changes { users: Vec::new(), through: 10 }, at(1), true));
        assert_eq!(standings.mark(at(3)).map(|mark| mark.through), through);
    }
}

#[test]
fn nothing_is_kept_where_nothing_is_followed() {
    let standings = Standings::new(1000, MAX_STALE);
    load(&standings, 1, 1);
    assert_eq!(standings.recall(&key(1), at(0)), Recalled::Nothing);
    assert!(!standings.counts(at(0)));
}

#[test]
fn what_a_change_came_to_is_forgotten_where_it_cannot_be_told() {
    let standings = following();
    load(&standings, 1, 1);
    load(&standings, 2, 2);
    let ticket = standings.ticket(&key(1));
    standings.forget_id(UserId::from_bytes([1; 16]));
    standings.settle(&key(1), ticket, Some(standing(1, 1)));
    assert_eq!(standings.recall(&key(1), at(0)), Recalled::Nothing);
    assert_eq!(sequence(&standings.recall(&key(2), at(0))), Some(2));
}

const NAMES: u8 = 3;

/// One step of somebody; what began earlier ends later.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another replica changes the record.
    Elsewhere(u8),
    /// This one does, and is not told so far.
    Write(u8),
    /// It is told of the change that was made first of those, or last.
    Written {
        last: bool,
    },
    LoadBegins(u8),
    /// The store reads for the load in this place.
    LoadReads(usize),
    LoadEnds(usize),
    /// The store answers what changed, with this many records at most.
    FollowReads(usize),
    FollowEnds(usize),
    Evict(u8),
    Forget(u8),
    Lose,
    Begin,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES;
    let step = prop_oneof![
        3 => name.clone().prop_map(Step::Elsewhere),
        3 => name.clone().prop_map(Step::Write),
        3 => any::<bool>().prop_map(|last| Step::Written { last }),
        4 => name.clone().prop_map(Step::LoadBegins),
        4 => (0..4usize).prop_map(Step::LoadReads),
        4 => (0..4usize).prop_map(Step::LoadEnds),
        3 => (1..4usize).prop_map(Step::FollowReads),
        3 => (0..3usize).prop_map(Step::FollowEnds),
        1 => name.clone().prop_map(Step::Evict),
        1 => name.prop_map(Step::Forget),
        1 => Just(Step::Lose),
        1 => Just(Step::Begin),
    ];
    proptest::collection::vec(step, 1..120)
}

#[derive(Default)]
struct World {
    sequence: u64,
    /// The store: who has which sequence.
    stored: BTreeMap<u8, u64>,
    /// What everybody may rely on: a finished change or look made it known.
    known: BTreeMap<u8, u64>,
    writes: Vec<(u8, u64)>,
    loads: Vec<(u8, Ticket, Option<u64>)>,
    follows: Vec<(Mark, Changes, bool)>,
}

impl World {
    fn commit(&mut self, name: u8) -> u64 {
        self.sequence += 1;
        self.stored.insert(name, self.sequence);
        self.sequence
    }

    fn make_known(&mut self, name: u8, sequence: u64) {
        let known = self.known.entry(name).or_default();
        *known = (*known).max(sequence);
    }

    fn step(&mut self, standings: &Standings, step: Step) {
        match step {
            Step::Elsewhere(name) => {
                self.commit(name);
            }
            Step::Write(name) => {
                let sequence = self.commit(name);
                self.writes.push((name, sequence));
            }
            Step::Written { last } => {
                let place = if last { self.writes.len().saturating_sub(1) } else { 0 };
                if place < self.writes.len() {
                    let (name, sequence) = self.writes.remove(place);
                    standings.apply(&key(name), standing(name, sequence));
                    self.make_known(name, sequence);
                }
            }
            Step::LoadBegins(name) => self.loads.push((name, standings.ticket(&key(name)), None)),
            Step::LoadReads(place) => {
                if let Some((name, _, read)) = self.loads.get_mut(place) {
                    *read = read.or(Some(self.stored.get(name).copied().unwrap_or(0)));
                }
            }
            Step::LoadEnds(place) => {
                if self.loads.get(place).is_some_and(|(_, _, read)| read.is_some()) {
                    let (name, ticket, read) = self.loads.remove(place);
                    let found = read.filter(|sequence| *sequence > 0).map(|sequence| standing(name, sequence));
                    standings.settle(&key(name), ticket, found);
                }
            }
            Step::FollowReads(limit) => {
                if let Some(mark) = standings.mark(at(0)) {
                    let mut later: Vec<(u64, u8)> =
                        self.stored.iter().map(|(name, sequence)| (*sequence, *name)).collect();
                    later.retain(|(sequence, _)| *sequence > mark.through);
                    later.sort_unstable();
                    let is_all = later.len() < limit;
                    later.truncate(limit);
                    let through = if is_all { self.sequence } else { later.last().unwrap().0 };
                    let record = |(sequence, name): (u64, u8)| (key(name), standing(name, sequence).as_ref().clone());
                    self.follows.push((
                        mark,
                        Changes { users: later.into_iter().map(record).collect(), through },
                        is_all,
                    ));
                }
            }
            Step::FollowEnds(place) => {
                if place < self.follows.len() {
                    let (mark, changes, is_all) = self.follows.remove(place);
                    let users: Vec<(u8, u64)> = (0..NAMES)
                        .filter_map(|name| {
                            let (_, standing) = changes.users.iter().find(|(held, _)| *held == key(name))?;
                            Some((name, standing.sequence))
                        })
                        .collect();
                    assert!(standings.take(mark, changes, at(0), is_all));
                    for (name, sequence) in users {
                        self.make_known(name, sequence);
                    }
                }
            }
            Step::Evict(name) => standings.evict(&key(name)),
            Step::Forget(name) => {
                standings.forget(&key(name));
                self.make_known(name, self.stored.get(&name).copied().unwrap_or(0));
            }
            Step::Lose => standings.lose(),
            Step::Begin => {
                standings.begin(self.sequence, at(0));
                for (name, sequence) in self.stored.clone() {
                    self.make_known(name, sequence);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_recalled_is_never_older_than_what_was_made_known(steps in steps()) {
        let (standings, mut world) = (following(), World::default());
        for step in steps {
            world.step(&standings, step);
            for name in 0..NAMES {
                if let Some(recalled) = sequence(&standings.recall(&key(name), at(0))) {
                    let known = world.known.get(&name).copied().unwrap_or(0);
                    prop_assert!(recalled >= known, "{name}: {recalled} is older than {known} after {step:?}");
                }
            }
        }
    }
}
