//! An expiring key/value store in memory-mapped files, and the codecs of Sharedance's network protocols.
//!
//! | module | feature | what it is |
//! | --- | --- | --- |
//! | `store` | `store` | the store: `store::Store` |
//! | `clock` | `store` | the clock of a store, which a test can control |
//! | `protocol` | `protocol` | the codecs, without I/O |
//! | [`Version`], [`WriteResult`] | – | what writes return, in the store and in the client crate |
//!
//! The store needs Linux on a 64-bit little-endian machine; elsewhere the build fails with a message. The codecs build
//! on any system.
//!
//! Store and codecs do not depend on each other. A program that combines them maps requests to calls of the store:
//!
#![cfg_attr(all(feature = "store", feature = "protocol"), doc = "```")]
#![cfg_attr(not(all(feature = "store", feature = "protocol")), doc = "```ignore")]
//! use sharedance_core::protocol::{Decoded, Limits, Request, Response, classic};
//! use sharedance_core::store::Store;
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let store = Store::open(dir)?;
//! store.set("key", "value")?;
//!
//! let received = b"F\0\0\0\x03key";
//! let Decoded::Complete { message, .. } = classic::decode_request(received, &Limits::default())? else {
//!     panic!("the request is complete");
//! };
//! let response = match message {
//!     Request::Fetch { key } => store.get(key).map_or(Response::NotFound, Response::Value),
//!     _ => Response::Failed,
//! };
//! assert_eq!(classic::encode_response(&response), b"value");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(all(doctest, feature = "store"))]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

#[cfg(all(feature = "store", not(target_os = "linux")))]
compile_error!(
    "the store of sharedance-core needs Linux: its clock counts through suspend (CLOCK_BOOTTIME), it recognises a restart of \
     the machine by /proc/sys/kernel/random/boot_id, and it relies on fallocate and MADV_POPULATE_WRITE. The protocol alone \
     builds elsewhere: `default-features = false, features = [\"protocol\"]`"
);

#[cfg(feature = "store")]
pub mod clock;
#[cfg(feature = "protocol")]
pub mod protocol;
#[cfg(feature = "store")]
pub mod store;
mod write_result;

pub use write_result::{Version, WriteResult};
