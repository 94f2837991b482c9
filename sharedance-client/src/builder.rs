//! The builder of a client, blocking or for tokio.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::address::ListedServer;
use crate::backoff::Backoff;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::options::{Options, WhenDown};
use crate::ring::Continuum;
use crate::target::{Target, Targets};
use crate::time::in_range;
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;
use crate::url;

/// Configures a client, blocking or for tokio.
///
/// Timeouts are limited to the range from one millisecond to one day.
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
    servers: Vec<ListedServer>,
    options: Options,
    /// The error of the first server list that could not be parsed.
    error: Option<Error>,
    client: PhantomData<fn() -> C>,
}

impl<C> Clone for Builder<C> {
    fn clone(&self) -> Builder<C> {
        Builder {
            servers: self.servers.clone(),
            options: self.options.clone(),
            error: self.error.clone(),
            client: PhantomData,
        }
    }
}

impl<C> Builder<C> {
    pub(crate) fn new(servers: &str) -> Builder<C> {
        let builder = Builder { servers: Vec::new(), options: Options::default(), error: None, client: PhantomData };
        builder.read(servers)
    }

    fn read(mut self, servers: &str) -> Builder<C> {
        if let Err(error) = url::read(servers, &mut self.servers, &mut self.options) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Adds one server or several: any text that [`builder`](crate::Client::builder) accepts. Keys are spread over all
    /// servers by consistent hashing: see [`Continuum`]. Every client must name the same servers in the same way.
    ///
    /// A server with `?weight=N` after its address gets N times as many keys as a server without; [`Continuum::Plain`]
    /// has no weights. The weights share 160 points for each server, rounded down to multiples of four: a server whose
    /// share is smaller than four points gets no keys.
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

    /// The timeout for opening a connection, for all addresses of a server's name together; 1 s by default. The
    /// addresses are tried in turn. Each may use an equal part of the remaining time, so that an unresponsive address
    /// leaves time for the next one.
    ///
    /// The time that the system's resolver needs is not included; it has its own limits.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = sharedance_client::Client::builder("localhost").connect_timeout(Duration::from_millis(200));
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder<C> {
        self.options.connect_timeout = in_range(timeout);
        self
    }

    /// The timeout for a whole call, including waiting for a free connection and opening one; 5 s by default. A batch
    /// is one call. The time to wait for a lock is added.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = sharedance_client::Client::builder("localhost").operation_timeout(Duration::from_secs(1));
    /// ```
    pub fn operation_timeout(mut self, timeout: Duration) -> Builder<C> {
        self.options.operation_timeout = in_range(timeout);
        self
    }

    /// How long an idle connection is kept; 30 s by default. The idle timeout of the server should be longer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = sharedance_client::Client::builder("localhost").idle_timeout(Duration::from_secs(10));
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Builder<C> {
        self.options.idle_timeout = in_range(timeout);
        self
    }

    /// The maximum number of connections to each server, including those that hold locks; 32 by default. A call that
    /// needs one more waits until one is free.
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

    /// The maximum length of a request in bytes: command line, value and both line ends. 32 MiB by default, like the
    /// server's option `--maxreadsize`, which counts in the same way. A longer request is refused before any of it is
    /// sent, so that the old value stays. A longer value is not received.
    ///
    /// ```
    /// let builder = sharedance_client::Client::builder("localhost").max_request_len(1024 * 1024);
    /// ```
    pub fn max_request_len(mut self, max: usize) -> Builder<C> {
        self.options.max_request_len = max;
        self
    }

    /// For how long an unreachable server is not tried again: `first` (100 ms by default), doubled with each further
    /// failure up to `max` (5 s), and shortened at random to at least a half. In the meantime calls fail at once, or
    /// use another server: see [`WhenDown`]. Three consecutive timeouts without a response count as a failure too.
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

    /// What happens to calls for the keys of a server that is down; [`WhenDown::Fail`] by default.
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

    /// The name and the password for servers that require them. Those of a URL take precedence for the servers of the
    /// URL.
    ///
    /// ```
    /// use sharedance_client::Credentials;
    ///
    /// let builder = sharedance_client::Client::builder("localhost").credentials(Credentials::new("web", "a-password"));
    /// ```
    pub fn credentials(mut self, credentials: Credentials) -> Builder<C> {
        self.options.credentials = Some(credentials);
        self
    }

    /// Connects by TLS, with these options. They apply to each server with a host, whether or not it was named with
    /// `tls://`, unless it was named with `tcp://`. A server with `tls://` uses TLS without this call as well.
    ///
    /// ```
    /// use sharedance_client::TlsOptions;
    ///
    /// let tls = TlsOptions::new().ca("/etc/sharedance/authority.pem");
    /// let builder = sharedance_client::Client::builder("one,two").tls(tls);
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, options: TlsOptions) -> Builder<C> {
        self.options.tls = Some(options);
        self
    }

    pub(crate) fn finish(self) -> Result<(Vec<Target>, Options), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        #[cfg(feature = "tls")]
        let targets = Targets::new(self.options.credentials.as_ref(), self.options.tls.as_ref());
        #[cfg(not(feature = "tls"))]
        let targets = Targets::new(self.options.credentials.as_ref());
        let targets = self.servers.into_iter().map(|listed| targets.of(listed)).collect::<Result<_, Error>>()?;
        Ok((targets, self.options))
    }
}
