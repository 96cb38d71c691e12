//! Where bytes are: absolute URLs, written as paths where they are local.

use super::StoreError;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use url::Url;

/// Schemes of stores that hold buckets or containers of objects: `scheme://bucket/key`.
pub(super) const BUCKETS: [&str; 3] = ["s3", "gs", "az"];

/// A place that bytes come from or go to: an absolute URL (`file:///…`, `s3://…`, `https://…`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location(Url);

impl Location {
    /// A path (made absolute) or a URL.
    ///
    /// URLs are `file://`, `s3://bucket/key`, `gs://bucket/key` (Google Cloud Storage),
    /// `az://container/key` (Azure Blob Storage; the account is a setting of the store), `http://`
    /// and `https://`. User info and queries are refused: a location is stored and printed, so it
    /// must not hold a secret.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let invalid = |problem: &str| StoreError::Invalid {
            location: super::error::without_queries(text),
            problem: problem.to_owned(),
        };
        if text.is_empty() {
            return Err(invalid("this is empty: write a path or a URL"));
        }
        if !text.contains("://") {
            return Self::from_path(Path::new(text));
        }
        let url = Url::parse(text).map_err(|error| invalid(&format!("not a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(
                "a URL with a user name or password would be stored with the table: \
                 put credentials under [stores] in tarn.toml or into the environment",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid(
                "a URL with ?… or #… is not supported: write %3F or %23 if they belong to the name",
            ));
        }
        match (url.scheme(), url.host_str().filter(|host| !host.is_empty())) {
            ("file", None) if url.to_file_path().is_ok() => Ok(Self(url)),
            ("file", _) => Err(invalid("write file:///absolute/path, without a host")),
            (scheme, host) if BUCKETS.contains(&scheme) || matches!(scheme, "http" | "https") => {
                host.map_or_else(|| Err(invalid("the bucket or host is missing")), |_| Ok(()))?;
                Ok(Self(url))
            }
            _ => Err(invalid(
                "this kind of URL is not supported: use a path, file://, s3://, gs://, az://, \
                 http:// or https://",
            )),
        }
    }

    /// The location of a local path, made absolute.
    pub fn from_path(path: &Path) -> Result<Self, StoreError> {
        let invalid =
            |problem: String| StoreError::Invalid { location: path.display().to_string(), problem };
        let mut absolute = std::path::absolute(path).map_err(|e| invalid(e.to_string()))?;
        if absolute.components().any(|part| part == Component::ParentDir)
            && let Ok(canonical) = absolute.canonicalize()
        {
            absolute = canonical;
        }
        if absolute.to_str().is_none() {
            return Err(invalid("the path is not UTF-8: rename the file".to_owned()));
        }
        Url::from_file_path(&absolute)
            .map(Self)
            .map_err(|()| invalid("this is no path that a URL can name".to_owned()))
    }

    /// The object `key` of the bucket or host that this location is in.
    pub(super) fn with_key(&self, key: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("/{}", key.replace('%', "%25")));
        Self(url)
    }

    /// The place `name` inside this folder; `name` may hold `/`.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut url = self.0.clone();
        let folder = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{folder}/{}", name.replace('%', "%25")));
        Self(url)
    }

    /// Whether a path in the log of a Delta table, decoded, stays in the folder of the table: no URL,
    /// no path from the root, nothing upwards.
    #[must_use]
    pub fn stays_inside(path: &str) -> bool {
        // RFC 3986, section 3.1: what stands before the first colon, if it is made of these.
        let scheme = path.split_once(':').map(|(scheme, _)| scheme);
        let may_be = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let is_url = scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(may_be));
        !is_url
            && !path.starts_with('/')
            && !path.contains('\\')
            && path.split('/').all(|part| part != "..")
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The file system path, if this is a local file.
    pub fn local_path(&self) -> Option<PathBuf> {
        (self.0.scheme() == "file").then(|| self.0.to_file_path().ok()).flatten()
    }

    /// Whether folders of this kind of store can be listed.
    pub(super) fn is_listable(&self) -> bool {
        self.0.scheme() == "file" || BUCKETS.contains(&self.0.scheme())
    }
}

impl fmt::Display for Location {
    /// A local path as a path, anything else as a URL. Neither holds user info or a query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local_path() {
            Some(path) => write!(f, "{}", path.display()),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_become_absolute_and_urls_stay() {
        let here = std::env::current_dir().unwrap();
        let location = Location::parse("a b#?%41.nc").unwrap();
        assert_eq!(location.local_path().unwrap(), here.join("a b#?%41.nc"));
        assert_eq!(location.to_string(), here.join("a b#?%41.nc").display().to_string());
        assert_eq!(Location::parse("file:///tmp/x.nc").unwrap().to_string(), "/tmp/x.nc");
        assert_eq!(Location::parse("s3://b/k/x.nc").unwrap().to_string(), "s3://b/k/x.nc");
        assert_eq!(Location::parse("s3://b/lake/").unwrap().child("d/t").url().path(), "/lake/d/t");
        assert_eq!(Location::parse("s3://b").unwrap().child("d").to_string(), "s3://b/d");
        for url in ["gs://b/k/x.nc", "az://c/k/x.nc", "https://host:1/k/x.nc"] {
            assert_eq!(Location::parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn a_location_never_holds_a_secret_and_the_refusal_does_not_print_it() {
        for text in ["https://user:secret@host/x.nc", "https://host/x.nc?sig=secret"] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn paths_of_a_log_that_leave_the_folder_are_known() {
        for inside in ["part-0.parquet", "day=1/a b.parquet", "x=12:30/p..q.parquet"] {
            assert!(Location::stays_inside(inside), "{inside}");
        }
        for outside in ["s3://b/k", "file:///etc/x", "/etc/x", "../x", "a/../../x", "a\\..\\x"] {
            assert!(!Location::stays_inside(outside), "{outside}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "ftp://host/x", "s3://", "gs://", "az:///x", "file://host/x"] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_location_reads_back_from_its_text(name in "[a-zA-Z0-9 %#?&+~é_.-]{1,20}[a-z]") {
            for base in ["/tmp/x", "s3://bucket/folder"] {
                let location = Location::parse(base).unwrap().child(&name);
                prop_assert_eq!(&Location::parse(&location.to_string()).unwrap(), &location);
            }
        }
    }
}
