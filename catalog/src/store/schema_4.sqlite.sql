-- Schema 4: logins at issuers, their sessions, administrators.

-- What an issuer said last of a person, by the name that the lab gives them (`login:…`). Attributes
-- and visas are JSON; what an older token says does not take the place of what a newer one said.
CREATE TABLE login (
    name TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    sub TEXT NOT NULL,
    called TEXT NOT NULL,
    attributes TEXT NOT NULL,
    visas TEXT NOT NULL,
    scope TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    valid_until TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX login_by_issuer ON login (issuer, sub);

-- Sessions of browsers and terminals, by the hash of their tokens.
CREATE TABLE login_session (
    secret_hash TEXT PRIMARY KEY,
    name TEXT NOT NULL REFERENCES login (name) ON DELETE CASCADE,
    door TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    ended_at TEXT
) STRICT;
CREATE INDEX login_session_by_name ON login_session (name);

-- ID tokens that somebody logged in with, until they expire: each counts once.
CREATE TABLE login_used (
    token_hash TEXT PRIMARY KEY,
    expires_at TEXT NOT NULL
) STRICT;

-- People who became administrators by a one-time token, and the tokens, by their hash.
CREATE TABLE administrator (
    name TEXT PRIMARY KEY,
    since TEXT NOT NULL
) STRICT;
CREATE TABLE administrator_token (
    secret_hash TEXT PRIMARY KEY,
    expires_at TEXT NOT NULL,
    used_at TEXT,
    used_by TEXT
) STRICT;
