-- Schema 17: what each peer was told of this lab's records, and what peers told of theirs. `peer_feed` has one row for
-- each dataset that a peer was ever told of: its last event. `replica` holds the records of other labs; `changed` is
-- the order in which they came, by which the index of searches follows.

ALTER TABLE peer ADD COLUMN public_key TEXT;
CREATE TABLE peer_feed (
    peer TEXT NOT NULL REFERENCES peer (lab) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (peer, dataset)
) STRICT;
CREATE UNIQUE INDEX peer_feed_by_sequence ON peer_feed (peer, sequence);
CREATE INDEX peer_feed_by_dataset ON peer_feed (dataset);
CREATE TABLE peer_feed_state (
    peer TEXT NOT NULL PRIMARY KEY REFERENCES peer (lab) ON DELETE CASCADE,
    feed TEXT NOT NULL,
    decided INTEGER NOT NULL,
    policies TEXT NOT NULL,
    looked_at TEXT NOT NULL,
    walked TEXT,
    last INTEGER NOT NULL
) STRICT;
CREATE TABLE replica (
    lab TEXT NOT NULL,
    dataset TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash TEXT NOT NULL,
    content TEXT NOT NULL,
    changed INTEGER NOT NULL,
    PRIMARY KEY (lab, dataset)
) STRICT;
CREATE UNIQUE INDEX replica_by_change ON replica (changed);
CREATE TABLE replica_state (
    lab TEXT NOT NULL PRIMARY KEY REFERENCES peer (lab) ON DELETE CASCADE,
    feed TEXT NOT NULL,
    upserts INTEGER NOT NULL,
    retractions INTEGER NOT NULL,
    as_of TEXT,
    grace_seconds INTEGER NOT NULL,
    tried_at TEXT,
    problem TEXT
) STRICT;
