//! tarn-ingest
