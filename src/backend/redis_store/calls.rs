//! One call: to the right server, again where it surely was not done, and with
//! an end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Cmd, RedisError, ServerErrorKind, Value};

use super::RedisStore;
use super::address::Host;
use super::keys::Key;
use super::link::{Link, LinkError, Replicated};
use super::scripts::Step;
use crate::session::StoreError;

/// How long a call may take: less than the 250 ms that the port allows, by what
/// a busy machine needs to notice.
const CALL: Duration = Duration::from_millis(220);
/// How long a refused call waits before it tries again.
const PAUSE: Duration = Duration::from_millis(15);

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Nothing came back in time.
    #[error("no answer within {} ms", CALL.as_millis())]
    Late,
    /// There is no server to ask.
    #[error("there is no connection")]
    NoLink(#[source] Arc<LinkError>),
    /// Redis said no, or the connection broke.
    #[error("Redis did not do it")]
    Refused(#[source] RedisError),
    /// No replica has what was written, and there are some.
    #[error("no replica has it")]
    NotSafe,
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        let is_foreign = matches!(&error, CallError::Refused(refusal) if refusal.code() == Some("WRONGTYPE"));
        if is_foreign { Self::Corrupt } else { Self::Unavailable(Box::new(error)) }
    }
}

/// What to do with one key.
pub(super) enum Request<'a> {
    /// A single command.
    Command(&'a Cmd),
    /// A script, with the names of its keys and its arguments.
    Step(Step, &'a [&'a str], &'a [Vec<u8>]),
}

impl Request<'_> {
    async fn on(&self, link: &Link) -> Result<Value, RedisError> {
        match self {
            Self::Command(command) => link.ask(command).await,
            Self::Step(step, keys, arguments) => link.step(*step, keys, arguments).await,
        }
    }

    async fn on_the_way(&self, link: &Link) -> Result<Value, RedisError> {
        match self {
            Self::Command(command) => link.ask_on_the_way(command).await,
            Self::Step(step, keys, arguments) => link.ask_on_the_way(step.by_code(keys).arg(*arguments)).await,
        }
    }
}

/// Whether Redis says that it did nothing and may soon do it.
const fn is_passing(kind: ServerErrorKind) -> bool {
    matches!(
        kind,
        ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
    )
}

/// A script with one key.
pub(super) struct Work {
    pub(super) step: Step,
    pub(super) key: Key,
    pub(super) arguments: Vec<Vec<u8>>,
}

/// An answer, and the link that it came by.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) link: Arc<Link>,
    /// Whether the key was asked for where the slots say it is.
    pub(super) is_settled: bool,
}

impl RedisStore {
    /// Ends `work` when it takes too long.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::time::timeout(CALL, work).await.unwrap_or_else(|_| Err(CallError::Late.into()))
    }

    /// Runs a request on the server that has the key. It is repeated only when
    /// Redis has said that it did nothing; the caller brings the time limit.
    pub(super) async fn call(&self, key: &Key, request: &Request<'_>) -> Result<Answer, CallError> {
        let mut redirected: Option<Arc<Link>> = None;
        loop {
            let is_settled = redirected.is_none();
            let link = match redirected.take() {
                Some(link) => link,
                None => self.servers.link(key.slot).await.map_err(CallError::NoLink)?,
            };
            let error = match request.on(&link).await {
                Ok(value) => return Ok(Answer { value, link, is_settled }),
                Err(error) => error,
            };
            let redis::ErrorKind::Server(kind) = error.kind() else {
                link.suspect();
                return Err(CallError::Refused(error));
            };
            if kind == ServerErrorKind::Moved {
                self.servers.moved.notify_one();
                redirected = self.named(&error);
            } else if kind == ServerErrorKind::Ask {
                let Some(link) = self.named(&error) else { return Err(CallError::Refused(error)) };
                let value = request.on_the_way(&link).await.map_err(CallError::Refused)?;
                return Ok(Answer { value, link, is_settled: false });
            } else if kind == ServerErrorKind::ReadOnly {
                link.suspect();
                self.servers.moved.notify_one();
            } else if !is_passing(kind) {
                return Err(CallError::Refused(error));
            }
            if redirected.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn named(&self, error: &RedisError) -> Option<Arc<Link>> {
        let (host, _) = error.redirect_node()?;
        self.servers.link_to(&Host::parse(host, 0)?)
    }

    /// Runs a script.
    pub(super) async fn step(
        &self,
        step: Step,
        key: &Key,
        others: &[&Key],
        arguments: &[Vec<u8>],
    ) -> Result<Answer, CallError> {
        let names: Vec<&str> =
            std::iter::once(key).chain(others.iter().copied()).map(|key| key.name.as_str()).collect();
        self.call(key, &Request::Step(step, &names, arguments)).await
    }

    /// Runs scripts of one key each, those of one server in one go and in order.
    pub(super) async fn steps(&self, all: &[Work]) -> Result<Vec<(Key, Answer)>, CallError> {
        let mut by_link: Vec<(Arc<Link>, Vec<&Work>)> = Vec::new();
        for work in all {
            let link = self.servers.link(work.key.slot).await.map_err(CallError::NoLink)?;
            match by_link.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &link)) {
                Some((_, own)) => own.push(work),
                None => by_link.push((link, vec![work])),
            }
        }
        let runs = by_link.into_iter().map(|(link, own)| async move {
            let commands = own.iter().map(|work| {
                let mut command = work.step.by_hash(&[work.key.name.as_str()]);
                command.arg(work.arguments.as_slice());
                command
            });
            let answers = link.ask_all(commands).await.map_err(CallError::Refused)?;
            let mut settled = Vec::with_capacity(own.len());
            for (work, answer) in own.into_iter().zip(answers) {
                let answer = match answer {
                    Ok(value) => Answer { value, link: Arc::clone(&link), is_settled: true },
                    // Redis has said no, so it was not done.
                    Err(_) => self.step(work.step, &work.key, &[], &work.arguments).await?,
                };
                settled.push((work.key.clone(), answer));
            }
            Ok(settled)
        });
        Ok(try_join_all(runs).await?.into_iter().flatten().collect())
    }

    /// Waits until replicas have what was written, where there are any. Without
    /// one that has it, nothing is promised.
    pub(super) async fn settle(&self, key: &Key, link: &Link) -> Result<(), CallError> {
        match link.replicated(key).await {
            Replicated::Yes | Replicated::Some | Replicated::Alone => Ok(()),
            Replicated::Late | Replicated::Unknown => Err(CallError::NotSafe),
        }
    }
}
