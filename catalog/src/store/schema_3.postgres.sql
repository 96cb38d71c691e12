-- Schema 3: the audit log, what was published, records on their way.

-- An entry is the canonical JSON of `entry`; the other columns are taken from it, to look it up by.
CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    at TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    dataset TEXT COLLATE "C",
    entry TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_by_person ON audit (person, sequence);
CREATE INDEX audit_by_dataset ON audit (dataset, sequence);
CREATE INDEX audit_by_time ON audit (at);

-- Hashes of the full subtrees of the Merkle tree, leaves at level 0, with the entry that filled each.
CREATE TABLE audit_node (
    level BIGINT NOT NULL,
    position BIGINT NOT NULL,
    filled_by BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (level, position)
);
CREATE INDEX audit_node_by_entry ON audit_node (filled_by);

-- Signed heads as JSON, by the number of entries that they are about.
CREATE TABLE audit_head (
    size BIGINT PRIMARY KEY,
    head TEXT COLLATE "C" NOT NULL
);

-- Since when everyone may see the record (whoever harvested it is told when it goes), when it last
-- changed for everyone, and whether it has gone.
ALTER TABLE dataset ADD COLUMN published TEXT COLLATE "C";
ALTER TABLE dataset ADD COLUMN harvest_at TEXT COLLATE "C";
ALTER TABLE dataset ADD COLUMN gone BIGINT NOT NULL DEFAULT 0;
CREATE INDEX dataset_by_harvest ON dataset (harvest_at, name);

-- Records on their way: drafts, and what waits for a second person.
CREATE TABLE draft (
    name TEXT COLLATE "C" PRIMARY KEY,
    record TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    changed_at TEXT COLLATE "C" NOT NULL,
    note TEXT COLLATE "C"
);

-- Which datasets ever had a file with this content.
CREATE TABLE dataset_file (
    sha256 TEXT COLLATE "C" NOT NULL,
    dataset TEXT COLLATE "C" NOT NULL REFERENCES dataset (name),
    PRIMARY KEY (sha256, dataset)
);
INSERT INTO dataset_file (sha256, dataset)
    SELECT DISTINCT file.value ->> 'sha256', version.dataset
    FROM version, jsonb_array_elements(version.files::jsonb) AS file (value);
