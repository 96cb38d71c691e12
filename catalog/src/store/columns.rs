//! Every table of the database with its columns, as a backup holds them.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text, or NULL.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A double; in the backup the shortest text that reads back to the same bits.
    Real,
}

use Kind::{Integer, Real, Text};

/// Every table with its columns, referenced ones before those that refer to them.
pub(super) const TABLES: &[(&str, &[(&str, Kind)])] = &[
    (
        "lab",
        &[
            ("only_row", Integer),
            ("name", Text),
            ("catalog_id", Text),
            ("defaults", Text),
            ("published_by", Text),
        ],
    ),
    ("ark", &[("ark", Text), ("dataset", Text), ("minted_at", Text)]),
    (
        "dataset",
        &[
            ("name", Text),
            ("ark", Text),
            ("newest", Integer),
            ("created_at", Text),
            ("registrant", Text),
            ("inherited", Text),
            ("withdrawn", Text),
            ("published", Text),
            ("harvest_at", Text),
            ("gone", Integer),
            ("opens_at", Text),
        ],
    ),
    (
        "version",
        &[
            ("dataset", Text),
            ("version", Integer),
            ("record", Text),
            ("files", Text),
            ("tier", Text),
            ("fair_score", Real),
            ("content_hash", Text),
            ("notes", Text),
            ("created_at", Text),
            ("created_by", Text),
        ],
    ),
    ("data_table", &[("dataset", Text), ("version", Integer), ("name", Text), ("entry", Text)]),
    (
        "change",
        &[
            ("sequence", Integer),
            ("dataset", Text),
            ("version", Integer),
            ("kind", Text),
            ("at", Text),
        ],
    ),
    (
        "token",
        &[
            ("id", Text),
            ("name", Text),
            ("scope", Text),
            ("secret_hash", Text),
            ("created_at", Text),
            ("expires_at", Text),
            ("revoked_at", Text),
        ],
    ),
    ("peer", &[("lab", Text), ("flight", Text), ("http", Text), ("secret", Text), ("since", Text)]),
    ("peer_tables", &[("lab", Text), ("tables", Text), ("at", Text)]),
    ("invitation", &[("secret_hash", Text), ("expires_at", Text)]),
    ("person", &[("subject", Text), ("attributes", Text), ("changed_at", Text)]),
    (
        "access_grant",
        &[
            ("id", Text),
            ("dataset", Text),
            ("subject", Text),
            ("purpose", Text),
            ("agreement", Text),
            ("granted_by", Text),
            ("granted_at", Text),
            ("expires_at", Text),
            ("revoked_at", Text),
        ],
    ),
    (
        "access_request",
        &[
            ("id", Text),
            ("dataset", Text),
            ("subject", Text),
            ("purpose", Text),
            ("justification", Text),
            ("agreement", Text),
            ("intended_use", Text),
            ("state", Text),
            ("requested_at", Text),
            ("decided_at", Text),
            ("decided_by", Text),
            ("reason", Text),
            ("access_grant", Text),
        ],
    ),
    ("derivation", &[("input", Text), ("dataset", Text)]),
    (
        "doi",
        &[
            ("dataset", Text),
            ("doi", Text),
            ("registrar_id", Text),
            ("state", Text),
            ("revision", Integer),
            ("attempts", Integer),
            ("next_at", Text),
            ("problem", Text),
            ("registered_at", Text),
            ("leased_until", Text),
            ("told", Text),
        ],
    ),
    (
        "audit",
        &[
            ("sequence", Integer),
            ("at", Text),
            ("person", Text),
            ("act", Text),
            ("dataset", Text),
            ("entry", Text),
        ],
    ),
    (
        "audit_node",
        &[("level", Integer), ("position", Integer), ("filled_by", Integer), ("hash", Text)],
    ),
    ("audit_head", &[("size", Integer), ("head", Text)]),
    ("dataset_file", &[("sha256", Text), ("dataset", Text)]),
    (
        "draft",
        &[
            ("name", Text),
            ("record", Text),
            ("state", Text),
            ("author", Text),
            ("revision", Integer),
            ("changed_at", Text),
            ("note", Text),
        ],
    ),
    (
        "login",
        &[
            ("name", Text),
            ("issuer", Text),
            ("sub", Text),
            ("called", Text),
            ("attributes", Text),
            ("visas", Text),
            ("scope", Text),
            ("issued_at", Integer),
            ("valid_until", Text),
            ("not_before", Integer),
        ],
    ),
    (
        "login_session",
        &[
            ("secret_hash", Text),
            ("name", Text),
            ("door", Text),
            ("created_at", Text),
            ("expires_at", Text),
            ("ended_at", Text),
        ],
    ),
    (
        "login_said",
        &[
            ("id", Text),
            ("name", Text),
            ("attributes", Text),
            ("visas", Text),
            ("scope", Text),
            ("most", Text),
            ("issued_at", Integer),
            ("valid_until", Text),
            ("rules", Text),
        ],
    ),
    ("login_used", &[("token_hash", Text), ("expires_at", Text)]),
    ("administrator", &[("name", Text), ("since", Text)]),
    (
        "administrator_token",
        &[("secret_hash", Text), ("expires_at", Text), ("used_at", Text), ("used_by", Text)],
    ),
    (
        "saved_search",
        &[
            ("subject", Text),
            ("name", Text),
            ("request", Text),
            ("saved_at", Text),
            ("ran_at", Text),
            ("seen", Integer),
            ("seen_before", Integer),
        ],
    ),
    (
        "saved_query",
        &[
            ("id", Text),
            ("ark", Text),
            ("subject", Text),
            ("name", Text),
            ("content", Text),
            ("saved_at", Text),
        ],
    ),
    ("derived_table", &[("dataset", Text), ("name", Text), ("content", Text), ("made_at", Text)]),
    (
        "keyed_request",
        &[
            ("subject", Text),
            ("key_hash", Text),
            ("request_hash", Text),
            ("begun_at", Text),
            ("status", Integer),
            ("headers", Text),
            ("body", Text),
        ],
    ),
    (
        "released",
        &[
            ("dataset", Text),
            ("key", Text),
            ("epsilon", Real),
            ("content", Text),
            ("released_at", Text),
        ],
    ),
    ("saved_query_reader", &[("query", Text), ("reader", Text)]),
];
