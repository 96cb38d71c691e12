//! Ingests of real files into real catalogs and stores.

mod facts;
mod s3;
mod support;
mod tables;
