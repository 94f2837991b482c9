//! Reloading while the server runs: what a SIGHUP reads again.
//!
//! - [`Reloadable`]: a thing that can be reloaded, such as the certificates of a listener.
//! - [`Reloads`]: the list of them. The signal thread reloads them one after the other, and no worker waits for it.
//! - [`ReloadableFile`]: a file that can be read again after the process has changed its root directory and its user.

mod file;
mod reloads;

pub use file::{FileError, ReloadableFile};
pub use reloads::{ReloadError, Reloadable, Reloads};
