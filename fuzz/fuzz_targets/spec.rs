//! SPEC scan logs: open, and read everything.
#![no_main]

mod read_all;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read_all::read_all(bytes));
