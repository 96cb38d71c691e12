//! tarn-connectors
