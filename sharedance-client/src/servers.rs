//! The servers of a client: to which server a key belongs, and which servers are down. No I/O.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address::Address;
use crate::backoff::{Health, chance};
use crate::credentials::Credentials;
use crate::error::{Error, Phase};
use crate::options::{Options, WhenDown};
use crate::pool::Pool;
use crate::ring::Ring;
use crate::runtime::Runtime;
use crate::target::Target;
use crate::time::{Deadline, now};
use crate::tls;
use crate::trace;

pub(crate) struct Server<R: Runtime> {
    pub(crate) address: Address,
    pub(crate) tls: Option<tls::Connector>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) options: Options,
    pub(crate) pool: Pool<R>,
    health: Mutex<Health>,
    /// The error if the server was reached and refuses this client, or if its certificate is refused: it is the result
    /// of calls while the server is not tried.
    refusal: Mutex<Option<Error>>,
    /// Whether `health` must be checked; most of the time its mutex is not needed.
    is_troubled: AtomicBool,
}

impl<R: Runtime> Server<R> {
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may be sent to the server now.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        if !self.is_troubled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let admitted = self.health().admit(now(), self.options.connect_timeout);
        admitted
            .map_err(|retry_in| self.refusal().clone().unwrap_or_else(|| Error::Down { server: self.name(), retry_in }))
    }

    fn refusal(&self) -> MutexGuard<'_, Option<Error>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error if the timeout has passed before a connection was available.
    pub(crate) fn none_free(&self, deadline: Deadline) -> Error {
        Error::TimedOut { server: self.name(), phase: Phase::Wait, after: deadline.elapsed() }
    }

    pub(crate) fn answered(&self) {
        if self.is_troubled.load(Ordering::Relaxed) {
            self.health().answered();
            *self.refusal() = None;
            self.is_troubled.store(false, Ordering::Relaxed);
            trace::up(&self.address);
        }
    }

    /// Records a failed connection attempt, a refusal or a missing response.
    pub(crate) fn observe(&self, error: Error) -> Error {
        let is_refusal = error.is_lasting_refusal();
        if error.is_unreached() || error.is_timeout() || is_refusal {
            *self.refusal() = is_refusal.then(|| error.clone());
            let mut health = self.health();
            match error.is_unreached() || is_refusal {
                true => health.unreachable(now(), self.options.backoff, chance()),
                false => health.stalled(now(), self.options.backoff, chance()),
            }
            self.is_troubled.store(true, Ordering::Relaxed);
            if let Some((retry_in, failures)) = health.down(now()) {
                drop(health);
                trace::down(&self.address, retry_in, failures);
            }
        }
        error
    }
}

pub(crate) struct Servers<R: Runtime> {
    servers: Vec<Arc<Server<R>>>,
    ring: Ring,
    pub(crate) options: Options,
}

impl<R: Runtime> Servers<R> {
    pub(crate) fn new(targets: Vec<Target>, options: Options) -> Servers<R> {
        let addresses: Vec<_> = targets.iter().map(|target| target.server.clone()).collect();
        let ring = Ring::new(&addresses, options.continuum);
        let server = |Target { server, credentials, tls }| {
            Arc::new(Server {
                address: server.address,
                tls,
                credentials,
                options: options.clone(),
                pool: Pool::new(&options),
                health: Mutex::default(),
                refusal: Mutex::default(),
                is_troubled: AtomicBool::new(false),
            })
        };
        Servers { servers: targets.into_iter().map(server).collect(), ring, options }
    }

    /// In the order in which they were configured.
    pub(crate) fn all(&self) -> &[Arc<Server<R>>] {
        &self.servers
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.name()).collect()
    }

    /// The servers that may have the key, in order of preference: the next one is used only if the one before it could
    /// not be reached.
    pub(crate) fn of(&self, key: &[u8]) -> impl Iterator<Item = &Arc<Server<R>>> {
        let count = match self.options.when_down {
            WhenDown::Fail => 1,
            WhenDown::NextServer => self.servers.len(),
        };
        self.ring.servers_of(key).take(count).map(|index| &self.servers[index])
    }
}

impl<R: Runtime> fmt::Debug for Servers<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("addresses", &self.names()).field("options", &self.options).finish()
    }
}
