//! The command line: flags, each of which is also an environment variable, and their values.

mod flags;
mod limit_flags;
mod values;

pub(crate) use flags::{Cli, LogFormat};
