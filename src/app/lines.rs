//! Lines on their way to stdout or stderr. Whoever reads them slowly, or not at
//! all, never delays a check: lines wait in a bounded buffer, and those beyond it
//! are dropped and counted.
//!
//! The writer wakes for the first line after a silence, and then looks every few
//! milliseconds: to be woken for each line would cost more than the line.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// How much may wait, in bytes: some ten thousand lines.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// A buffer that grew beyond this is given back once it is written.
const MAX_KEPT: usize = 256 * 1024;
/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait before a reader that is not ready is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// The way into the buffer; the writer ends with the last one.
pub(super) struct Lines {
    queue: Arc<Queue>,
    dropped: Counter,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Tells the writer that there is something to do.
    filled: Condvar,
    /// Tells those who drain that something was written.
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// How many lines these are.
    count: usize,
    /// Whether the writer sleeps until it is told.
    is_idle: bool,
    /// How many buffers were taken to be written, and how many are.
    taken: u64,
    written: u64,
    /// How many wait for the end.
    draining: usize,
    /// The ways in, and whether anybody still writes.
    ways: usize,
    is_over: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Starts the writer to `out`; it ends with the last [`Lines`].
    pub(super) fn start(name: &str, out: impl Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        Self::start_with(name, out, dropped, |_, _| {})
    }

    /// The same; `seen` is shown the lines and how many they are by the writer's
    /// thread before they are written, all at once that there are.
    pub(super) fn start_with(
        name: &str,
        out: impl Write + Send + 'static,
        dropped: Counter,
        seen: impl Fn(&[u8], usize) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        queue.lock().ways = 1;
        let writer = Writer { queue: Arc::clone(&queue), dropped: dropped.clone() };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || writer.write_all(out, seen))?;
        Ok(Self { queue, dropped })
    }

    /// Puts one line, with its end, behind those that wait.
    pub(super) fn send(&self, line: &[u8]) {
        let mut waiting = self.queue.lock();
        let full = waiting.lines.len().saturating_add(line.len()) > MAX_WAITING;
        if full || waiting.is_over {
            drop(waiting);
            self.dropped.increment(1);
            return;
        }
        let was_sparse = waiting.lines.len() < MAX_WAITING / 2;
        waiting.lines.extend_from_slice(line);
        waiting.count = waiting.count.saturating_add(1);
        let fills = was_sparse && waiting.lines.len() >= MAX_WAITING / 2;
        let wake = mem::take(&mut waiting.is_idle) || fills;
        drop(waiting);
        if wake {
            self.queue.filled.notify_one();
        }
    }

    /// Waits until all that was sent is written, though not longer than `limit`.
    pub(super) fn drain(&self, limit: Duration) {
        let mut waiting = self.queue.lock();
        waiting.draining = waiting.draining.saturating_add(1);
        self.queue.filled.notify_one();
        // What is being written now, and what waits behind it.
        let last = waiting.taken.saturating_add(u64::from(!waiting.lines.is_empty()));
        let is_left = |waiting: &mut Waiting| waiting.written < last && !waiting.is_over;
        // Whoever does not read the log within the limit does without its end.
        let waited = self.queue.written.wait_timeout_while(waiting, limit, is_left);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.draining = waiting.draining.saturating_sub(1);
    }
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        let mut waiting = self.queue.lock();
        waiting.ways = waiting.ways.saturating_add(1);
        drop(waiting);
        Self { queue: Arc::clone(&self.queue), dropped: self.dropped.clone() }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.ways = waiting.ways.saturating_sub(1);
        let is_last = waiting.ways == 0;
        drop(waiting);
        if is_last {
            self.queue.filled.notify_one();
        }
    }
}

/// The side of the queue that is written from.
struct Writer {
    queue: Arc<Queue>,
    dropped: Counter,
}

/// Lines that were taken to be written.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    count: usize,
}

impl Writer {
    /// Writes what waits until nobody can send any more, or nobody reads.
    fn write_all(&self, mut out: impl Write, seen: impl Fn(&[u8], usize)) {
        let mut batch = Batch::default();
        let mut is_torn = false;
        while self.next(&mut batch) {
            seen(&batch.lines, batch.count);
            // What was begun and not ended must not run into the next line.
            let mended = !is_torn || persist(&mut out, b"\n") == Persisted::Whole;
            let persisted = persist(&mut out, &batch.lines);
            let dropped = match persisted {
                Persisted::Whole => 0,
                Persisted::Lost { lines, .. } => lines,
                Persisted::Unread => batch.count,
            };
            is_torn = !mended || matches!(persisted, Persisted::Lost { is_torn: true, .. });
            self.dropped.increment(u64::try_from(dropped).unwrap_or_default());
            let mut waiting = self.queue.lock();
            waiting.written = waiting.taken;
            self.queue.written.notify_all();
            if persisted == Persisted::Unread {
                return;
            }
            let is_wanted = |waiting: &mut Waiting| {
                waiting.draining == 0 && waiting.ways > 0 && waiting.lines.len() < MAX_WAITING / 2
            };
            drop(self.queue.filled.wait_timeout_while(waiting, GATHER, is_wanted));
        }
    }

    /// Takes what waits into `batch`, once there is something; `false` when there
    /// will be nothing any more.
    fn next(&self, batch: &mut Batch) -> bool {
        batch.lines.clear();
        batch.lines.shrink_to(MAX_KEPT);
        let mut waiting = self.queue.lock();
        waiting.is_idle = true;
        let is_empty = |waiting: &mut Waiting| waiting.lines.is_empty() && waiting.ways > 0;
        let mut waiting = self.queue.filled.wait_while(waiting, is_empty).unwrap_or_else(PoisonError::into_inner);
        waiting.is_idle = false;
        mem::swap(&mut waiting.lines, &mut batch.lines);
        batch.count = mem::take(&mut waiting.count);
        waiting.taken = waiting.taken.saturating_add(1);
        !batch.lines.is_empty()
    }
}

/// However the writer ends, nobody waits for it any more, and what it leaves counts as dropped.
impl Drop for Writer {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.is_over = true;
        let left = mem::take(&mut waiting.count);
        waiting.lines = Vec::new();
        drop(waiting);
        self.dropped.increment(u64::try_from(left).unwrap_or_default());
        self.queue.written.notify_all();
    }
}

/// What became of lines that were to be written.
#[derive(Debug, PartialEq, Eq)]
enum Persisted {
    Whole,
    /// They could not be written, as on a full disk: so many lines are lost, and
    /// perhaps a part of one stands there.
    Lost {
        lines: usize,
        is_torn: bool,
    },
    /// Nobody reads any more.
    Unread,
}

/// Writes and flushes; a reader that is not ready is waited for.
fn persist(out: &mut impl Write, lines: &[u8]) -> Persisted {
    let mut rest = lines;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return lost(lines, rest),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if is_passing(&error) => wait_for(&error),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Persisted::Unread,
            Err(_) => return lost(lines, rest),
        }
    }
    loop {
        match out.flush() {
            Ok(()) => return Persisted::Whole,
            Err(error) if is_passing(&error) => wait_for(&error),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Persisted::Unread,
            Err(_) => return Persisted::Lost { lines: 0, is_torn: false },
        }
    }
}

/// `rest` of `lines` could not be written; a line that was begun is lost, too.
fn lost(lines: &[u8], rest: &[u8]) -> Persisted {
    let written = lines.get(..lines.len().saturating_sub(rest.len())).unwrap_or_default();
    let is_torn = written.last().is_some_and(|last| *last != b'\n');
    Persisted::Lost { lines: rest.iter().filter(|byte| **byte == b'\n').count(), is_torn }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn wait_for(error: &io::Error) {
    if error.kind() == io::ErrorKind::WouldBlock {
        std::thread::sleep(RETRY);
    }
}

/// One event of the service's own log, sent as one line.
pub(super) struct EventWriter {
    lines: Lines,
    event: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter { lines: self.clone(), event: Vec::new() }
    }
}

impl Write for EventWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.event.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        if !self.event.is_empty() {
            self.lines.send(&self.event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// A reader that is not ready for the first attempts.
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 += 1;
            if state.0 < 4 {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_not_ready_gets_every_line_once() {
        let slow = Slow::default();
        let lines = Lines::start("lines", slow.clone(), Counter::noop()).expect("started");
        lines.send(b"one\n");
        lines.send(b"two\n");
        lines.drain(Duration::from_secs(5));
        assert_eq!(slow.0.lock().unwrap_or_else(PoisonError::into_inner).1, b"one\ntwo\n");
    }

    fn ends(lines: &Lines) {
        let start = std::time::Instant::now();
        while !lines.queue.lock().is_over {
            assert!(start.elapsed() < Duration::from_secs(20), "the writer goes on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_never_reads() {
        struct Never;
        impl Write for Never {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::WouldBlock))
            }

            fn flush(&mut self) -> io::Result<()> {
                self.write(&[]).map(|_| ())
            }
        }
        let lines = Lines::start("lines", Never, Counter::noop()).expect("started");
        for _ in 0..MAX_WAITING * 2 / 64 {
            lines.send(&[b'x'; 64]);
        }
        assert!(lines.queue.lock().lines.len() <= MAX_WAITING);
        lines.drain(Duration::from_millis(20));
    }

    #[test]
    fn lines_of_many_threads_stay_whole_and_the_last_are_written_at_the_end() {
        let slow = Slow::default();
        let lines = Lines::start("lines", slow.clone(), Counter::noop()).expect("started");
        std::thread::scope(|scope| {
            for letter in [b'a', b'b', b'c', b'd'] {
                let lines = lines.clone();
                scope.spawn(move || (0..500).for_each(|_| lines.send(&[letter, letter, letter, b'\n'])));
            }
        });
        lines.drain(Duration::from_secs(20));
        let written = slow.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
        assert_eq!(written.len(), 8000);
        assert!(written.chunks(4).all(|line| line[0] == line[1] && line[1] == line[2] && line[3] == b'\n'));
    }

    /// A disk with room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let room = disk.0.min(bytes.len());
            if room == 0 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            disk.0 -= room;
            disk.1.extend_from_slice(&bytes[..room]);
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_that_are_counted_and_tears_none_of_the_next() {
        let mut disk = Disk::default();
        disk.0.lock().expect("no panic").0 = 10;
        let lost = Persisted::Lost { lines: 2, is_torn: true };
        assert_eq!(persist(&mut disk, b"first\nsecond\nthird\n"), lost);
        assert_eq!(persist(&mut disk, b"fourth\n"), Persisted::Lost { lines: 1, is_torn: false });

        let disk = Disk::default();
        disk.0.lock().expect("no panic").0 = 8;
        let lines = Lines::start("lines", disk.clone(), Counter::noop()).expect("started");
        lines.send(b"first\nsecond\n");
        lines.drain(Duration::from_secs(20));
        disk.0.lock().expect("no panic").0 = 100;
        lines.send(b"third\n");
        lines.drain(Duration::from_secs(20));
        assert_eq!(disk.0.lock().expect("no panic").1, b"first\nse\nthird\n");
    }

    #[test]
    fn a_panic_of_the_writer_leaves_nobody_waiting() {
        let fail = |_: &[u8], _: usize| panic!("on purpose");
        let lines = Lines::start_with("lines", io::sink(), Counter::noop(), fail).expect("started");
        lines.send(b"one\n");
        lines.drain(Duration::from_secs(600));
        ends(&lines);
    }

    #[test]
    fn a_closed_pipe_ends_the_writer_and_nobody_waits_for_it() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::BrokenPipe))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::start("lines", Closed, Counter::noop()).expect("started");
        lines.send(b"one\n");
        lines.drain(Duration::from_secs(600));
        ends(&lines);
        lines.drain(Duration::from_secs(600));
    }
}
