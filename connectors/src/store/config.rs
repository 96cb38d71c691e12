//! Settings of stores, and stores made of them.

use super::{Location, StoreError};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Settings of one store, from `[stores.NAME]` of `tarn.toml`. Keys as in `object_store`
/// (`aws_endpoint`, `aws_region`, `aws_allow_http`, `aws_access_key_id`, …; `google_…`; `azure_…`);
/// what is not set comes from the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`). Never stored in tables, printed or logged.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreConfig {
    /// Locations with this prefix use these settings, such as `s3://bucket`.
    pub url: String,
    /// Options of the object store.
    #[serde(flatten)]
    pub options: BTreeMap<String, String>,
}

impl StoreConfig {
    /// Whether this location is the configured folder or bucket, or inside it.
    pub(super) fn covers(&self, location: &Location) -> bool {
        let Ok(prefix) = Location::parse(&self.url) else { return false };
        let prefix = prefix.url().as_str().trim_end_matches('/');
        let rest = location.url().as_str().strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Enough for a store that restarts, and soon enough for a person who mistyped its address.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 6, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() }
}

/// The object store that serves a location.
pub(super) fn connect(
    location: &Location,
    config: Option<&StoreConfig>,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let failed = |error: object_store::Error| StoreError::from_object_store(location, &error);
    let empty = BTreeMap::new();
    let options = config.map_or(&empty, |config| &config.options);
    let base = &location.url()[..url::Position::BeforePath];
    // The builders of the stores have nothing in common but their looks.
    macro_rules! built {
        ($builder:expr) => {{
            let mut builder = $builder.with_url(base).with_retry(retries());
            for (key, value) in options {
                let key = key.to_ascii_lowercase().parse().map_err(|_| unknown(location, key))?;
                builder = builder.with_config(key, value);
            }
            Ok(Arc::new(builder.build().map_err(failed)?))
        }};
    }
    match location.url().scheme() {
        "s3" => built!(AmazonS3Builder::from_env()),
        "gs" => built!(GoogleCloudStorageBuilder::from_env()),
        "az" => built!(MicrosoftAzureBuilder::from_env()),
        "http" => built!(HttpBuilder::new().with_config(ClientConfigKey::AllowHttp, "true")),
        "https" => built!(HttpBuilder::new()),
        _ => Ok(Arc::new(LocalFileSystem::new())),
    }
}

fn unknown(location: &Location, key: &str) -> StoreError {
    StoreError::Invalid {
        location: location.to_string(),
        problem: format!(
            "the store has no option {key:?}: write options as object_store names them, \
             such as aws_endpoint, aws_region, aws_access_key_id, aws_allow_http, \
             google_service_account, azure_storage_account_name"
        ),
    }
}
