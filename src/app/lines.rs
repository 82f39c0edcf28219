//! Lines on their way to stdout or stderr. Whoever reads them slowly, or not at
//! all, never delays a check: lines wait in a bounded queue, and those beyond it
//! are dropped and counted.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use metrics::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const WAITING: usize = 8 * 1024;
/// How long to wait before a reader that is not ready is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// The way into the queue.
#[derive(Clone)]
pub(super) struct Lines {
    queue: SyncSender<Item>,
    dropped: Counter,
}

enum Item {
    Line(Vec<u8>),
    /// All before it is to be written, then this is told.
    Drain(SyncSender<()>),
}

impl Lines {
    /// Starts the writer to `out`; it ends with the last [`Lines`].
    pub(super) fn start(name: &str, out: impl Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        Self::start_with(name, out, dropped, |_| {})
    }

    /// The same; `seen` is shown each line by the writer's thread before it is written.
    pub(super) fn start_with(
        name: &str,
        out: impl Write + Send + 'static,
        dropped: Counter,
        seen: impl Fn(&[u8]) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write(&waiting, io::BufWriter::new(out), seen))?;
        Ok(Self { queue, dropped })
    }

    pub(super) fn send(&self, line: Vec<u8>) {
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.dropped.increment(1);
        }
    }

    /// Waits until all that was sent is written, though not longer than `limit`.
    pub(super) fn drain(&self, limit: Duration) {
        let (done, drained) = sync_channel(1);
        if self.queue.try_send(Item::Drain(done)).is_ok() {
            // Whoever does not read the log within the limit does without its end.
            let _ = drained.recv_timeout(limit);
        }
    }
}

/// Writes what waits, as many lines at once as there are.
fn write(waiting: &Receiver<Item>, mut out: impl Write, seen: impl Fn(&[u8])) {
    while let Ok(first) = waiting.recv() {
        let mut next = Some(first);
        while let Some(item) = next {
            let can_go_on = match item {
                Item::Line(line) => {
                    seen(&line);
                    persist(&mut out, |out| out.write_all(&line))
                }
                Item::Drain(done) => {
                    let flushed = persist(&mut out, Write::flush);
                    let _ = done.try_send(());
                    flushed
                }
            };
            if !can_go_on {
                return;
            }
            next = waiting.try_recv().ok();
        }
        if !persist(&mut out, Write::flush) {
            return;
        }
    }
}

/// Whether somebody can still read: a full disk or a reader that is not ready
/// passes, a closed pipe does not.
fn persist<W: Write>(out: &mut W, mut attempt: impl FnMut(&mut W) -> io::Result<()>) -> bool {
    loop {
        match attempt(out) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(error) => return error.kind() != io::ErrorKind::BrokenPipe,
        }
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
            self.lines.send(std::mem::take(&mut self.event));
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
        lines.send(b"one\n".to_vec());
        lines.send(b"two\n".to_vec());
        lines.drain(Duration::from_secs(5));
        assert_eq!(slow.0.lock().unwrap_or_else(PoisonError::into_inner).1, b"one\ntwo\n");
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
        for _ in 0..WAITING * 2 {
            lines.send(vec![b'x'; 64]);
        }
        lines.drain(Duration::from_millis(20));
    }
}
