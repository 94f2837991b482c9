//! Values that one caller of all clients computes.

use crate::blocking::client::Client;
use crate::error::Error;
use crate::operations;
use crate::refresh::{self, Need, RefreshOptions};

impl Client {
    /// Returns the value of `key`. If there is no value, it is computed and stored. If it expires soon, or was marked as
    /// stale, one caller of all clients computes it again, while the others use the old value.
    ///
    /// A value that another client stores meanwhile stays. If computing fails, the old value stays too, and the next
    /// caller is chosen.
    ///
    /// # Errors
    /// The error of `compute`, or of the client.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, RefreshOptions, Ttl};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let options = RefreshOptions::new(Ttl::from_secs(600));
    /// let page = client.get_or_refresh("page-42", options, || Ok::<_, Error>(b"<p>Hello".to_vec()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_or_refresh<E: From<Error>>(
        &self,
        key: impl AsRef<[u8]>,
        options: RefreshOptions,
        compute: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let key = key.as_ref();
        let version = match Need::of(self.run(operations::look(key, options.before))?) {
            Need::Nothing(value) => return Ok(value),
            Need::Compute(version) => version,
        };
        match compute() {
            Ok(value) => {
                // A value that another client stored meanwhile stays.
                let _ = self.store(refresh::mode(version), key, &value, options.attributes)?;
                Ok(value)
            }
            Err(error) => {
                if version.is_some() {
                    // Whether or not this succeeds, the error of `compute` is returned.
                    let _ = self.run(operations::invalidate(key, version));
                }
                Err(error)
            }
        }
    }

    /// Marks the value of `key` as stale, and returns whether it existed. The server still returns it; the next reader
    /// with [`get_or_refresh`](Client::get_or_refresh) computes it again.
    ///
    /// Read such a key by that call only: the server may choose any other read to compute the value, and that read
    /// ignores it.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let was_there = client.invalidate("page-42")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.run(operations::invalidate(key.as_ref(), None))
    }
}
