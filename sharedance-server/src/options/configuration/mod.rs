//! Where the values of the options come from: a file, the environment, the command line. A later one of these takes
//! precedence.
//!
//! Clap checks the values of all three: each is turned into an argument of the command line, and refused with the same
//! text, preceded by its file and line or its variable.

mod arguments;
mod environment;
mod file;
mod given;
mod merged;
mod print;
mod reread;
mod setting;

pub(super) use arguments::ConfigurationArguments;
pub use given::Given;
pub use merged::ConfigurationError;
pub(super) use merged::Merged;
pub use reread::RunningConfiguration;
