//! Signals: SIGTERM and SIGINT stop the server, SIGHUP reloads, SIGUSR1 and SIGUSR2 have no effect.
//!
//! The handlers only note that a signal has arrived, since few functions are safe in a handler. A thread waits for that and
//! does the rest.

use std::io;
use std::thread;

use log::debug;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// Signals whose default action ends a process, and which a server must survive: scripts that rotate logs send them.
const HARMLESS: [i32; 3] = [SIGHUP, SIGUSR1, SIGUSR2];

/// The signals that have arrived and were not acted on.
#[derive(Debug)]
pub struct Pending {
    signals: Signals,
}

impl Pending {
    /// From now on SIGHUP, SIGUSR1 and SIGUSR2 do not end the process. They wait for [`Pending::act`]. SIGTERM and SIGINT
    /// still end the process at once: it does not serve yet. Called after a fork, since the two processes would share the
    /// pipe.
    ///
    /// # Errors
    /// A handler could not be installed.
    pub fn collect() -> io::Result<Pending> {
        Ok(Pending { signals: Signals::new(HARMLESS)? })
    }

    /// Acts on the signals from now on, in a thread: `stop` runs at each SIGTERM or SIGINT, `reload` at each SIGHUP.
    /// Signals of one kind that arrive before the thread gets to them count once.
    ///
    /// # Errors
    /// A handler or the thread could not be created.
    pub fn act(mut self, stop: impl Fn() + Send + 'static, reload: impl Fn() + Send + 'static) -> io::Result<()> {
        for signal in [SIGTERM, SIGINT] {
            self.signals.add_signal(signal)?;
        }
        thread::Builder::new().name("[SIGNALS]".to_owned()).spawn(move || {
            for signal in self.signals.forever() {
                match signal {
                    SIGTERM | SIGINT => stop(),
                    SIGHUP => reload(),
                    _ => debug!("signal {signal} has no effect"),
                }
            }
        })?;
        Ok(())
    }
}
