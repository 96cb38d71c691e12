-- Schema 8: queries that people keep under a citable identifier, and tables that were made by queries.

-- `content` is all that never changes, as JSON: text, parameters, tables with their versions, engine, and what
-- the answer was. `id` is the last part of the ARK.
CREATE TABLE saved_query (
    id TEXT PRIMARY KEY,
    ark TEXT NOT NULL UNIQUE REFERENCES ark (ark),
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    saved_at TEXT NOT NULL,
    UNIQUE (subject, name)
) STRICT;

-- Whom a query is shared with: `public`, or somebody as grants name people.
CREATE TABLE saved_query_reader (
    query TEXT NOT NULL REFERENCES saved_query (id) ON DELETE CASCADE,
    reader TEXT NOT NULL,
    PRIMARY KEY (query, reader)
) STRICT;
CREATE INDEX saved_query_reader_by_reader ON saved_query_reader (reader, query);

-- How a table was made by a query, as JSON: the statement, and the versions of all tables that went into it.
CREATE TABLE derived_table (
    dataset TEXT NOT NULL REFERENCES dataset (name),
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    made_at TEXT NOT NULL,
    PRIMARY KEY (dataset, name)
) STRICT;
