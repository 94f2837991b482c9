//! The options of the server: as a program sets them, and as they are given on the command line.

mod command_line;
mod storage;

pub use command_line::Options;
pub use storage::StorageOptions;
