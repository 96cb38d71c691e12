-- Schema 1 of the catalog. Times are RFC 3339 in UTC; records, files and tables are JSON.

-- One row: whose catalog this is.
CREATE TABLE lab (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    name TEXT NOT NULL,
    catalog_id TEXT NOT NULL,
    defaults TEXT NOT NULL
) STRICT;

-- Every identifier ever minted. Rows are never deleted, so none is used twice.
CREATE TABLE ark (
    ark TEXT PRIMARY KEY,
    dataset TEXT NOT NULL,
    minted_at TEXT NOT NULL
) STRICT;

CREATE TABLE dataset (
    name TEXT PRIMARY KEY,
    ark TEXT NOT NULL UNIQUE REFERENCES ark (ark),
    newest INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE version (
    dataset TEXT NOT NULL REFERENCES dataset (name),
    version INTEGER NOT NULL CHECK (version > 0),
    record TEXT NOT NULL,
    files TEXT NOT NULL,
    tier TEXT NOT NULL,
    fair_score REAL NOT NULL,
    content_hash TEXT NOT NULL,
    notes TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (dataset, version)
) STRICT;

CREATE TABLE data_table (
    dataset TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (dataset, version, name),
    FOREIGN KEY (dataset, version) REFERENCES version (dataset, version)
) STRICT;

-- What happened, in order. The search index remembers the last sequence it holds.
CREATE TABLE change (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
CREATE INDEX change_by_dataset ON change (dataset, sequence);

-- Secrets are stored as hashes only.
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    revoked_at TEXT
) STRICT;
CREATE INDEX token_by_name ON token (name);

-- The secret is stored as it is: this lab sends it to the peer. The database file is readable by
-- its owner only.
CREATE TABLE peer (
    lab TEXT PRIMARY KEY,
    flight TEXT NOT NULL,
    http TEXT NOT NULL,
    secret TEXT NOT NULL UNIQUE,
    since TEXT NOT NULL
) STRICT;

CREATE TABLE peer_tables (
    lab TEXT PRIMARY KEY REFERENCES peer (lab) ON DELETE CASCADE,
    tables TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;

CREATE TABLE invitation (
    secret_hash TEXT PRIMARY KEY,
    expires_at TEXT NOT NULL
) STRICT;
