//! What an operator does with a running `sharedanced`: signals, reloading, configuration.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used)]

mod configuration;
mod log;
mod packaged;
mod pidfile;
mod reload;
mod signals;
mod stop;
