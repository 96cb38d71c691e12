-- Schema 5: DOIs, and what their registrar has still to be told.

-- Rows are never deleted: a DOI belongs to its dataset for ever. `revision` grows with every change
-- that the registrar has to hear of, so that an answer to an earlier one settles nothing.
CREATE TABLE doi (
    dataset TEXT COLLATE "C" PRIMARY KEY REFERENCES dataset (name),
    doi TEXT COLLATE "C" UNIQUE,
    registrar_id TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at TEXT COLLATE "C" NOT NULL,
    problem TEXT COLLATE "C",
    registered_at TEXT COLLATE "C"
);
CREATE INDEX doi_by_state ON doi (state, next_at);
