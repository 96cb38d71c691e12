-- Schema 7: searches that people keep.

-- `request` is what is asked, as JSON; answers are not kept. `seen` is the last change when it ran last,
-- `seen_before` the last one when it ran before that: pages of one run are compared with the same. -1: never.
CREATE TABLE saved_search (
    subject TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    saved_at TEXT COLLATE "C" NOT NULL,
    ran_at TEXT COLLATE "C",
    seen BIGINT NOT NULL,
    seen_before BIGINT NOT NULL,
    PRIMARY KEY (subject, name)
);
