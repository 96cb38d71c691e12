-- Schema 8: queries that people keep under a citable identifier.

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
