#![doc = include_str!("../README.md")]

mod address;
mod client;
mod connection;
mod error;

pub use client::{Builder, Client};
pub use error::{Attempt, Attempts, Error, Phase};
pub use sharedance_core::protocol::KeyError;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadmeExamples;
