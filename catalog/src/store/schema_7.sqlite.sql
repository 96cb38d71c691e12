-- Schema 7: searches that people keep.

-- `request` is what is asked, as JSON; answers are not kept. `seen` is the last change when it ran last,
-- `seen_before` the last one when it ran before that: pages of one run are compared with the same. -1: never.
CREATE TABLE saved_search (
    subject TEXT NOT NULL,
    name TEXT NOT NULL,
    request TEXT NOT NULL,
    saved_at TEXT NOT NULL,
    ran_at TEXT,
    seen INTEGER NOT NULL,
    seen_before INTEGER NOT NULL,
    PRIMARY KEY (subject, name)
) STRICT;
