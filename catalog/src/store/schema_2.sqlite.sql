-- Schema 2: people, grants, what derives from what, withdrawal.

-- Who registered the dataset first, as grants name people; what it takes over from its inputs, and
-- its withdrawal, as JSON.
ALTER TABLE dataset ADD COLUMN registrant TEXT;
ALTER TABLE dataset ADD COLUMN inherited TEXT;
ALTER TABLE dataset ADD COLUMN withdrawn TEXT;

-- Attributes of people are JSON.
CREATE TABLE person (
    subject TEXT PRIMARY KEY,
    attributes TEXT NOT NULL,
    changed_at TEXT NOT NULL
) STRICT;

CREATE TABLE access_grant (
    id TEXT PRIMARY KEY,
    dataset TEXT NOT NULL REFERENCES dataset (name),
    subject TEXT NOT NULL,
    purpose TEXT NOT NULL,
    agreement TEXT NOT NULL,
    granted_by TEXT NOT NULL,
    granted_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    revoked_at TEXT
) STRICT;
CREATE INDEX access_grant_by_subject ON access_grant (subject);

-- Datasets of this lab that newest versions were made from.
CREATE TABLE derivation (
    input TEXT NOT NULL REFERENCES dataset (name),
    dataset TEXT NOT NULL REFERENCES dataset (name),
    PRIMARY KEY (input, dataset)
) STRICT;

-- Requests for access and what became of them.
CREATE TABLE access_request (
    id TEXT PRIMARY KEY,
    dataset TEXT NOT NULL REFERENCES dataset (name),
    subject TEXT NOT NULL,
    purpose TEXT NOT NULL,
    justification TEXT NOT NULL,
    agreement TEXT NOT NULL,
    intended_use TEXT,
    state TEXT NOT NULL,
    requested_at TEXT NOT NULL,
    decided_at TEXT,
    decided_by TEXT,
    reason TEXT,
    access_grant TEXT
) STRICT;
CREATE INDEX access_request_by_dataset ON access_request (dataset);
