//! What travels between labs, beside Arrow batches.
//!
//! Every message is JSON in the body of a Flight `DoAction`, or in a `DoGet` ticket:
//!
//! | call | request | answer |
//! |---|---|---|
//! | action `tarn.peer.accept` | [`AcceptRequest`] | [`AcceptAnswer`] |
//! | action `tarn.peer.tables` | nothing | [`TablesAnswer`] |
//! | action `tarn.peer.search` | `SearchRequest` of the catalog | `SearchAnswer` |
//! | action `tarn.peer.feed` | `PageRequest` of the catalog | [`signed_to_bytes`] |
//! | action `tarn.peer.tree` | `TreeRequest` of the catalog | [`signed_to_bytes`] |
//! | action `tarn.peer.records` | `RecordsRequest` of the catalog | [`signed_to_bytes`] |
//! | action `tarn.peer.record` | [`RecordRequest`] | `PeerRecord` of the catalog |
//! | ticket with the key `tarn.fragment` | [`FragmentTicket`] | Arrow batches |
//!
//! All but the first carry `authorization: Bearer <peer secret>` and, for a person who is signed in at
//! the asking lab, `x-tarn-visitor: <name>`. Unknown keys are ignored, so that a newer peer may add some.

use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use tarn_catalog::Signed;
use tarn_schemas::{DatasetName, LabName, TableName};

/// Action that redeems an invitation.
pub const ACCEPT: &str = "tarn.peer.accept";
/// Action that lists the tables a visitor may query.
pub const TABLES: &str = "tarn.peer.tables";
/// Action that searches the catalog for a visitor.
pub const SEARCH: &str = "tarn.peer.search";
/// Action that gives a page of what this lab tells a peer of its records.
pub const FEED: &str = "tarn.peer.feed";
/// Action that gives nodes of the hash tree over it.
pub const TREE: &str = "tarn.peer.tree";
/// Action that gives some of these records.
pub const RECORDS: &str = "tarn.peer.records";
/// Action that gives one record, as a visitor may see it now.
pub const RECORD: &str = "tarn.peer.record";
/// Header that names the person at the asking lab.
pub const VISITOR: &str = "x-tarn-visitor";
/// Version of the messages and of the plans in them.
pub(crate) const VERSION: u32 = 1;

pub(crate) const INVITATION_PREFIX: &str = "tarn-invite:";

/// What an inviting lab hands over.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Invitation {
    /// The inviting lab.
    pub(crate) lab: LabName,
    /// Its Flight address.
    pub(crate) flight: String,
    /// Its HTTP address.
    pub(crate) http: String,
    /// The secret that both labs will share.
    pub(crate) secret: String,
    /// The public key that the inviting lab signs with; older ones send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

impl Invitation {
    /// The text a person copies: `tarn-invite:` and the JSON in base64url.
    pub(crate) fn to_text(&self) -> Result<String, serde_json::Error> {
        Ok(format!("{INVITATION_PREFIX}{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(self)?)))
    }

    /// Reads that text; `None` if it is none.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let encoded = text.trim().strip_prefix(INVITATION_PREFIX)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
    }
}

/// Redeems an invitation.
#[derive(Serialize, Deserialize)]
pub(crate) struct AcceptRequest {
    /// The lab that accepts.
    pub(crate) lab: LabName,
    /// Its Flight address.
    pub(crate) flight: String,
    /// Its HTTP address.
    pub(crate) http: String,
    /// The secret of the invitation.
    pub(crate) secret: String,
    /// The public key that the accepting lab signs with; older ones send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

/// The invitation is redeemed.
#[derive(Serialize, Deserialize)]
pub(crate) struct AcceptAnswer {
    /// The lab that invited.
    pub(crate) lab: LabName,
}

/// Asks for one record.
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordRequest {
    /// The dataset.
    pub(crate) name: DatasetName,
}

/// The tables that a visitor may query, and what fragments may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TablesAnswer {
    /// Version of the messages.
    pub(crate) version: u32,
    /// The lab that answers.
    pub(crate) lab: LabName,
    /// Names of the scalar and aggregate functions that plans may call.
    pub(crate) functions: Vec<String>,
    /// Its tables.
    pub(crate) tables: Vec<TableInfo>,
}

/// One table of a peer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TableInfo {
    /// Dataset.
    pub(crate) dataset: DatasetName,
    /// Table.
    pub(crate) table: TableName,
    /// Arrow schema: an IPC stream without batches in base64.
    pub(crate) schema: String,
    /// Rows, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
}

/// Asks for the rows of a fragment.
#[derive(Serialize, Deserialize)]
pub(crate) struct FragmentTicket {
    /// Version of the messages and of the plan.
    #[serde(rename = "tarn.fragment")]
    pub(crate) version: u32,
    /// What to compute.
    #[serde(flatten)]
    pub(crate) payload: Payload,
}

/// A fragment as it travels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Payload {
    /// A Substrait plan in base64.
    Plan(String),
    /// The rows of one table, for column types that Substrait has no name for.
    Scan(ScanRequest),
}

/// Some columns of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize)]
pub(crate) struct ScanRequest {
    /// Dataset.
    pub(crate) dataset: DatasetName,
    /// Table.
    pub(crate) table: TableName,
    /// Columns, in this order.
    pub(crate) columns: Vec<String>,
    /// Most rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u64>,
}

/// A signed statement as it travels: its signature, a line break, its text.
pub(crate) fn signed_to_bytes(signed: &Signed) -> Vec<u8> {
    [signed.signature.as_bytes(), b"\n", signed.text.as_bytes()].concat()
}

/// Reads that.
pub(crate) fn signed_from_bytes(bytes: &[u8]) -> Option<Signed> {
    let (signature, text) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    Some(Signed { text: text.to_owned(), signature: signature.to_owned() })
}

/// A schema as text: an Arrow IPC stream without batches in base64.
pub(crate) fn schema_to_text(schema: &Schema) -> Result<String, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.finish()?;
    Ok(STANDARD.encode(writer.into_inner()?))
}

/// The schema in such a text.
pub(crate) fn schema_from_text(text: &str) -> Result<SchemaRef, ArrowError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| ArrowError::ParseError(format!("a schema in base64: {error}")))?;
    Ok(StreamReader::try_new(Cursor::new(bytes), None)?.schema())
}

/// Bytes as text.
pub(crate) fn bytes_to_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes in such a text.
pub(crate) fn bytes_from_text(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD.decode(text)
}

/// Whether a `DoGet` ticket asks for a fragment.
pub fn is_fragment(ticket: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Key {
        #[serde(rename = "tarn.fragment")]
        _version: u32,
    }
    serde_json::from_slice::<Key>(ticket).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn a_schema_reads_back_with_its_metadata() {
        let units = [("units".to_owned(), "K".to_owned())].into();
        let field = Field::new("ta", DataType::Float32, true).with_metadata(units);
        let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let schema = Schema::new(vec![field, Field::new("model", names, false)]);
        let text = schema_to_text(&schema).unwrap();
        assert_eq!(schema_from_text(&text).unwrap().as_ref(), &schema);
        assert!(schema_from_text("AAAA").is_err());
    }

    #[test]
    fn a_ticket_says_what_it_is() {
        let ticket =
            FragmentTicket { version: VERSION, payload: Payload::Plan(bytes_to_text(b"plan")) };
        let text = serde_json::to_vec(&ticket).unwrap();
        assert!(is_fragment(&text));
        assert!(!is_fragment(br#"{"tarn.stream": 1}"#));
        assert!(!is_fragment(b"\x00"));
        let again: FragmentTicket = serde_json::from_slice(&text).unwrap();
        assert_eq!(again.payload, ticket.payload);
    }

    #[test]
    fn an_invitation_reads_back_and_anything_else_is_none() {
        let invitation = Invitation {
            lab: LabName::new("ornl").unwrap(),
            flight: "http://127.0.0.1:8815".into(),
            http: "http://127.0.0.1:8080".into(),
            secret: "tarn_p_x".into(),
            key: None,
        };
        let text = invitation.to_text().unwrap();
        assert!(text.starts_with("tarn-invite:"));
        assert_eq!(Invitation::from_text(&format!(" {text}\n")).unwrap().lab, invitation.lab);
        assert!(Invitation::from_text("tarn-invite:AAAA").is_none());
        assert!(Invitation::from_text("hello").is_none());
    }
}
