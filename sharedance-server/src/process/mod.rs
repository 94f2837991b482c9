//! What belongs to the process and not to the server: ids and rights, signals and what they reload, the terminal, logging,
//! the allocator.

pub mod allocator;
pub mod daemon;
pub mod directory;
pub mod logging;
pub mod notify;
pub mod pidfile;
pub mod privileges;
pub mod reload;
pub mod signals;
pub mod title;
