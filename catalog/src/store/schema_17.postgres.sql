-- Schema 17: what each peer was told of this lab's records, and what peers told of theirs. `peer_feed` has one row for
-- each dataset that a peer was ever told of: its last event. `replica` holds the records of other labs; `changed` is
-- the order in which they came, by which the index of searches follows.

ALTER TABLE peer ADD COLUMN public_key TEXT COLLATE "C";
CREATE TABLE peer_feed (
    peer TEXT COLLATE "C" NOT NULL REFERENCES peer (lab) ON DELETE CASCADE,
    dataset TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (peer, dataset)
);
CREATE UNIQUE INDEX peer_feed_by_sequence ON peer_feed (peer, sequence);
CREATE INDEX peer_feed_by_dataset ON peer_feed (dataset);
CREATE TABLE peer_feed_state (
    peer TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES peer (lab) ON DELETE CASCADE,
    feed TEXT COLLATE "C" NOT NULL,
    decided BIGINT NOT NULL,
    policies TEXT COLLATE "C" NOT NULL,
    looked_at TEXT COLLATE "C" NOT NULL,
    walked TEXT COLLATE "C",
    last BIGINT NOT NULL
);
CREATE TABLE replica (
    lab TEXT COLLATE "C" NOT NULL,
    dataset TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (lab, dataset)
);
CREATE UNIQUE INDEX replica_by_change ON replica (changed);
CREATE TABLE replica_state (
    lab TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES peer (lab) ON DELETE CASCADE,
    feed TEXT COLLATE "C" NOT NULL,
    upserts BIGINT NOT NULL,
    retractions BIGINT NOT NULL,
    as_of TEXT COLLATE "C",
    grace_seconds BIGINT NOT NULL,
    tried_at TEXT COLLATE "C",
    problem TEXT COLLATE "C"
);
