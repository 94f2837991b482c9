//! What belongs to the process and not to the server: ids and rights, signals, the terminal, logging, the allocator.

pub mod allocator;
pub mod daemon;
pub mod directory;
pub mod logging;
pub mod notify;
pub mod privileges;
pub mod signals;
pub mod title;
