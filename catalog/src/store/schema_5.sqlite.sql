-- Schema 5: DOIs, and what their registrar has still to be told.

-- Rows are never deleted: a DOI belongs to its dataset for ever. `revision` grows with every change
-- that the registrar has to hear of, so that an answer to an earlier one settles nothing.
CREATE TABLE doi (
    dataset TEXT PRIMARY KEY REFERENCES dataset (name),
    doi TEXT UNIQUE,
    registrar_id TEXT,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_at TEXT NOT NULL,
    problem TEXT,
    registered_at TEXT
) STRICT;
CREATE INDEX doi_by_state ON doi (state, next_at);
