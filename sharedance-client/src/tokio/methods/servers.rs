//! The servers themselves.

use std::collections::BTreeMap;

use crate::call::for_each_server;
use crate::command::{FLUSH, PING, STATISTICS, ServerCommand, VERSION};
use crate::results::BatchResults;
use crate::tokio::client::Client;
use crate::tokio::driver::drive;

impl Client {
    /// The servers, in the order in which they were configured.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// for (server, result) in client.servers().iter().zip(client.ping().await) {
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
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// client.ping().await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ping(&self) -> BatchResults<()> {
        self.run_on_each(PING).await
    }

    /// Returns the version of each server.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// let versions: Vec<String> = client.version().await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn version(&self) -> BatchResults<String> {
        self.run_on_each(VERSION).await
    }

    /// Returns the statistics of each server, by their names.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// for stats in client.stats().await.all()? {
    ///     println!("{:?} pairs", stats.get("curr_items"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stats(&self) -> BatchResults<BTreeMap<String, String>> {
        self.run_on_each(STATISTICS).await
    }

    /// Deletes all pairs of each server.
    ///
    /// ```no_run
    /// # use sharedance_client::Error;
    /// # async fn example(client: &sharedance_client::tokio::Client) -> Result<(), Error> {
    /// client.flush().await.all()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) -> BatchResults<()> {
        self.run_on_each(FLUSH).await
    }

    async fn run_on_each<T>(&self, command: ServerCommand<T>) -> BatchResults<T> {
        drive(for_each_server(&self.servers, command, self.deadline())).await
    }
}
