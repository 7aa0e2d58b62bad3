//! Containers and metadata, all of them: what a file declares.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: candor_fuzz::contained(), |bytes: &[u8]| candor_fuzz::inspected(bytes));
