//! SQL over every lab, under policy: sessions per principal, table providers, federation, Flight SQL
//! and training streams.

pub mod changes;
pub mod engine;
pub mod error;
pub mod federation;
pub mod flight;
pub mod functions;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod provider;
pub mod stream;

pub use engine::{
    Answer, AnswerDigest, Bounds, Change, Creation, Described, Dropping, Engine, EngineConfig,
    Estimate, Limits, Prepared, Progress, Query, STACK_BYTES, Session, SessionOptions, Sites,
    State, Statements, Stop, ViewCreation, engine_name, parameter,
};
pub use error::QueryError;
pub use stream::PreparedConfig;
