//! tarn-formats
