//! tarn-schemas
