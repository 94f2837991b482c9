//! A `sharedanced` for a test, on threads of this process and a free port, stopped when the value is dropped.

// Each test that includes this file uses only some of the items.
#![allow(dead_code)]

use std::thread::{self, JoinHandle};

use sharedance_core::store::{Background, Options};
use sharedance_server::{BoundAddress, Server, ServerOptions, Shutdown};
use tempfile::TempDir;

pub(crate) struct Sharedanced {
    address: String,
    shutdown: Shutdown,
    running: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Sharedanced {
    pub(crate) fn start() -> Sharedanced {
        Sharedanced::start_with(ServerOptions::default())
    }

    /// Starts a server with further options.
    pub(crate) fn start_with(options: ServerOptions) -> Sharedanced {
        let directory = tempfile::tempdir().unwrap();
        let store = Options::new().background(Background::Manual).open(directory.path()).unwrap();
        let server = Server::bind(&ServerOptions { ip: Some("127.0.0.1".into()), port: 0, ..options }).unwrap();
        let address = match &server.addresses()[0] {
            BoundAddress::Unix(path) => format!("unix:{}", path.display()),
            address => address.as_socket_addr().unwrap().to_string(),
        };
        let shutdown = server.shutdown();
        let running = thread::spawn(move || server.run(&store).unwrap());
        Sharedanced { address, shutdown, running: Some(running), _directory: directory }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Sharedanced {
    fn drop(&mut self) {
        self.shutdown.begin();
        if let Some(running) = self.running.take() {
            let outcome = running.join();
            assert!(outcome.is_ok() || thread::panicking(), "the server has panicked");
        }
    }
}
