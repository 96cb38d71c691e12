//! The engine from outside: sessions over a catalog, files in place, and the demo's questions.

mod demo;
mod pushdown;
mod sessions;
mod support;
