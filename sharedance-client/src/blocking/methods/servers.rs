//! The servers themselves.

use std::collections::BTreeMap;

use crate::blocking::client::Client;
use crate::blocking::driver::drive;
use crate::call::for_each_server;
use crate::command::{FLUSH, PING, STATISTICS, ServerCommand, VERSION};
use crate::results::BatchResults;

impl Client {
    /// The servers, in the order in which they were configured.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// for (server, result) in client.servers().iter().zip(client.ping()) {
    ///     println!("{server}: {result:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn servers(&self) -> Vec<String> {
        self.servers.names()
    }

    /// Checks that each server responds.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// client.ping().all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ping(&self) -> BatchResults<()> {
        self.run_on_each(PING)
    }

    /// Returns the version of each server.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// let versions: Vec<String> = client.version().all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn version(&self) -> BatchResults<String> {
        self.run_on_each(VERSION)
    }

    /// Returns the statistics of each server, by their names.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// for stats in client.stats().all()? {
    ///     println!("{:?} pairs", stats.get("curr_items"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> BatchResults<BTreeMap<String, String>> {
        self.run_on_each(STATISTICS)
    }

    /// Deletes all pairs of each server.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # fn example(client: &sharedance_client::Client) -> Result<(), Error> {
    /// client.flush().all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flush(&self) -> BatchResults<()> {
        self.run_on_each(FLUSH)
    }

    fn run_on_each<T>(&self, command: ServerCommand<T>) -> BatchResults<T> {
        drive(for_each_server(&self.servers, command, self.deadline()))
    }
}
