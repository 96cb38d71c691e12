//! Why a store cannot be used.

use std::error::Error;
use std::io::ErrorKind;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why a store cannot be used. No message holds a credential: user info and queries of URLs are
/// left out.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No such file, folder, bucket or object.
    #[error("{location}: not found")]
    NotFound {
        /// The location.
        location: String,
    },
    /// A folder without files, or a glob without a match.
    #[error("{location}: {problem}")]
    Nothing {
        /// The folder or glob.
        location: String,
        /// Which of the two.
        problem: &'static str,
    },
    /// The text is no path or URL that Tarn knows.
    #[error("{location}: {problem}")]
    Invalid {
        /// The text.
        location: String,
        /// What to write instead.
        problem: String,
    },
    /// The store refuses.
    #[error(
        "{location}: access denied; check the credentials of this store in tarn.toml or the environment"
    )]
    Denied {
        /// The location.
        location: String,
    },
    /// The file is not the one that was found before.
    #[error(
        "{location}: the file has changed since it was listed or registered ({was}, now {now}); \
         register or ingest it again"
    )]
    Changed {
        /// The location.
        location: String,
        /// Size and tag then.
        was: String,
        /// Size and tag now.
        now: String,
    },
    /// The store cannot be reached, is full, is read-only or fails.
    #[error("{location}: {problem}")]
    Failed {
        /// The location.
        location: String,
        /// What the store said, without secrets.
        problem: String,
    },
}

impl StoreError {
    /// What the object store said about this location.
    pub fn from_object_store(location: impl ToString, error: &object_store::Error) -> Self {
        let location = location.to_string();
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound { location },
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Self::Denied { location },
            object_store::Error::NotSupported { source }
                if source.to_string().contains("Range") =>
            {
                let problem = "the server does not answer requests for ranges of bytes: fetch the \
                               whole file and read it from a folder, or use another server";
                Self::Failed { location, problem: problem.to_owned() }
            }
            other => match io_error(other) {
                Some(io) => Self::from_io(location, io),
                None => Self::Failed { location, problem: without_queries(&other.to_string()) },
            },
        }
    }

    /// What the file system said about this location.
    pub fn from_io(location: impl ToString, error: &std::io::Error) -> Self {
        let location = location.to_string();
        let problem = match error.kind() {
            ErrorKind::NotFound => return Self::NotFound { location },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "the disk is full: free some space or use another store"
            }
            ErrorKind::ReadOnlyFilesystem => "the file system is read-only: use another store",
            ErrorKind::PermissionDenied => {
                "permission denied: change the permissions of the file or folder or use another store"
            }
            _ => return Self::Failed { location, problem: error.to_string() },
        };
        Self::Failed { location, problem: problem.to_owned() }
    }
}

impl Coded for StoreError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } | Self::Nothing { .. } => ErrorCode::NotFound,
            Self::Invalid { .. } => ErrorCode::InvalidArgument,
            Self::Denied { .. } => ErrorCode::PermissionDenied,
            Self::Changed { .. } => ErrorCode::DataLoss,
            Self::Failed { .. } => ErrorCode::Unavailable,
        }
    }
}

/// The file system's error that an object store's error was made of.
fn io_error(error: &object_store::Error) -> Option<&std::io::Error> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        cause = inner.source();
    }
    None
}

/// The text with the user info and the query of every URL in it taken out: both may hold secrets.
pub(super) fn without_queries(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(' ') {
        let Some((scheme, rest)) = word.split_once("://") else {
            words.push(word.to_owned());
            continue;
        };
        let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        words.push(format!("{scheme}://{host}{path}"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_messages_lose_user_info_and_query() {
        assert_eq!(
            without_queries("GET http://user:pw@host:1/a/b@c?X-Amz-Signature=abc failed: s3://b/k"),
            "GET http://host:1/a/b@c failed: s3://b/k"
        );
    }

    #[test]
    fn a_full_disk_and_a_read_only_one_are_named() {
        for (kind, word) in
            [(ErrorKind::StorageFull, "full"), (ErrorKind::ReadOnlyFilesystem, "read-only")]
        {
            let error = object_store::Error::Generic {
                store: "LocalFileSystem",
                source: Box::new(std::io::Error::from(kind)),
            };
            let error = StoreError::from_object_store("/data", &error);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
