//! Why a query fails.

use crate::engine::{NestingError, Stop};
use crate::stream::StreamFault;
use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use tarn_catalog::CatalogError;
use tarn_connectors::StoreError;
use tarn_formats::FormatError;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why a query fails.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The SQL, a name in it or an argument is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The SQL nests too deeply.
    #[error(transparent)]
    Nesting(#[from] NestingError),
    /// A table, dataset, function or file that is not there, or may not be known.
    #[error("{0}")]
    NotFound(String),
    /// Policy refuses.
    #[error("{0}")]
    Denied(String),
    /// The token is missing or not valid.
    #[error("{0}")]
    Unauthenticated(String),
    /// A lab does not answer, and the query does not allow a partial answer.
    #[error(
        "lab {lab} did not answer: {problem}; ask again with partial = allow for an answer without it"
    )]
    SiteUnavailable {
        /// The lab.
        lab: String,
        /// What happened.
        problem: String,
    },
    /// A node cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// A file cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes are damaged, or no longer those that were registered.
    #[error("{0}")]
    InvalidData(String),
    /// A limit was reached.
    #[error("{0}")]
    ResourceExhausted(String),
    /// It was stopped: cancelled, too slow, too large, or not its turn.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// A stream cannot begin or go on.
    #[error(transparent)]
    Stream(#[from] StreamFault),
    /// The engine fails.
    #[error("{0}")]
    Internal(String),
}

impl Coded for QueryError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) | Self::Nesting(_) => ErrorCode::InvalidArgument,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Denied(_) => ErrorCode::PermissionDenied,
            Self::Unauthenticated(_) => ErrorCode::Unauthenticated,
            Self::SiteUnavailable { .. } | Self::Unreachable(_) => ErrorCode::Unavailable,
            Self::Format(error) => error.code(),
            Self::Catalog(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::InvalidData(_) => ErrorCode::InvalidData,
            Self::ResourceExhausted(_) => ErrorCode::ResourceExhausted,
            Self::Stopped(stop) => stop.code(),
            Self::Stream(fault) => fault.code(),
            Self::Internal(_) => ErrorCode::Internal,
        }
    }
}

impl QueryError {
    /// The same failure once more, for an error that several partitions share.
    fn again(&self) -> Self {
        if let Self::SiteUnavailable { lab, problem } = self {
            return Self::SiteUnavailable { lab: lab.clone(), problem: problem.clone() };
        }
        if let Self::Stopped(stop) = self {
            return Self::Stopped(*stop);
        }
        self.saying(self.to_string())
    }

    /// An error of the same meaning with another text.
    pub(crate) fn saying(&self, text: String) -> Self {
        match self.code() {
            ErrorCode::InvalidArgument | ErrorCode::Conflict => Self::Invalid(text),
            ErrorCode::NotFound => Self::NotFound(text),
            ErrorCode::PermissionDenied => Self::Denied(text),
            ErrorCode::Unauthenticated => Self::Unauthenticated(text),
            ErrorCode::InvalidData | ErrorCode::DataLoss => Self::InvalidData(text),
            ErrorCode::ResourceExhausted => Self::ResourceExhausted(text),
            _ => Self::Internal(text),
        }
    }

    /// What a shared DataFusion error means.
    fn of_shared(error: &DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast_ref::<Self>() {
                Some(own) => own.again(),
                None => Self::Internal(inner.to_string()),
            },
            DataFusionError::Shared(inner) => Self::of_shared(inner),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::of_shared(inner)
            }
            DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
                ArrowError::ExternalError(inner) => match inner.downcast_ref::<Self>() {
                    Some(own) => own.again(),
                    None => Self::Internal(inner.to_string()),
                },
                other => Self::Invalid(other.to_string()),
            },
            DataFusionError::ResourcesExhausted(text) => Self::ResourceExhausted(text.clone()),
            DataFusionError::Plan(text) | DataFusionError::Execution(text) => {
                Self::Invalid(text.clone())
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<ArrowError> for QueryError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::ExternalError(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(inner) => match inner.downcast::<DataFusionError>() {
                    Ok(inner) => Self::from(*inner),
                    Err(inner) => Self::Internal(inner.to_string()),
                },
            },
            ArrowError::MemoryError(text) => Self::ResourceExhausted(text),
            ArrowError::DivideByZero
            | ArrowError::CastError(_)
            | ArrowError::ParseError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::ArithmeticOverflow(_)
            | ArrowError::InvalidArgumentError(_)
            | ArrowError::NotYetImplemented(_) => Self::Invalid(error.to_string()),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<DataFusionError> for QueryError {
    /// Errors of Tarn come back as they went in; those of SQL become readable text.
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(inner) => match inner.downcast::<DataFusionError>() {
                    Ok(inner) => Self::from(*inner),
                    Err(inner) => match inner.downcast::<ArrowError>() {
                        Ok(inner) => Self::from(*inner),
                        Err(inner) => Self::Internal(inner.to_string()),
                    },
                },
            },
            DataFusionError::Shared(inner) => Self::of_shared(&inner),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::from(*inner)
            }
            DataFusionError::Collection(errors) => errors
                .into_iter()
                .next()
                .map_or_else(|| Self::Internal("an error without a text".to_owned()), Self::from),
            DataFusionError::ArrowError(inner, _) => Self::from(*inner),
            DataFusionError::ResourcesExhausted(text) => Self::ResourceExhausted(format!(
                "the query needs more memory than it may have: narrow it with WHERE, name fewer columns, \
                 aggregate before joining, or ask the operator to raise memory_mib: {text}"
            )),
            DataFusionError::SQL(inner, _) => {
                Self::Invalid(format!("the SQL is not understood: {inner}"))
            }
            DataFusionError::Plan(text) | DataFusionError::Execution(text)
                if text.contains("was not provided a value") =>
            {
                Self::Invalid(
                    "this statement has parameters (?, $1) without values; prepare it over Flight SQL \
                     and bind them, or write the values into the SQL"
                        .to_owned(),
                )
            }
            DataFusionError::Plan(text) | DataFusionError::Execution(text) => {
                Self::Invalid(call_text(&text).unwrap_or(text))
            }
            DataFusionError::NotImplemented(text) => {
                Self::Invalid(format!("this SQL is not supported: {text}"))
            }
            DataFusionError::Configuration(text) => Self::Invalid(text),
            DataFusionError::SchemaError(inner, _) => Self::Invalid(schema_text(&inner)),
            other => {
                let text = other.to_string();
                call_text(&text).map_or(Self::Internal(text), Self::Invalid)
            }
        }
    }
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}

/// A call of a function with arguments of types that it does not take, which DataFusion tells at length,
/// and partly as a defect of its own; `None` for what is no such thing.
fn call_text(text: &str) -> Option<String> {
    let (_, call) = text.split_once("given name and argument types '")?;
    let (call, more) = call.split_once('\'')?;
    let name = call.split('(').next()?;
    let known: Vec<&str> = more
        .lines()
        .map(|line| line.trim().trim_end_matches('.'))
        .filter(|line| line.starts_with(name) && line.ends_with(')'))
        .collect();
    let known = match known.as_slice() {
        [] => String::new(),
        known => format!("; there is {}", known.join(", ")),
    };
    Some(format!("there is no {call}{known}; CAST(… AS …) makes a value of another type"))
}

/// A name that does not fit a schema, with the names that would.
fn schema_text(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let mut names: Vec<&str> = valid_fields.iter().map(|f| f.name.as_str()).collect();
            names.dedup();
            let more = if names.len() > 40 { ", …" } else { "" };
            names.truncate(40);
            let quoting = valid_fields
                .iter()
                .find(|f| f.name != field.name && f.name.eq_ignore_ascii_case(&field.name))
                .map_or_else(String::new, |f| {
                    format!("; write \"{}\" in double quotes, which keep upper case", f.name)
                });
            format!(
                "there is no column {:?}{quoting}; there are: {}{more}",
                field.name,
                names.join(", ")
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn an_error_of_tarn_survives_every_wrapping_that_datafusion_does() {
        let denied = || DataFusionError::from(QueryError::Denied("no".to_owned()));
        for wrapped in [
            denied(),
            denied().context("somewhere"),
            DataFusionError::Shared(Arc::new(denied())),
            DataFusionError::ArrowError(
                Box::new(ArrowError::ExternalError(Box::new(denied()))),
                None,
            ),
            DataFusionError::Collection(vec![denied(), denied()]),
        ] {
            let error = QueryError::from(wrapped);
            assert!(matches!(error, QueryError::Denied(ref text) if text == "no"), "{error:?}");
        }
    }

    #[test]
    fn a_call_that_fits_no_function_is_an_error_of_the_statement() {
        let text = "Internal error: Function 'sum' failed to match any signature, errors: …. This issue was \
                    likely caused by a bug in DataFusion's code. No function matches the given name and \
                    argument types 'sum(Utf8)'. You might need to add explicit type casts.\n\tCandidate \
                    functions:\n\tsum(Decimal)\n\tsum(Duration)";
        for error in [DataFusionError::Internal(text.into()), DataFusionError::Plan(text.into())] {
            let error = QueryError::from(error);
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            let text = error.to_string();
            assert!(text.contains("there is no sum(Utf8); there is sum(Decimal), sum(Duration);"));
            assert!(!text.contains("DataFusion"), "{text}");
        }
    }

    #[test]
    fn a_full_memory_pool_is_a_limit_and_not_a_defect() {
        let error = QueryError::from(DataFusionError::ResourcesExhausted("pool".to_owned()));
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    }
}
