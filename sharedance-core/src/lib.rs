//! The embeddable half of Sharedance: an expiring key/value store in memory-mapped files, and the codecs of its
//! network protocols.
//!
//! | module | feature | what it is |
//! | --- | --- | --- |
//! | `store` | `store` | the store: `store::Store` |
//! | `clock` | `store` | the clock it runs on, which a test may turn by hand |
//! | `protocol` | `protocol` | the codecs, without any I/O |
//!
//! The two halves know nothing of each other.

#[cfg(all(doctest, feature = "store"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

#[cfg(feature = "store")]
pub mod clock;
#[cfg(feature = "protocol")]
pub mod protocol;
#[cfg(feature = "store")]
pub mod store;
