//! `tarn stream`
