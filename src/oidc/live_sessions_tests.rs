use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::session::fixture::{CountingRandom, LIFETIMES, SetClock, TestStore, TestTasks, session, sessions};
use crate::session::{SessionKey, SessionStore as _};
use crate::types::{NameSet, ProviderId, Secret};

/// A provider that rotates refresh tokens and ends a grant whose token comes twice.
struct Rotating {
    clock: Arc<SetClock>,
    /// The number of the one refresh token that counts.
    good: AtomicU32,
    exchanges: AtomicU32,
    given_back: Mutex<Vec<String>>,
    answer: Mutex<Answer>,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Good,
    Slow(Duration),
    Down,
    Panics,
}

impl Rotating {
    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl Vouch for Rotating {
    fn principal(&self, session: &Session) -> Option<Arc<Principal>> {
        let scope = session.authority.claims.get("scope").and_then(serde_json::Value::as_str).unwrap_or_default();
        Some(Arc::new(Principal {
            provider: ProviderId::new("main"),
            issuer: Arc::from(session.issuer.as_str()),
            subject: Box::from(session.subject.as_str()),
            email: None,
            name: None,
            scopes: scope.split(' ').collect(),
            permissions: NameSet::default(),
            groups: NameSet::default(),
            claims: Arc::default(),
            tiers: crate::types::TierSource::default(),
            attributes: Arc::default(),
        }))
    }

    fn renew<'a>(
        &'a self,
        session: &'a Session,
    ) -> Pin<Box<dyn Future<Output = Result<Session, RenewError>> + Send + 'a>> {
        Box::pin(async move {
            self.exchanges.fetch_add(1, Ordering::SeqCst);
            let answer = *self.answer.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Answer::Good => tokio::time::sleep(Duration::from_millis(5)).await,
                Answer::Slow(time) => tokio::time::sleep(time).await,
                Answer::Down => return Err(RenewError::Passing),
                Answer::Panics => panic!("as the test wants"),
            }
            let given = refresh_token(session);
            let good = self.good.load(Ordering::SeqCst);
            if given != format!("refresh-{good}") {
                return Err(RenewError::Ended);
            }
            self.good.store(good + 1, Ordering::SeqCst);
            let mut renewed = session.clone();
            let now = self.clock.now();
            renewed.refresh_token = Some(Secret::new(format!("refresh-{}", good + 1)));
            renewed.authority.expires_at = now.plus(Duration::from_secs(300));
            renewed.authority.claims.insert("scope".to_owned(), json!("access:ea access:devel"));
            renewed.authority.claims.insert("iat".to_owned(), json!(now.as_secs()));
            Ok(renewed)
        })
    }

    fn give_back(&self, session: &Session) {
        self.given_back.lock().unwrap_or_else(PoisonError::into_inner).push(refresh_token(session));
    }
}

fn refresh_token(session: &Session) -> String {
    session.refresh_token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default()
}

#[derive(Default)]
struct Told(Mutex<Vec<Refreshed>>);

impl RefreshWatch for Told {
    fn refreshed(&self, _: &Session, result: Refreshed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(result);
    }
}

struct Stage {
    store: Arc<TestStore>,
    clock: Arc<SetClock>,
    sessions: Sessions,
    provider: Arc<Rotating>,
    told: Arc<Told>,
    live: LiveSessions,
}

impl Stage {
    fn new() -> Self {
        let (store, clock) = (Arc::new(TestStore::default()), SetClock::new());
        let sessions = sessions(&store, &clock);
        let provider = Arc::new(Rotating {
            clock: clock.clone(),
            good: AtomicU32::new(1),
            exchanges: AtomicU32::new(0),
            given_back: Mutex::default(),
            answer: Mutex::new(Answer::Good),
        });
        let told = Arc::new(Told::default());
        let live = Self::replica(&sessions, &provider, &clock, &told);
        Self { store, clock, sessions, provider, told, live }
    }

    fn replica(sessions: &Sessions, provider: &Arc<Rotating>, clock: &Arc<SetClock>, told: &Arc<Told>) -> LiveSessions {
        let ports = LivePorts {
            vouch: provider.clone(),
            clock: clock.clone(),
            random: Arc::new(CountingRandom),
            tasks: Arc::new(TestTasks),
            watch: told.clone(),
        };
        LiveSessions::new(sessions.clone(), ports)
    }

    fn exchanges(&self) -> u32 {
        self.provider.exchanges.load(Ordering::SeqCst)
    }

    fn told(&self) -> Vec<Refreshed> {
        self.told.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn until(&self, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(10), "not done in time");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn holds_devel(live: &LiveSession) -> bool {
    live.principal.scopes.contains("access:devel")
}

#[tokio::test]
async fn a_fresh_session_asks_nobody() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    let live = stage.live.find(&id).await.unwrap();
    assert_eq!(live.principal.subject.as_ref(), "u-1");
    assert_eq!(stage.exchanges(), 0);
}

#[tokio::test]
async fn a_store_that_does_not_write_holds_nobody_up() {
    let stage = Stage::new();
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(stage.sessions.begin(&session("u-1")).await.unwrap());
    }
    let all_are_live = || ids.iter().all(|id| matches!(stage.live.find(id).now_or_never(), Some(Ok(_))));
    let touched = || {
        let idle_until = Some(stage.clock.now().plus(LIFETIMES.idle));
        ids.iter().filter(|id| stage.store.idle_until(SessionKey::of(id)) == idle_until).count()
    };
    stage.clock.forward(Duration::from_secs(200));
    stage.store.stall_touches();
    assert!(all_are_live(), "opened");
    assert!(all_are_live(), "known from before");
    assert_eq!((stage.store.write_on(), touched()), (256, 0), "no more than so many at once");
    stage.until(|| touched() == 256).await;
    assert!(all_are_live());
    assert_eq!(touched(), 300, "the others at their next use");
}

#[tokio::test]
async fn a_session_is_renewed_ahead_while_requests_go_on() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.provider.answer(Answer::Slow(Duration::from_millis(50)));
    stage.clock.forward(Duration::from_secs(250));
    let start = Instant::now();
    assert!(!holds_devel(&stage.live.find(&id).await.unwrap()));
    assert!(start.elapsed() < Duration::from_millis(40), "nobody waits");
    stage.until(|| stage.told() == [Refreshed::Renewed]).await;
    assert!(holds_devel(&stage.live.find(&id).await.unwrap()));
    assert_eq!(stage.exchanges(), 1);
}

#[tokio::test]
async fn a_session_whose_word_is_over_waits_for_the_new_one() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.clock.forward(Duration::from_secs(301));
    assert!(holds_devel(&stage.live.find(&id).await.unwrap()));
}

#[tokio::test]
async fn of_many_requests_on_two_replicas_one_refreshes() {
    let stage = Stage::new();
    let other = Stage::replica(&stage.sessions, &stage.provider, &stage.clock, &stage.told);
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    for expiry in 1..=10 {
        stage.clock.forward(Duration::from_secs(301));
        let asked =
            (0..100).map(|number| if number % 2 == 0 { &stage.live } else { &other }).map(|live| live.find(&id));
        for answer in futures_util::future::join_all(asked).await {
            assert!(answer.is_ok());
        }
        stage.until(|| stage.told().len() == expiry).await;
        assert_eq!(stage.exchanges(), u32::try_from(expiry).unwrap());
    }
    assert!(stage.told().iter().all(|result| *result == Refreshed::Renewed));
}

#[tokio::test]
async fn a_provider_that_is_down_ends_nothing_and_is_not_pressed() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.provider.answer(Answer::Down);
    stage.clock.forward(Duration::from_secs(301));
    for _ in 0..20 {
        assert!(stage.live.find(&id).await.is_ok());
    }
    assert_eq!(stage.exchanges(), 1, "it pauses after a failure");
    stage.clock.forward(PAUSE_AFTER_FAILURE);
    stage.provider.answer(Answer::Good);
    assert!(holds_devel(&stage.live.find(&id).await.unwrap()));
    // The session's own end comes all the same.
    stage.provider.answer(Answer::Down);
    stage.clock.forward(LIFETIMES.absolute);
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Unknown);
}

#[tokio::test]
async fn a_provider_that_hangs_holds_a_check_for_a_moment_only() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.provider.answer(Answer::Slow(Duration::from_secs(2)));
    stage.clock.forward(Duration::from_secs(301));
    let start = Instant::now();
    assert!(stage.live.find(&id).await.is_ok());
    assert!((100..1000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert!(REFRESH_WAIT <= Duration::from_millis(100), "store and directory need the rest of the 170 ms of a check");
}

#[tokio::test]
async fn a_grant_that_the_provider_ended_ends_the_session() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.provider.good.store(7, Ordering::SeqCst);
    stage.clock.forward(Duration::from_secs(301));
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Expired);
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Unknown);
}

#[tokio::test]
async fn without_a_refresh_token_a_session_ends_with_its_word() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&Session { refresh_token: None, ..session("u-1") }).await.unwrap();
    stage.clock.forward(Duration::from_millis(299_999));
    let live = stage.live.find(&id).await.unwrap();
    assert_eq!(live.ends_at, SetClock::START.plus(Duration::from_secs(300)));
    stage.clock.forward(Duration::from_millis(1));
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Expired);
    assert_eq!(stage.exchanges(), 0);
}

#[tokio::test]
async fn who_signs_out_during_a_refresh_stays_signed_out() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.provider.answer(Answer::Slow(Duration::from_millis(30)));
    stage.clock.forward(Duration::from_secs(250));
    stage.live.find(&id).await.unwrap();
    stage.until(|| stage.exchanges() == 1).await;
    stage.sessions.end(SessionKey::of(&id)).await.unwrap();
    stage.until(|| stage.told().len() == 1).await;
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Unknown);
    assert_eq!(*stage.provider.given_back.lock().unwrap_or_else(PoisonError::into_inner), ["refresh-2"]);
}

#[tokio::test]
async fn new_tokens_are_kept_though_the_store_fails_for_a_moment() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.provider.answer(Answer::Slow(Duration::from_millis(40)));
    stage.clock.forward(Duration::from_secs(250));
    stage.live.find(&id).await.unwrap();
    stage.until(|| stage.exchanges() == 1).await;
    stage.store.break_it(true);
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Unavailable);
    stage.store.break_it(false);
    stage.until(|| stage.told() == [Refreshed::Renewed]).await;
    assert!(holds_devel(&stage.live.find(&id).await.unwrap()));
}

#[tokio::test]
async fn a_replica_that_dies_with_the_lease_holds_nobody_up_for_long() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.clock.forward(Duration::from_secs(301));
    let now = stage.clock.now();
    let dead = Lease([9; 16]);
    assert!(stage.store.claim_refresh(SessionKey::of(&id), dead, now.plus(LEASE), now).await.unwrap());
    assert!(!holds_devel(&stage.live.find(&id).await.unwrap()));
    stage.clock.forward(LEASE);
    stage.until(|| stage.told() == [Refreshed::Renewed]).await;
    assert!(holds_devel(&stage.live.find(&id).await.unwrap()));
}

#[tokio::test]
async fn a_panic_in_a_refresh_ends_nothing_but_that_refresh() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.provider.answer(Answer::Panics);
    stage.clock.forward(Duration::from_secs(301));
    assert!(stage.live.find(&id).await.is_ok());
    stage.provider.answer(Answer::Good);
    stage.clock.forward(LEASE);
    assert!(holds_devel(&stage.live.find(&id).await.unwrap()));
}

#[tokio::test]
async fn who_gains_rights_gets_a_new_id_and_the_old_one_ends() {
    let stage = Stage::new();
    let old = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.clock.forward(Duration::from_secs(301));
    let live = stage.live.find(&old).await.unwrap();
    assert!(holds_devel(&live));
    let set = live.set_cookie.clone().expect("a new cookie").header_value();
    let value = set.split(['=', ';']).nth(1).unwrap();
    let new = SessionId::parse(value).unwrap();
    assert!(new != old);
    assert!(stage.live.find(&new).await.unwrap().set_cookie.is_none());
    stage.clock.forward(Duration::from_secs(30));
    assert_eq!(stage.live.find(&old).await.unwrap_err(), NoSession::Unknown);
    // The next refresh brings nothing new.
    stage.clock.forward(Duration::from_secs(300));
    assert!(stage.live.find(&new).await.unwrap().set_cookie.is_none());
    assert_eq!(stage.told(), [Refreshed::Renewed, Refreshed::Renewed]);
}

#[tokio::test]
async fn both_ids_of_a_session_have_one_refresh() {
    let stage = Stage::new();
    let old = stage.sessions.begin(&session("u-1")).await.unwrap();
    stage.clock.forward(Duration::from_secs(301));
    stage.live.find(&old).await.unwrap();
    let new = stage.sessions.open(&old).await.unwrap().id;
    stage.clock.forward(Duration::from_secs(301));
    let asked = (0..100).map(|number| stage.live.find(if number % 2 == 0 { &old } else { &new }));
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.is_ok());
    }
    stage.until(|| stage.told().len() == 2).await;
    assert_eq!((stage.exchanges(), stage.told()), (2, vec![Refreshed::Renewed, Refreshed::Renewed]));
}

#[tokio::test]
async fn a_session_that_was_opened_before_is_not_opened_again_and_ends_at_once() {
    let stage = Stage::new();
    let id = stage.sessions.begin(&session("u-1")).await.unwrap();
    let first = stage.live.find(&id).await.unwrap();
    stage.clock.forward(Duration::from_secs(10));
    let again = stage.live.find(&id).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    // Written down as a use, which makes another record of the same seal.
    stage.clock.forward(LIFETIMES.idle / 9);
    assert!(Arc::ptr_eq(&first, &stage.live.find(&id).await.unwrap()));
    assert!(Arc::ptr_eq(&first, &stage.live.find(&id).await.unwrap()));
    let stored = stage.store.find(first.key, stage.clock.now()).await.unwrap().unwrap();
    assert!(stored.idle_until > SetClock::START.plus(LIFETIMES.idle));

    stage.sessions.end(first.key).await.unwrap();
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Unknown);
    let id = stage.sessions.begin(&session("u-2")).await.unwrap();
    assert_eq!(stage.live.find(&id).await.unwrap().principal.subject.as_ref(), "u-2");
    stage.store.break_it(true);
    assert_eq!(stage.live.find(&id).await.unwrap_err(), NoSession::Unavailable);
}

/// One of two services to which the same happens; only one of them remembers.
struct Twin {
    stage: Stage,
    ids: Vec<SessionId>,
    remembers: bool,
}

/// What is told of a session.
type Answered = Result<(String, bool, UnixTime, UnixTime, bool), NoSession>;

impl Twin {
    fn new(remembers: bool) -> Self {
        let stage = Stage::new();
        stage.provider.answer(Answer::Down);
        Self { stage, ids: Vec::new(), remembers }
    }

    async fn ask(&self, id: &SessionId) -> Answered {
        let Stage { sessions, provider, clock, told, live, .. } = &self.stage;
        let found = if self.remembers {
            live.find(id).await
        } else {
            Stage::replica(sessions, provider, clock, told).find(id).await
        };
        // A refresh that was begun ends before the clock goes on.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        found.map(|live| {
            let subject = live.principal.subject.as_ref().to_owned();
            (subject, holds_devel(&live), live.signed_in_at, live.ends_at, live.set_cookie.is_some())
        })
    }

    /// What happens, and what is told and kept of it.
    async fn take(&mut self, step: &Step) -> (Option<Answered>, Option<(u64, UnixTime, UnixTime)>) {
        let Stage { sessions, clock, store, .. } = &self.stage;
        let now = clock.now();
        let id = |which: usize| self.ids.get(which % self.ids.len().max(1)).cloned();
        let of = match step {
            Step::Begin(subject, has_refresh, life) => {
                let mut new = session(&format!("u-{subject}"));
                new.signed_in_at = now;
                new.authority.expires_at = now.plus(Duration::from_secs(*life));
                new.refresh_token = new.refresh_token.filter(|_| *has_refresh);
                self.ids.extend(sessions.begin(&new).await);
                return (None, None);
            }
            Step::Pass(secs) => {
                clock.forward(Duration::from_secs(*secs));
                return (None, None);
            }
            Step::Break(broken) => {
                store.break_it(*broken);
                return (None, None);
            }
            Step::Ask(which) | Step::End(which) | Step::Renew(which, _) | Step::Touch(which) => id(*which),
        };
        let Some(of) = of else { return (None, None) };
        match step {
            Step::End(_) => drop(sessions.end_of(&of).await),
            Step::Touch(_) => {
                let until = now.plus(LIFETIMES.idle);
                drop(store.touch(SessionKey::of(&of), until, now).await);
            }
            Step::Renew(_, moves) => {
                if let Ok(opened) = sessions.open(&of).await {
                    let mut renewed = opened.session.clone();
                    renewed.authority.expires_at = now.plus(Duration::from_secs(600));
                    renewed.authority.claims.insert("scope".to_owned(), json!("access:ea access:devel"));
                    if *moves {
                        drop(sessions.move_on(&opened, &renewed).await);
                        if let Ok(moved) = sessions.open(&of).await {
                            self.ids.push(moved.id);
                        }
                    } else {
                        drop(sessions.replace(&opened, &renewed).await);
                    }
                }
            }
            Step::Ask(_) | Step::Begin(..) | Step::Pass(_) | Step::Break(_) => {}
        }
        let told = self.ask(&of).await;
        let stored = store.find(SessionKey::of(&of), now).await.ok().flatten();
        (Some(told), stored.map(|stored| (stored.version, stored.idle_until, stored.ends_at)))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Begin(u8, bool, u64),
    Pass(u64),
    Break(bool),
    Ask(usize),
    End(usize),
    Renew(usize, bool),
    Touch(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0u8..3, any::<bool>(), 0u64..2000).prop_map(|(who, refresh, life)| Step::Begin(who, refresh, life)),
        12 => (0usize..8).prop_map(Step::Ask),
        3 => (0u64..200).prop_map(Step::Pass),
        1 => (0u64..4000).prop_map(Step::Pass),
        1 => prop::bool::weighted(0.3).prop_map(Step::Break),
        1 => (0usize..8).prop_map(Step::End),
        2 => (0usize..8, any::<bool>()).prop_map(|(which, moves)| Step::Renew(which, moves)),
        1 => (0usize..8).prop_map(Step::Touch),
    ];
    prop::collection::vec(step, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever happens to sessions: who remembers them tells and keeps what they
    /// do who open each anew.
    #[test]
    fn what_is_remembered_of_a_session_is_what_opening_it_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut remembering, mut forgetful) = (Twin::new(true), Twin::new(false));
            for step in &steps {
                prop_assert_eq!(remembering.take(step).await, forgetful.take(step).await, "{:?}", step);
            }
            Ok(())
        })?;
    }
}
