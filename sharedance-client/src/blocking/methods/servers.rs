//! The servers themselves.

use std::collections::BTreeMap;

use crate::blocking::client::Client;
use crate::blocking::driver::drive;
use crate::call::Batch;
use crate::command::{Command, Flush, Ping, ServerVersion, Statistics};
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
        self.ask_each(Ping)
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
        self.ask_each(ServerVersion)
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
        self.ask_each(Statistics)
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
        self.ask_each(Flush)
    }

    fn ask_each<C: Command>(&self, command: C) -> BatchResults<C::Output> {
        drive(Batch::of_each_server(&self.servers, command, self.deadline()))
    }
}
