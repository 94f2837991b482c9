//! The server `sharedanced`: shares web sessions and caches between a pool of web servers.
//!
//! The binary is glue around this library, which other programs and tests can use to run a server inside of them:
//!
//! ```
//! use sharedance_core::store::Store;
//! use sharedance_server::{Server, ServerOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let store = Store::open(directory)?;
//! let server = Server::bind(&ServerOptions {
//!     host: Some("127.0.0.1".into()),
//!     port: 0,
//!     ..ServerOptions::default()
//! })?;
//! let (address, shutdown) = (server.local_addr(), server.shutdown());
//! let running = std::thread::spawn(move || server.run(&store));
//! // Peers can store and fetch at `address` now.
//! # assert_ne!(address.port(), 0);
//! shutdown.begin();
//! running.join().expect("the server does not panic")?;
//! # Ok(())
//! # }
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("sharedanced needs Linux: epoll, SO_REUSEPORT that spreads connections, Landlock");

mod admission;
mod buffer;
mod commands;
mod connection;
mod counters;
pub mod daemon;
mod deadlines;
pub mod directory;
mod listener;
mod locks;
pub mod logging;
mod maintenance;
pub mod memory;
pub mod notify;
pub mod options;
mod output;
pub mod privileges;
mod reactor;
mod server;
pub mod signals;
pub mod storage;
pub mod title;

pub use listener::BindError;
pub use server::{Server, ServerError, ServerOptions, Shutdown};
