//! Work that nobody waits for, run on the main runtime and joined at the end.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::types::Tasks;

/// How long the work may take to end when the service stops: longer than one
/// exchange with a provider and the writing of its result. What is begun is
/// brought to its end, for a refresh token that was used and whose successor
/// was not written would sign its person out.
const DRAIN: Duration = Duration::from_secs(10);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The way for work into the background; cheap to clone.
#[derive(Clone)]
pub(super) struct Background(mpsc::UnboundedSender<Work>);

/// The background itself, until it is [ended](Self::end).
pub(super) struct Running(JoinSet<()>);

impl Background {
    /// Starts one on the current runtime.
    pub(super) fn start() -> (Self, Running) {
        let (way, work) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        running.spawn(run(work));
        (Self(way), Running(running))
    }
}

impl Running {
    /// Waits until every [`Background`] is dropped and all work has ended.
    pub(super) async fn end(mut self) {
        match tokio::time::timeout(DRAIN, self.0.join_next()).await {
            Ok(ended) => ended.into_iter().for_each(say),
            Err(_) => tracing::warn!("work in the background did not end in time"),
        }
    }
}

impl Tasks for Background {
    fn spawn(&self, work: Work) {
        if self.0.send(work).is_err() {
            tracing::error!("the background is gone, work is lost");
        }
    }

    fn sleep(&self, time: Duration) -> Work {
        Box::pin(tokio::time::sleep(time))
    }
}

async fn run(mut ways: mpsc::UnboundedReceiver<Work>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            work = ways.recv() => match work {
                Some(work) => { running.spawn(work); }
                None => break,
            },
            Some(ended) = running.join_next(), if !running.is_empty() => say(ended),
        }
    }
    while let Some(ended) = running.join_next().await {
        say(ended);
    }
}

fn say(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "work in the background panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_begun_is_brought_to_its_end_and_a_panic_ends_nothing_else() {
        let (background, running) = Background::start();
        let done = Arc::new(AtomicU32::new(0));
        for number in 0..10 {
            let (background, done) = (background.clone(), Arc::clone(&done));
            background.clone().spawn(Box::pin(async move {
                background.sleep(Duration::from_millis(number)).await;
                assert!(number != 5, "as the test wants");
                done.fetch_add(1, Ordering::SeqCst);
            }));
        }
        drop(background);
        running.end().await;
        assert_eq!(done.load(Ordering::SeqCst), 9);
    }
}
