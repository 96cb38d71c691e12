-- Schema 8: queries that people keep under a citable identifier, and tables that were made by queries.

-- `content` is all that never changes, as JSON: text, parameters, tables with their versions, engine, and what
-- the answer was. `id` is the last part of the ARK.
CREATE TABLE saved_query (
    id TEXT COLLATE "C" PRIMARY KEY,
    ark TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES ark (ark),
    subject TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    saved_at TEXT COLLATE "C" NOT NULL,
    UNIQUE (subject, name)
);

-- Whom a query is shared with: `public`, or somebody as grants name people.
CREATE TABLE saved_query_reader (
    query TEXT COLLATE "C" NOT NULL REFERENCES saved_query (id) ON DELETE CASCADE,
    reader TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (query, reader)
);
CREATE INDEX saved_query_reader_by_reader ON saved_query_reader (reader, query);

-- How a table was made by a query, as JSON: the statement, and the versions of all tables that went into it.
CREATE TABLE derived_table (
    dataset TEXT COLLATE "C" NOT NULL REFERENCES dataset (name),
    name TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    made_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (dataset, name)
);
