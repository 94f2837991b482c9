//! The connections of the client for tokio to one server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::command::Command;
use crate::error::Error;
use crate::idle::Idle;
use crate::options::Options;
use crate::pipeline::{Outputs, Pipeline};
use crate::pool::pool;
use crate::servers::Server;
use crate::time::{Deadline, now};

use super::connection::Connection;
use super::turns::{Turn, Turns};

pool!({ async }, { .await });
