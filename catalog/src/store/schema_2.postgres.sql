-- Schema 2: people, grants, what derives from what, withdrawal.

-- Who registered the dataset first, as grants name people; what it takes over from its inputs, and
-- its withdrawal, as JSON.
ALTER TABLE dataset ADD COLUMN registrant TEXT COLLATE "C";
ALTER TABLE dataset ADD COLUMN inherited TEXT COLLATE "C";
ALTER TABLE dataset ADD COLUMN withdrawn TEXT COLLATE "C";

-- Attributes of people are JSON.
CREATE TABLE person (
    subject TEXT COLLATE "C" PRIMARY KEY,
    attributes TEXT COLLATE "C" NOT NULL,
    changed_at TEXT COLLATE "C" NOT NULL
);

CREATE TABLE access_grant (
    id TEXT COLLATE "C" PRIMARY KEY,
    dataset TEXT COLLATE "C" NOT NULL REFERENCES dataset (name),
    subject TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    granted_by TEXT COLLATE "C" NOT NULL,
    granted_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    revoked_at TEXT COLLATE "C"
);
CREATE INDEX access_grant_by_subject ON access_grant (subject);

-- Datasets of this lab that newest versions were made from.
CREATE TABLE derivation (
    input TEXT COLLATE "C" NOT NULL REFERENCES dataset (name),
    dataset TEXT COLLATE "C" NOT NULL REFERENCES dataset (name),
    PRIMARY KEY (input, dataset)
);

-- Requests for access and what became of them.
CREATE TABLE access_request (
    id TEXT COLLATE "C" PRIMARY KEY,
    dataset TEXT COLLATE "C" NOT NULL REFERENCES dataset (name),
    subject TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    justification TEXT COLLATE "C" NOT NULL,
    agreement TEXT COLLATE "C" NOT NULL,
    intended_use TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    requested_at TEXT COLLATE "C" NOT NULL,
    decided_at TEXT COLLATE "C",
    decided_by TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    access_grant TEXT COLLATE "C"
);
CREATE INDEX access_request_by_dataset ON access_request (dataset);
