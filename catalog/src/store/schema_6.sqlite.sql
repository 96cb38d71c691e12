-- Schema 6: what each login said by itself, and who tells the registrar.

-- What a session or an access token brought (by the hash of the one, the fingerprint of the other), until
-- it ends: it lends nothing to others. `login` holds what was said last, which takes away from all.
CREATE TABLE login_said (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL REFERENCES login (name) ON DELETE CASCADE,
    attributes TEXT NOT NULL,
    visas TEXT NOT NULL,
    scope TEXT NOT NULL,
    most TEXT,
    issued_at INTEGER NOT NULL,
    valid_until TEXT NOT NULL
) STRICT;
CREATE INDEX login_said_by_name ON login_said (name, valid_until);
CREATE INDEX login_said_by_end ON login_said (valid_until);
-- What earlier sessions brought is not known: their people log in again.
DELETE FROM login_session;

-- Until when somebody tells the registrar of a dataset, and nobody else does; and what the registrar was
-- asked for last: that it is `shown` or `hidden`.
ALTER TABLE doi ADD COLUMN leased_until TEXT;
ALTER TABLE doi ADD COLUMN told TEXT;
UPDATE doi SET told = 'shown' WHERE state = 'registered' AND registered_at IS NOT NULL;
