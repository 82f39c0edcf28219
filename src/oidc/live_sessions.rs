//! The sessions as a check asks for them: opened, and kept fresh.
//!
//! ```text
//! id ─open─▶ session ─fresh?──▶ principal
//!                      │ soon: refresh in the background, go on
//!                      └ over: refresh, wait a little, go on with what there is
//! ```
//!
//! A refresh token may count once (RFC 9700 section 4.14.2), so a session has
//! one refresh in flight: in this process by [`Flights`], among all replicas by
//! the lease in the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::error::RenewError;
use super::flights::{Flight, Flights, Landed};
use crate::session::{
    Found, KnownSessions, Lease, LiveSession, NoSession, Opened, Session, SessionError, SessionId, SessionSource,
    Sessions, SetCookie, StoreError,
};
use crate::types::{Clock, Monotonic, NameSet, Principal, Random, Tasks, UnixTime};

/// How long a check waits for a refresh that it cannot do without. All that a
/// check waits for has 170 ms together (`check::deadline`): when this is over, the
/// session goes on without, and what is left is for the store before it and the
/// user directory after it.
const REFRESH_WAIT: Duration = Duration::from_millis(100);
/// The part of its life for which the provider's word is renewed ahead of its end.
const AHEAD_PART: u32 = 4;
/// The longest time ahead.
const MAX_AHEAD: Duration = Duration::from_secs(60);
/// How long a replica may hold the refresh of a session: what the provider says
/// of itself, the exchange and its keys may take 14 s, and writing the result,
/// with a store that does not answer, 6 s more.
const LEASE: Duration = Duration::from_secs(30);
/// How often those who do not hold the lease look whether it is done.
const LOOK: Duration = Duration::from_millis(40);
/// The pause after a refresh that failed though the grant may still be good.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How often a result is written again when the store does not answer: the
/// token that it replaces counts no more.
const WRITES: u32 = 20;

/// Who says what a session is worth: the relying party.
pub trait Vouch: Send + Sync {
    /// Whom the session speaks of, by the settings that hold as long as this
    /// does: of the same session it always says the same.
    fn principal(&self, session: &Session) -> Option<Arc<Principal>>;
    /// The session with new tokens.
    fn renew<'a>(
        &'a self,
        session: &'a Session,
    ) -> Pin<Box<dyn Future<Output = Result<Session, RenewError>> + Send + 'a>>;
    /// Tells the provider that nobody will use the tokens of this session.
    fn give_back(&self, session: &Session);
}

/// What became of a refresh; for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// The session has new tokens.
    Renewed,
    /// The provider ended the grant, and the session with it.
    Ended,
    /// It failed, and the grant may still be good.
    Passing,
    /// The provider gave new tokens, and the store did not take them.
    Lost,
}

impl Refreshed {
    /// The constant word for the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Ended => "ended",
            Self::Passing => "passing",
            Self::Lost => "lost",
        }
    }
}

/// Is told of each exchange that was made.
pub trait RefreshWatch: Send + Sync {
    /// One refresh at the provider of `session` came to `result`.
    fn refreshed(&self, session: &Session, result: Refreshed);
}

/// What live sessions need of the world.
#[derive(Clone)]
pub struct LivePorts {
    /// Who says what a session is worth.
    pub vouch: Arc<dyn Vouch>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// For the names of leases.
    pub random: Arc<dyn Random>,
    /// Where refreshes run.
    pub tasks: Arc<dyn Tasks>,
    /// Who is told of them.
    pub watch: Arc<dyn RefreshWatch>,
}

/// Opens sessions and keeps them fresh; cheap to clone.
#[derive(Clone)]
pub struct LiveSessions {
    sessions: Sessions,
    ports: LivePorts,
    flights: Arc<Flights>,
    known: KnownSessions,
}

/// How a session stands with its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its word holds.
    Fresh,
    /// Its word holds, and should be renewed.
    Soon,
    /// Its word is over.
    Over,
}

impl LiveSessions {
    /// Opens `sessions`.
    #[must_use]
    pub fn new(sessions: Sessions, ports: LivePorts) -> Self {
        let sessions = sessions.touching_in(Arc::clone(&ports.tasks));
        Self { sessions, ports, flights: Arc::default(), known: KnownSessions::new() }
    }

    async fn live(&self, id: &SessionId) -> Result<Arc<LiveSession>, NoSession> {
        let found = self.sessions.find(id).await;
        if let Some(live) = self.known.recall(&found) {
            self.sessions.used(&found).await;
            return Ok(live);
        }
        // In a place of its own: what a check usually waits for stays small.
        Box::pin(self.open(id, found)).await
    }

    async fn open(&self, id: &SessionId, found: Found<'_>) -> Result<Arc<LiveSession>, NoSession> {
        let mut opened = self.sessions.open_found(found).await.map_err(|error| no_session(&error))?;
        match standing(&opened.session, self.ports.clock.now()) {
            Standing::Fresh => {}
            Standing::Over if opened.session.refresh_token.is_none() => {
                // Nobody vouches for it any more, and nobody can be asked to.
                self.sessions.end(opened.key).await.map_err(|_| NoSession::Unavailable)?;
                return Err(NoSession::Expired);
            }
            Standing::Soon if opened.session.refresh_token.is_none() => {}
            Standing::Soon => drop(self.refresh(id, &opened)),
            Standing::Over => {
                if let Some(flight) = self.refresh(id, &opened) {
                    match self.wait(flight).await {
                        Some(Landed::Done) => {
                            opened = self.sessions.open(id).await.map_err(|error| no_session(&error))?;
                        }
                        Some(Landed::Ended) => return Err(NoSession::Expired),
                        // The provider cannot be asked: the session goes on to its own end.
                        Some(Landed::Passing) | None => {}
                    }
                }
            }
        }
        let principal = self.ports.vouch.principal(&opened.session).ok_or(NoSession::Expired)?;
        let set_cookie = opened.is_new_to_browser.then(|| SetCookie::session(&opened.id, self.left(&opened)));
        let (signed_in_at, ends_at) = (opened.session.signed_in_at, ends_at(&opened));
        let live = Arc::new(LiveSession { key: opened.key, principal, signed_in_at, ends_at, set_cookie });
        self.known.remember(&opened, &live, self.fresh_until(&opened.session));
        Ok(live)
    }

    /// Until when nothing has to be asked about the session but whether it is there.
    fn fresh_until(&self, session: &Session) -> UnixTime {
        let ends_at = session.signed_in_at.plus(self.sessions.lifetimes().absolute);
        let renewed_from = if session.refresh_token.is_some() { soon(session) } else { session.authority.expires_at };
        ends_at.min(renewed_from)
    }

    /// How long the session has at most.
    fn left(&self, opened: &Opened) -> Duration {
        opened.stored.ends_at.since(self.ports.clock.now())
    }

    /// The refresh of a session that is in flight, or a new one; none within
    /// the pause after a failure.
    fn refresh(&self, id: &SessionId, opened: &Opened) -> Option<Flight> {
        let start = || {
            let (this, id, opened) = (self.clone(), id.clone(), opened.clone());
            async move { this.fly(&id, &opened).await }
        };
        self.flights.join_or_start(opened.key, self.now(), self.ports.tasks.as_ref(), start)
    }

    async fn wait(&self, flight: Flight) -> Option<Landed> {
        match select(flight, self.ports.tasks.sleep(REFRESH_WAIT)).await {
            Either::Left((landed, _)) => Some(landed),
            Either::Right(((), _)) => None,
        }
    }

    async fn fly(&self, id: &SessionId, seen: &Opened) -> (Landed, Option<Monotonic>) {
        let landed = match self.claim(id, seen).await {
            Claim::Held(lease) => {
                let landed = self.exchange(id, seen).await;
                // A lease that cannot be given back ends by itself.
                let _ = self.sessions.store().release_refresh(seen.key, lease).await;
                landed
            }
            Claim::Done(landed) => landed,
        };
        let pause = match landed {
            Landed::Passing => Some(self.now().plus(PAUSE_AFTER_FAILURE)),
            Landed::Done | Landed::Ended => None,
        };
        (landed, pause)
    }

    /// Claims the refresh, or waits for whoever holds it.
    async fn claim(&self, id: &SessionId, seen: &Opened) -> Claim {
        let store = self.sessions.store();
        let mut name = [0u8; 16];
        self.ports.random.fill(&mut name);
        let lease = Lease(name);
        // Whoever holds the lease loses it by then, also one that died with it.
        let give_up = self.now().plus(LEASE.saturating_mul(2));
        loop {
            let now = self.ports.clock.now();
            match store.claim_refresh(seen.key, lease, now.plus(LEASE), now).await {
                Ok(true) => return Claim::Held(lease),
                Ok(false) => {}
                Err(_) => return Claim::Done(Landed::Passing),
            }
            self.ports.tasks.sleep(LOOK).await;
            match self.look(id, seen).await {
                Look::Same(_) if self.now() < give_up => {}
                Look::Same(_) | Look::Unknown => return Claim::Done(Landed::Passing),
                Look::Newer => return Claim::Done(Landed::Done),
                Look::Gone => return Claim::Done(Landed::Ended),
            }
        }
    }

    /// The refresh itself, under the lease.
    async fn exchange(&self, id: &SessionId, seen: &Opened) -> Landed {
        // Somebody else may have done it between the look and the lease.
        let current = match self.look(id, seen).await {
            Look::Same(current) => current,
            Look::Newer => return Landed::Done,
            Look::Gone => return Landed::Ended,
            Look::Unknown => return Landed::Passing,
        };
        let (landed, result) = match self.ports.vouch.renew(&current.session).await {
            Ok(renewed) => {
                let vouched = renewed.authority.expires_at > current.session.authority.expires_at;
                match self.write(id, &current, &renewed).await {
                    // Only the refresh token is new: what came with it could not be judged.
                    (Landed::Done, Refreshed::Renewed) if !vouched => (Landed::Passing, Refreshed::Passing),
                    written => written,
                }
            }
            // Where the lease was lost, the token was used by who held it then.
            Err(RenewError::Ended) => match self.look(id, &current).await {
                Look::Newer => (Landed::Done, Refreshed::Renewed),
                Look::Gone => (Landed::Ended, Refreshed::Ended),
                Look::Same(_) | Look::Unknown => match self.sessions.end(current.key).await {
                    Ok(_) => (Landed::Ended, Refreshed::Ended),
                    Err(_) => (Landed::Passing, Refreshed::Ended),
                },
            },
            Err(RenewError::Passing) => (Landed::Passing, Refreshed::Passing),
        };
        self.ports.watch.refreshed(&current.session, result);
        landed
    }

    /// Writes the new tokens; the old ones may count no more, so a store that
    /// does not answer is asked again.
    async fn write(&self, id: &SessionId, current: &Opened, renewed: &Session) -> (Landed, Refreshed) {
        let mut current = current.clone();
        for _ in 0..WRITES {
            let written = if self.gains(&current.session, renewed) {
                self.sessions.move_on(&current, renewed).await
            } else {
                self.sessions.replace(&current, renewed).await
            };
            match written {
                Ok(true) => return (Landed::Done, Refreshed::Renewed),
                Ok(false) => match self.look(id, &current).await {
                    // An answer was lost and the write was not.
                    Look::Newer => return (Landed::Done, Refreshed::Renewed),
                    // Signed out meanwhile: what was revoked then are the tokens before these.
                    Look::Gone => {
                        self.ports.vouch.give_back(renewed);
                        return (Landed::Ended, Refreshed::Renewed);
                    }
                    // Something else about it was written.
                    Look::Same(now) => current = *now,
                    Look::Unknown => {}
                },
                Err(_) => {}
            }
            self.ports.tasks.sleep(LOOK).await;
        }
        (Landed::Passing, Refreshed::Lost)
    }

    /// Whether the person holds rights that they did not hold before.
    fn gains(&self, before: &Session, after: &Session) -> bool {
        let vouch = self.ports.vouch.as_ref();
        let (Some(before), Some(after)) = (vouch.principal(before), vouch.principal(after)) else { return false };
        let more = |before: &NameSet, after: &NameSet| after.iter().any(|name| !before.contains(name));
        more(&before.scopes, &after.scopes)
            || more(&before.permissions, &after.permissions)
            || more(&before.groups, &after.groups)
            || verified_domain(&after) != verified_domain(&before)
    }

    async fn look(&self, id: &SessionId, seen: &Opened) -> Look {
        match self.sessions.open(id).await {
            Ok(current) if is_renewed(&seen.session, &current.session) => Look::Newer,
            Ok(current) => Look::Same(Box::new(current)),
            Err(SessionError::Unknown | SessionError::Broken) => Look::Gone,
            Err(SessionError::Store(StoreError::Unavailable(_) | StoreError::Corrupt | StoreError::Full)) => {
                Look::Unknown
            }
        }
    }

    fn now(&self) -> Monotonic {
        self.ports.clock.monotonic()
    }
}

impl SessionSource for LiveSessions {
    fn find<'a>(
        &'a self,
        id: &'a SessionId,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<LiveSession>, NoSession>> + Send + 'a>> {
        Box::pin(self.live(id))
    }
}

enum Claim {
    Held(Lease),
    Done(Landed),
}

enum Look {
    Same(Box<Opened>),
    Newer,
    Gone,
    Unknown,
}

/// What tiers by e-mail domain go by.
fn verified_domain(principal: &Principal) -> Option<&str> {
    principal.email.as_ref().and_then(|email| email.verified_domain())
}

/// Whether somebody has renewed it between the two looks.
fn is_renewed(seen: &Session, current: &Session) -> bool {
    seen.refresh_token != current.refresh_token || seen.authority.expires_at != current.authority.expires_at
}

fn no_session(error: &SessionError) -> NoSession {
    match error {
        SessionError::Unknown => NoSession::Unknown,
        SessionError::Broken => NoSession::Broken,
        SessionError::Store(_) => NoSession::Unavailable,
    }
}

fn standing(session: &Session, now: UnixTime) -> Standing {
    if now >= session.authority.expires_at {
        Standing::Over
    } else if now >= soon(session) {
        Standing::Soon
    } else {
        Standing::Fresh
    }
}

/// From when on the provider's word should be renewed.
fn soon(session: &Session) -> UnixTime {
    let ends = session.authority.expires_at;
    let issued = session.authority.claims.get("iat").and_then(serde_json::Value::as_i64);
    let life = issued.map_or(MAX_AHEAD, |issued| ends.since(UnixTime::from_secs(issued)));
    let ahead = life.checked_div(AHEAD_PART).unwrap_or_default().min(MAX_AHEAD);
    ends.minus(ahead)
}

fn ends_at(opened: &Opened) -> UnixTime {
    let ends_at = opened.stored.ends_at;
    if opened.session.refresh_token.is_some() { ends_at } else { ends_at.min(opened.session.authority.expires_at) }
}

#[cfg(test)]
#[path = "live_sessions_tests.rs"]
mod tests;
