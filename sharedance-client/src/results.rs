//! The results of a batch: one for each key, or for each server.

use std::fmt;
use std::slice;
use std::vec;

use crate::error::Error;

/// The results of a batch, one for each key, in the order of the keys; or one for each server, in the order of
/// [`Client::servers`](crate::Client::servers).
///
/// If a server is down or refuses a value, only the affected keys fail.
///
/// ```no_run
/// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
/// let keys = ["page-1", "page-2", "page-3"];
/// let pages = client.get_many(&keys);
/// for (index, error) in pages.failures() {
///     eprintln!("the page at index {index}: {error}");
/// }
/// let found: usize = pages.iter().flatten().flatten().count();
///
/// // All of them, or the first error.
/// let pages: Vec<Option<Vec<u8>>> = client.get_many(&keys).all()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "only the results show which keys failed"]
pub struct BatchResults<T> {
    results: Vec<Result<T, Error>>,
}

impl<T> BatchResults<T> {
    pub(crate) fn new(results: Vec<Result<T, Error>>) -> BatchResults<T> {
        BatchResults { results }
    }

    /// The values of all keys.
    ///
    /// # Errors
    /// The error of the first key that failed. The operations on the other keys may have succeeded.
    ///
    /// ```no_run
    /// # fn example(client: &sharedance_client::Client) -> Result<(), sharedance_client::Error> {
    /// let were_there: Vec<bool> = client.delete_many(&["page-1", "page-2"]).all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn all(self) -> Result<Vec<T>, Error> {
        self.results.into_iter().collect()
    }

    /// The keys that failed, by their index, and why.
    ///
    /// ```no_run
    /// # fn example(client: &sharedance_client::Client) {
    /// for (index, error) in client.get_many(&["page-1", "page-2"]).failures() {
    ///     eprintln!("the page at index {index}: {error}");
    /// }
    /// # }
    /// ```
    pub fn failures(&self) -> impl Iterator<Item = (usize, &Error)> {
        self.results.iter().enumerate().filter_map(|(index, result)| result.as_ref().err().map(|error| (index, error)))
    }

    /// The results by reference, in the order of the keys.
    ///
    /// ```no_run
    /// # fn example(client: &sharedance_client::Client) {
    /// let is_complete = client.get_many(&["page-1", "page-2"]).iter().all(Result::is_ok);
    /// # }
    /// ```
    pub fn iter(&self) -> slice::Iter<'_, Result<T, Error>> {
        self.results.iter()
    }

    /// The number of results.
    ///
    /// ```no_run
    /// # fn example(client: &sharedance_client::Client) {
    /// assert_eq!(client.get_many(&["page-1", "page-2"]).len(), 2);
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Whether there are no results.
    ///
    /// ```no_run
    /// # fn example(client: &sharedance_client::Client) {
    /// assert!(client.get_many::<&str>(&[]).is_empty());
    /// # }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }
}

/// Does not show values.
impl<T> fmt::Debug for BatchResults<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchResults").field("len", &self.len()).field("failures", &self.failures().count()).finish()
    }
}

impl<T> IntoIterator for BatchResults<T> {
    type Item = Result<T, Error>;
    type IntoIter = vec::IntoIter<Result<T, Error>>;

    fn into_iter(self) -> Self::IntoIter {
        self.results.into_iter()
    }
}

impl<'r, T> IntoIterator for &'r BatchResults<T> {
    type Item = &'r Result<T, Error>;
    type IntoIter = slice::Iter<'r, Result<T, Error>>;

    fn into_iter(self) -> Self::IntoIter {
        self.results.iter()
    }
}
