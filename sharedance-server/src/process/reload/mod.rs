//! Reloading while the server runs: what a SIGHUP reads again.
//!
//! - [`Reloadable`]: a thing that can be reloaded, such as the certificates of a listener.
//! - [`Reloads`]: the list of them. The signal thread reloads them one after the other, and no worker waits for it.
//! - [`ReloadableConfiguration`]: the configuration file.
//! - [`ReloadableFile`]: a file that can be read again after the process has changed its root directory and its user.

mod configuration;
mod file;
mod reloads;

pub use configuration::ReloadableConfiguration;
pub use file::{FileError, ReloadableFile};
pub use reloads::{ReloadError, Reloadable, Reloads};
