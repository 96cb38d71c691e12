-- Schema 10: requests that clients send again, and what everyone may know, by the clock and by policies.

-- Requests with a key of their client's (`Idempotency-Key`), for a day. One with status 0 has not ended, or
-- its end is not known. The body of an answer is NULL where it is told once only.
CREATE TABLE keyed_request (
    subject TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    begun_at TEXT NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    headers TEXT,
    body TEXT,
    PRIMARY KEY (subject, key_hash)
) STRICT;
CREATE INDEX keyed_request_by_time ON keyed_request (begun_at);

-- When the embargo of a record ends that everyone may see: that is a change to harvesters.
ALTER TABLE dataset ADD COLUMN opens_at TEXT;
CREATE INDEX dataset_by_opening ON dataset (opens_at) WHERE opens_at IS NOT NULL;

-- The policies by which it was decided last which records are for everyone; '': before this was kept.
ALTER TABLE lab ADD COLUMN published_by TEXT NOT NULL DEFAULT '';
