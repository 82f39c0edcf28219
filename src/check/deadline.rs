//! How long a check waits, for all that it waits for together.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::future::poll_fn;

use crate::types::Tasks;

/// Envoy waits 200 ms for an answer unless it is told otherwise; what is left is for the way there and back.
pub(super) const BUDGET: Duration = Duration::from_millis(170);

/// The time that is left of one check. It begins to run when something is not
/// there at once: a check that waits for nothing needs no timer.
pub(super) struct Deadline<'t> {
    tasks: &'t Arc<dyn Tasks>,
    end: End,
}

/// Where the time of a check stands.
enum End {
    /// Nothing had to be waited for.
    Unset,
    Ahead(Pin<Box<dyn Future<Output = ()> + Send>>),
    Past,
}

impl<'t> Deadline<'t> {
    pub(super) const fn new(tasks: &'t Arc<dyn Tasks>) -> Self {
        Self { tasks, end: End::Unset }
    }

    /// What `work` comes to; `None` where the time is over before. Once it is over,
    /// what is there at once still counts, and nothing is waited for.
    pub(super) async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            if let End::Unset = self.end {
                self.end = End::Ahead(self.tasks.sleep(BUDGET));
            }
            if let End::Ahead(end) = &mut self.end {
                ready!(end.as_mut().poll(context));
                self.end = End::Past;
            }
            Poll::Ready(None)
        })
        .await
    }
}

#[cfg(test)]
#[path = "deadline_tests.rs"]
mod tests;
