-- Schema 3: the audit log, what was published, records on their way.

-- An entry is the canonical JSON of `entry`; the other columns are taken from it, to look it up by.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    person TEXT NOT NULL,
    act TEXT NOT NULL,
    dataset TEXT,
    entry TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_person ON audit (person, sequence);
CREATE INDEX audit_by_dataset ON audit (dataset, sequence);
CREATE INDEX audit_by_time ON audit (at);

-- Hashes of the full subtrees of the Merkle tree, leaves at level 0, with the entry that filled each.
CREATE TABLE audit_node (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    filled_by INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (level, position)
) STRICT;
CREATE INDEX audit_node_by_entry ON audit_node (filled_by);

-- Signed heads as JSON, by the number of entries that they are about.
CREATE TABLE audit_head (
    size INTEGER PRIMARY KEY,
    head TEXT NOT NULL
) STRICT;

-- Since when everyone may see the record (whoever harvested it is told when it goes), when it last
-- changed for everyone, and whether it has gone.
ALTER TABLE dataset ADD COLUMN published TEXT;
ALTER TABLE dataset ADD COLUMN harvest_at TEXT;
ALTER TABLE dataset ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
CREATE INDEX dataset_by_harvest ON dataset (harvest_at, name);

-- Records on their way: drafts, and what waits for a second person.
CREATE TABLE draft (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    state TEXT NOT NULL,
    author TEXT NOT NULL,
    revision INTEGER NOT NULL,
    changed_at TEXT NOT NULL,
    note TEXT
) STRICT;

-- Which datasets ever had a file with this content.
CREATE TABLE dataset_file (
    sha256 TEXT NOT NULL,
    dataset TEXT NOT NULL REFERENCES dataset (name),
    PRIMARY KEY (sha256, dataset)
) STRICT;
INSERT INTO dataset_file (sha256, dataset)
    SELECT DISTINCT json_extract(file.value, '$.sha256'), version.dataset
    FROM version, json_each(version.files) AS file;
