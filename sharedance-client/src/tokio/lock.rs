//! The locks of the client for tokio.

use std::fmt;
use std::time::Duration;

use crate::command::{Delete, Guarded, GuardedOutput, Touch};
use crate::error::Error;
use crate::guarded::{self, Found, Known, Stored, guarded};
use crate::operations::{example, exptime, guarded_store};
use crate::options::Options;
use crate::reply::Rejection;
use crate::servers::Servers;
use crate::time::Deadline;
use crate::ttl::Ttl;

use super::pool::{Lease, Pool};

guarded!(
    "async fn example(client: &sharedance_client::tokio::Client)",
    "async fn example(mut lock: sharedance_client::tokio::Lock)",
    ".await?",
    { async },
    { .await }
);
