//! What files say of themselves, for records.

use crate::IngestError;
use tarn_connectors::Stores;
use tarn_connectors::store::FileStat;
use tarn_schemas::facts::FileFacts;

/// Bytes, checksum, variables with statistics, extents and global attributes of one file.
pub async fn extract(stores: &Stores, file: &FileStat) -> Result<FileFacts, IngestError> {
    let _ = (stores, file);
    todo!()
}
