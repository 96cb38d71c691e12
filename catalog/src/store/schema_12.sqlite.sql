-- Schema 12: tables of queries by version, and views.

-- Tables that queries made, each with the versions of its dataset that have it: from made_in to before dropped_in.
CREATE TABLE derived_table_of_versions (
    dataset TEXT NOT NULL REFERENCES dataset (name),
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    made_at TEXT NOT NULL,
    made_in INTEGER NOT NULL,
    dropped_in INTEGER,
    PRIMARY KEY (dataset, name, made_in)
) STRICT;
INSERT INTO derived_table_of_versions (dataset, name, content, made_at, made_in)
SELECT d.dataset, d.name, d.content, d.made_at,
       coalesce((SELECT min(t.version) FROM data_table t WHERE t.dataset = d.dataset AND t.name = d.name), 1)
FROM derived_table d;
DROP TABLE derived_table;
ALTER TABLE derived_table_of_versions RENAME TO derived_table;

-- Folders of the store in which tables of queries are being written, and when that was said last. Of one that is
-- swept no table is made.
CREATE TABLE table_folder (
    folder TEXT NOT NULL PRIMARY KEY,
    alive_at TEXT NOT NULL,
    swept INTEGER NOT NULL
) STRICT;

-- Views of datasets, as JSON, and whose rights those have that run with their definer's.
CREATE TABLE dataset_view (
    dataset TEXT NOT NULL REFERENCES dataset (name),
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    definer TEXT NOT NULL,
    made_at TEXT NOT NULL,
    PRIMARY KEY (dataset, name)
) STRICT;
