//! The embeddable half of Sharedance: an expiring key/value store in memory-mapped files, and the codecs of its
//! network protocols.
//!
//! | module | feature | what it is |
//! | --- | --- | --- |
//! | [`store`] | `store` | the store: [`store::Store`] |
//! | [`clock`] | `store` | the clock it runs on, which a test may turn by hand |
//!

#[cfg(all(doctest, feature = "store"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

#[cfg(feature = "store")]
pub mod clock;
#[cfg(feature = "store")]
pub mod store;
