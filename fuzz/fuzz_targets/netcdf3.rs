//! NetCDF-3 (CDF-1, -2, -5): open, and read everything.
#![no_main]

mod read_all;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read_all::read_all(bytes));
