//! Several keys at once.

use crate::attributes::Attributes;
use crate::blocking::client::Client;
use crate::operations;
use crate::results::BatchResults;

impl Client {
    /// Returns the values of all `keys`, in one round trip to each server. If a server is down, only its keys fail.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// for value in client.get_many(&["page-1", "page-2"]).all()? {
    ///     println!("{} bytes", value.map_or(0, |value| value.len()));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> BatchResults<Option<Vec<u8>>> {
        self.run_all(keys.iter().map(|key| operations::get(key.as_ref(), None)))
    }

    /// Stores all `pairs` of a key and a value, as [`set`](Client::set) does, in few round trips to each server. If a
    /// key occurs twice, the last value stays. If a server is down or refuses a value, only the affected keys fail.
    ///
    /// ```no_run
    /// # use sharedance_client::{Error, Ttl};
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// client.set_many(&[("page-1", "one"), ("page-2", "two")], Ttl::from_secs(60)).all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(K, V)],
        attributes: impl Into<Attributes>,
    ) -> BatchResults<()> {
        let (attributes, max_request_len) = (attributes.into(), self.max_request_len());
        self.run_all(
            pairs.iter().map(|(key, value)| operations::set(key.as_ref(), value.as_ref(), attributes, max_request_len)),
        )
    }

    /// Deletes all `keys`, in few round trips to each server, and returns for each whether it existed. If a server is
    /// down, only its keys fail.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let were_there: Vec<bool> = client.delete_many(&["page-1", "page-2"]).all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> BatchResults<bool> {
        self.run_all(keys.iter().map(|key| operations::delete(key.as_ref())))
    }
}
