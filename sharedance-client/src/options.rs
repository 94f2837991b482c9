//! How a client is to behave: what both clients, the blocking one and the one for tokio, are told.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use sharedance_core::protocol::DEFAULT_MAX_REQUEST_LEN;

use crate::address::WeightedAddress;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::ring::Continuum;
use crate::time::in_range;
use crate::url;

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Half of the time after which a server closes an idle connection, so that it is closed here first.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const DEFAULT_MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(32).unwrap();

const DEFAULT_BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };

/// How calls for the keys of a server that is down are treated, where there are several servers.
///
/// ```
/// use sharedance_client::{Client, WhenDown};
///
/// # fn main() -> Result<(), sharedance_client::Error> {
/// let cache = Client::builder("cache1").server("cache2").when_down(WhenDown::NextServer).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenDown {
    /// They are not to be had until it is back: each call says so at once, with
    /// [`Error::Down`](crate::Error::Down). For web sessions: one that moved elsewhere for a minute would come back as
    /// an older one.
    #[default]
    Fail,
    /// They move to the server that follows on the ring, and back once theirs answers again. For caches: a value that
    /// was written in between is not seen after that, and the one from before is, if the server has kept it.
    NextServer,
}

/// Describes a client, blocking or for tokio.
///
/// Timeouts below a millisecond count as one, those above a day as a day.
///
/// ```
/// use std::time::Duration;
/// use sharedance_client::Client;
///
/// # fn main() -> Result<(), sharedance_client::Error> {
/// let client = Client::builder("sessions.example.org:1042")
///     .connect_timeout(Duration::from_millis(500))
///     .operation_timeout(Duration::from_secs(2))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Builder<C> {
    addresses: Vec<WeightedAddress>,
    options: Options,
    /// Why a text that names servers was not understood.
    error: Option<Error>,
    client: PhantomData<fn() -> C>,
}

impl<C> Clone for Builder<C> {
    fn clone(&self) -> Builder<C> {
        Builder {
            addresses: self.addresses.clone(),
            options: self.options,
            error: self.error.clone(),
            client: PhantomData,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) connect_timeout: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_connections: NonZeroUsize,
    pub(crate) max_request_len: usize,
    pub(crate) backoff: Backoff,
    pub(crate) when_down: WhenDown,
    pub(crate) continuum: Continuum,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            operation_timeout: DEFAULT_OPERATION_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_request_len: DEFAULT_MAX_REQUEST_LEN,
            backoff: DEFAULT_BACKOFF,
            when_down: WhenDown::default(),
            continuum: Continuum::default(),
        }
    }
}

impl<C> Builder<C> {
    pub(crate) fn new(servers: &str) -> Builder<C> {
        let builder = Builder { addresses: Vec::new(), options: Options::default(), error: None, client: PhantomData };
        builder.read(servers)
    }

    fn read(mut self, servers: &str) -> Builder<C> {
        if let Err(error) = url::read(servers, &mut self.addresses, &mut self.options) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Adds a server, or several: all that [`builder`](crate::Client::builder) accepts. Keys are spread over all of them
    /// by consistent hashing: see [`Continuum`]. Every client must name the same servers, in the same way.
    ///
    /// A server with `?weight=N` behind its address gets N times the keys of one without; [`Continuum::Plain`] has no
    /// weights. All weights together are 160 points a server, rounded down to fours: a server whose share is smaller
    /// than four points gets no key.
    ///
    /// ```
    /// # fn main() -> Result<(), sharedance_client::Error> {
    /// let client = sharedance_client::Client::builder("one:1042").server("two:1042?weight=2").server("three").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn server(self, address: impl AsRef<str>) -> Builder<C> {
        self.read(address.as_ref())
    }

    /// The time for opening a connection, with all the addresses of a server's name together; 1 s by default. They are
    /// tried in turn, and each may use an equal part of what is left, so that one that swallows everything does not keep
    /// the client from the next.
    ///
    /// The system's resolver, which turns a name into addresses, has its own limits, which come on top.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = sharedance_client::Client::builder("localhost").connect_timeout(Duration::from_millis(200));
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder<C> {
        self.options.connect_timeout = in_range(timeout);
        self
    }

    /// The time for a whole call, waiting for a free connection and opening one included; 5 s by default. A batch is
    /// one call. The time that a lock may be waited for comes on top.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = sharedance_client::Client::builder("localhost").operation_timeout(Duration::from_secs(1));
    /// ```
    pub fn operation_timeout(mut self, timeout: Duration) -> Builder<C> {
        self.options.operation_timeout = in_range(timeout);
        self
    }

    /// How long an unused connection is kept; 30 s by default. A server's own limit should be longer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = sharedance_client::Client::builder("localhost").idle_timeout(Duration::from_secs(10));
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Builder<C> {
        self.options.idle_timeout = in_range(timeout);
        self
    }

    /// The highest number of connections to each server, those that hold locks included; 32 by default. A call that needs
    /// one more waits until one is free.
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    ///
    /// let few = NonZeroUsize::new(4).expect("not zero");
    /// let builder = sharedance_client::Client::builder("localhost").max_connections(few);
    /// ```
    pub fn max_connections(mut self, max: NonZeroUsize) -> Builder<C> {
        self.options.max_connections = max;
        self
    }

    /// The longest request in bytes, the command line, the value and both line ends together; 32 MiB by default, as the
    /// server's own option `--maxreadsize`, which counts in the same way. A longer request is refused before any of it
    /// is sent, so that the old value stays, and a value of more bytes is not received.
    ///
    /// ```
    /// let builder = sharedance_client::Client::builder("localhost").max_request_len(1024 * 1024);
    /// ```
    pub fn max_request_len(mut self, max: usize) -> Builder<C> {
        self.options.max_request_len = max;
        self
    }

    /// For how long a server is left alone that could not be reached: `first` (100 ms by default), doubled with each
    /// further failure up to `max` (5 s), and shortened by chance to no less than a half. Calls fail at once in the
    /// meantime, or go elsewhere: see [`WhenDown`]. Three timeouts in a row without an answer count as a failure too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (first, max) = (Duration::from_millis(20), Duration::from_secs(1));
    /// let builder = sharedance_client::Client::builder("localhost").backoff(first, max);
    /// ```
    pub fn backoff(mut self, first: Duration, max: Duration) -> Builder<C> {
        self.options.backoff = Backoff { first: in_range(first), max: in_range(max) };
        self
    }

    /// How calls for the keys of a server that is down are treated; [`WhenDown::Fail`] by default.
    ///
    /// ```
    /// use sharedance_client::WhenDown;
    ///
    /// let builder = sharedance_client::Client::builder("one").server("two").when_down(WhenDown::NextServer);
    /// ```
    pub fn when_down(mut self, when_down: WhenDown) -> Builder<C> {
        self.options.when_down = when_down;
        self
    }

    /// How keys are spread over several servers; [`Continuum::Libketama`] by default.
    ///
    /// ```
    /// use sharedance_client::Continuum;
    ///
    /// let builder = sharedance_client::Client::builder("one").server("two").continuum(Continuum::Libketama);
    /// ```
    pub fn continuum(mut self, continuum: Continuum) -> Builder<C> {
        self.options.continuum = continuum;
        self
    }

    pub(crate) fn finish(self) -> Result<(Vec<WeightedAddress>, Options), Error> {
        match self.error {
            Some(error) => Err(error),
            None => Ok((self.addresses, self.options)),
        }
    }
}

/// How long to wait for a lock, and how long to hold it.
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// use std::time::Duration;
/// use sharedance_client::LockOptions;
///
/// let lock = client.lock("cart-3", LockOptions::new().wait(Duration::from_secs(2)))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct LockOptions {
    /// For how long the lock is waited for while others hold it, a day at most; 10 s by default. This comes on top of the
    /// operation timeout.
    pub wait: Duration,
    /// When the lock ends if it has not been given back: whole seconds, rounded up; 30 s by default. So a client that
    /// hangs does not block the others for ever.
    pub ttl: Duration,
}

impl LockOptions {
    /// Waits up to 10 s, and holds for 30 s at most.
    ///
    /// ```
    /// use sharedance_client::LockOptions;
    ///
    /// assert_eq!(LockOptions::new().ttl.as_secs(), 30);
    /// ```
    pub fn new() -> LockOptions {
        LockOptions { wait: Duration::from_secs(10), ttl: Duration::from_secs(30) }
    }

    /// Waits up to `wait`; zero tries once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sharedance_client::LockOptions;
    ///
    /// let try_once = LockOptions::new().wait(Duration::ZERO);
    /// ```
    pub fn wait(mut self, wait: Duration) -> LockOptions {
        self.wait = wait;
        self
    }

    /// Holds for `ttl` at most.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sharedance_client::LockOptions;
    ///
    /// let for_a_minute = LockOptions::new().ttl(Duration::from_secs(60));
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> LockOptions {
        self.ttl = ttl;
        self
    }
}

impl Default for LockOptions {
    fn default() -> LockOptions {
        LockOptions::new()
    }
}
