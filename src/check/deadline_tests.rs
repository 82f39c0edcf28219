use std::sync::Mutex;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

use super::*;

/// Timers that end when the test says so.
#[derive(Default)]
struct Timers {
    asked: Mutex<Vec<Duration>>,
    over: Arc<Notify>,
}

impl Tasks for Timers {
    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.asked.lock().unwrap().push(time);
        let over = Arc::clone(&self.over);
        Box::pin(async move { over.notified().await })
    }
}

#[tokio::test]
async fn what_is_there_at_once_needs_no_timer() {
    let timers = Arc::new(Timers::default());
    let tasks: Arc<dyn Tasks> = timers.clone();
    let mut deadline = Deadline::new(&tasks);
    for number in 0..3 {
        assert_eq!(deadline.wait(async { number }).await, Some(number));
    }
    assert!(timers.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn all_that_is_waited_for_shares_one_timer() {
    let timers = Arc::new(Timers::default());
    let tasks: Arc<dyn Tasks> = timers.clone();
    let mut deadline = Deadline::new(&tasks);
    assert_eq!(deadline.wait(tokio::task::yield_now()).await, Some(()));
    assert_eq!(deadline.wait(tokio::task::yield_now()).await, Some(()));
    assert_eq!(deadline.wait(std::future::pending::<()>()).now_or_never(), None, "it waits");
    timers.over.notify_one();
    assert_eq!(deadline.wait(std::future::pending::<()>()).await, None);
    assert_eq!(*timers.asked.lock().unwrap(), [BUDGET]);
}

#[tokio::test]
async fn once_the_time_is_over_nothing_more_is_waited_for() {
    let timers = Arc::new(Timers::default());
    let tasks: Arc<dyn Tasks> = timers.clone();
    let mut deadline = Deadline::new(&tasks);
    timers.over.notify_one();
    assert_eq!(deadline.wait(std::future::pending::<()>()).await, None);
    for number in 0..3 {
        assert_eq!(deadline.wait(std::future::pending::<()>()).now_or_never(), Some(None));
        assert_eq!(deadline.wait(async { number }).now_or_never(), Some(Some(number)), "it is there at once");
    }
    assert_eq!(timers.asked.lock().unwrap().len(), 1);
}
