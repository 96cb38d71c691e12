-- Schema 11: numbers that were released, who made a token, and files of records that wait.

-- Numbers that were released under differential privacy. Rows are never deleted: they are the ledger.
CREATE TABLE released (
    dataset TEXT NOT NULL,
    key TEXT NOT NULL,
    epsilon REAL NOT NULL,
    content TEXT NOT NULL,
    released_at TEXT NOT NULL,
    PRIMARY KEY (dataset, key)
) STRICT;

-- Who made a token: the owner of the node, or an administrator over the network.
ALTER TABLE token ADD COLUMN made_by TEXT NOT NULL DEFAULT 'owner';

-- Files of records that wait for a second person: nobody else publishes them meanwhile.
CREATE TABLE draft_file (
    draft TEXT NOT NULL REFERENCES draft (name) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (sha256, draft)
) STRICT;
