//! The server `sharedanced`: shares web sessions and caches between a pool of web servers.
//!
//! The binary is a thin layer around this library. Other programs and tests can use it to run a server within their
//! process:
//!
//! ```
//! use sharedance_core::store::{Background, Options};
//! use sharedance_server::{Server, ServerOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! // The server runs the maintenance threads.
//! let store = Options::new().background(Background::Manual).open(directory)?;
//! let server = Server::bind(&ServerOptions {
//!     ip: Some("127.0.0.1".into()),
//!     port: 0,
//!     ..ServerOptions::default()
//! })?;
//! let (address, shutdown) = (server.local_addr(), server.shutdown());
//! let running = std::thread::spawn(move || server.run(&store));
//! // Clients can store and fetch pairs at `address` now.
//! # assert_ne!(address.map(|address| address.port()), Some(0));
//! shutdown.begin();
//! running.join().expect("the server does not panic")?;
//! # Ok(())
//! # }
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("sharedanced needs Linux: epoll, SO_REUSEPORT that spreads connections, Landlock");

mod access;
mod buffers;
mod commands;
mod connection;
mod listen;
mod locks;
mod maintenance;
mod observe;
pub mod options;
pub mod process;
mod reactor;
mod server;
#[cfg(feature = "status")]
mod status;
#[cfg(feature = "tls")]
mod tls;

pub use access::{AuthFileError, CredentialsError};
pub use listen::{
    BindError, BoundAddress, Dialects, ListenAddress, ListenSpec, ListenerKind, ListenerOptions, Network, NetworkError,
    SpecError, UnixError,
};
pub use options::ServerOptions;
pub use server::{Server, ServerError, Shutdown};
#[cfg(feature = "tls")]
pub use tls::TlsError;
