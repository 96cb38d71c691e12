//! Filters of HDF5 chunks, past everything that stands before them in a file: the first bytes of the
//! input choose a pipeline, the rest is a chunk.
#![no_main]

/// Bytes of a decoded chunk.
const SIZE: usize = 1 << 14;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((choice, stored)) = input.split_first_chunk::<8>() else { return };
    #[cfg(fuzzing)]
    tarn_formats::hdf5::fuzzing::undo_chosen(*choice, stored, SIZE);
    #[cfg(not(fuzzing))]
    let _ = (choice, stored, SIZE);
});
