//! Ctrl-C and SIGTERM: the first asks the running stage to save and stop, the second leaves at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A signal that asks us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A scheduler's or a system's request.
    Terminate,
}

impl Signal {
    /// The exit code by convention: 128 plus the signal's number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Tells whether, and by which signal, we were asked to stop. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    raised: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl StopFlag {
    /// A flag that signals raise.
    ///
    /// # Errors
    /// The system refuses the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for (number, signal) in [(SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate)] {
            // The order matters: a handler that finds the flag raised leaves at once, so it must
            // come before the one that raises it.
            flag::register_conditional_shutdown(number, signal.exit_code().into(), stop.raised.clone())?;
            flag::register_usize(number, stop.signal.clone(), signal.exit_code().into())?;
            flag::register(number, stop.raised.clone())?;
        }
        Ok(stop)
    }

    /// Raises the flag as Ctrl-C would.
    pub fn raise(&self) {
        self.signal.store(Signal::Interrupt.exit_code().into(), Ordering::SeqCst);
        self.raised.store(true, Ordering::SeqCst);
    }

    /// Whether the flag is raised.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// The signal that raised it.
    pub fn signal(&self) -> Option<Signal> {
        if !self.is_raised() {
            return None;
        }
        let terminated = self.signal.load(Ordering::SeqCst) == usize::from(Signal::Terminate.exit_code());
        Some(if terminated { Signal::Terminate } else { Signal::Interrupt })
    }
}
