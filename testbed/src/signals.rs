//! The signals by which a person or a shell ends a program.

use tokio::signal::unix::{SignalKind, signal};

/// Calls this once, on a thread of its own, when SIGINT, SIGTERM or SIGHUP arrives.
pub fn on_signal(call: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hang_up = signal(SignalKind::hangup())?;
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            call();
            Ok::<_, std::io::Error>(())
        })
    });
}
