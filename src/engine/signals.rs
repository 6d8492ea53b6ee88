//! What asks a run to stop: Ctrl-C, SIGTERM, SIGHUP, a lost reader of its events. The running stages save and
//! stop; a second Ctrl-C or SIGTERM leaves at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Why a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Ctrl-C.
    Interrupt,
    /// A scheduler's or a system's request.
    Terminate,
    /// The terminal was closed.
    Hangup,
    /// Whoever read the events has gone.
    ReaderGone,
    /// The events cannot be written.
    OutputFailed,
}

impl StopReason {
    const ALL: [Self; 5] =
        [Self::Interrupt, Self::Terminate, Self::Hangup, Self::ReaderGone, Self::OutputFailed];

    /// The exit code, by convention 128 plus the number of the signal: that of SIGPIPE where the reader has
    /// gone.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
            Self::ReaderGone => 141,
            Self::OutputFailed => 1,
        }
    }
}

/// Says whether, and why, we were asked to stop. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    raised: Arc<AtomicBool>,
    /// The exit code of the reason.
    reason: Arc<AtomicUsize>,
}

impl StopFlag {
    /// A flag that signals raise.
    ///
    /// # Errors
    /// The system refuses the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for (number, reason) in [(SIGINT, StopReason::Interrupt), (SIGTERM, StopReason::Terminate)] {
            // The order matters: a handler that finds the flag raised leaves at once, so it must
            // come before the one that raises it.
            flag::register_conditional_shutdown(number, reason.exit_code().into(), stop.raised.clone())?;
            stop.listen(number, reason)?;
        }
        // A terminal that closes sends the signal twice, by the kernel and by the shell, so the second one
        // means nothing.
        #[cfg(unix)]
        if !ignores_hangups() {
            stop.listen(signal_hook::consts::SIGHUP, StopReason::Hangup)?;
        }
        Ok(stop)
    }

    fn listen(&self, signal: i32, reason: StopReason) -> io::Result<()> {
        flag::register_usize(signal, self.reason.clone(), reason.exit_code().into())?;
        flag::register(signal, self.raised.clone())?;
        Ok(())
    }

    /// Raises the flag, unless it is raised already.
    pub fn raise(&self, reason: StopReason) {
        if !self.is_raised() {
            self.reason.store(reason.exit_code().into(), Ordering::SeqCst);
            self.raised.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the flag is raised.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Why it is raised.
    pub fn reason(&self) -> Option<StopReason> {
        if !self.is_raised() {
            return None;
        }
        let code = self.reason.load(Ordering::SeqCst);
        StopReason::ALL.into_iter().find(|reason| usize::from(reason.exit_code()) == code)
    }
}

/// Whether the process was started with SIGHUP ignored, as `nohup` does: then it is to outlive its terminal.
/// Only Linux says it without a call that is `unsafe`; elsewhere the signal is left as it is, and ends the
/// run at its last saved state.
#[cfg(unix)]
fn ignores_hangups() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    ignored & (1 << (signal_hook::consts::SIGHUP - 1)) != 0
}
