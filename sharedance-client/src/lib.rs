#![doc = include_str!("../README.md")]

mod address;
mod attributes;
mod backoff;
mod blocking;
mod builder;
mod call;
pub mod classic;
mod command;
mod connect;
mod credentials;
mod entry;
mod error;
mod failure;
mod guarded;
mod idle;
mod key;
mod lease;
mod operations;
mod options;
mod pipeline;
mod pool;
mod refresh;
mod reply;
mod results;
mod ring;
mod runtime;
mod servers;
#[cfg(feature = "tower-sessions")]
pub mod sessions;
mod socket;
mod target;
mod time;
mod tls;
#[cfg(feature = "tokio")]
pub mod tokio;
mod trace;
mod ttl;
#[cfg(feature = "serde")]
mod typed;
mod url;
mod wire;

pub use attributes::Attributes;
pub use blocking::{Client, Lock};
pub use builder::Builder;
pub use credentials::Credentials;
pub use entry::Entry;
pub use error::{Attempt, Attempts, Delivery, Error, Phase};
pub use options::{LockOptions, WhenDown};
pub use refresh::RefreshOptions;
pub use reply::Rejection;
pub use results::BatchResults;
pub use ring::Continuum;
pub use sharedance_core::protocol::KeyError;
pub use sharedance_core::{Version, WriteResult};
#[cfg(feature = "tls")]
pub use tls::TlsOptions;
pub use tls::TlsProblem;
pub use ttl::Ttl;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadmeExamples;
