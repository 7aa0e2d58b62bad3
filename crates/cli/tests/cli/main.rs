//! The command as its users run it.

mod help;
mod scan;
mod util;
