//! The embeddable half of Sharedance: an expiring key/value store in memory-mapped files, and the codecs of its
//! network protocols.
//!
//! | module | feature | what it is |
//! | --- | --- | --- |
//! | `store` | `store` | the store: `store::Store` |
//! | `clock` | `store` | the clock it runs on, which a test may turn by hand |
//! | `protocol` | `protocol` | the codecs, without any I/O |
//! | [`Version`], [`WriteResult`] | – | what writes return, in the store and in the client crate |
//!
//! The store needs Linux, 64-bit and little-endian; the build fails elsewhere, and says so. The codecs build anywhere.
//!
//! The two halves know nothing of each other: a program that serves one by the other says what a request means.
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
//!     panic!("it is all there");
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
