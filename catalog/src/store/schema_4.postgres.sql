-- Schema 4: logins at issuers, their sessions, administrators.

-- What an issuer said last of a person, by the name that the lab gives them (`login:…`). Attributes
-- and visas are JSON; what an older token says does not take the place of what a newer one said.
CREATE TABLE login (
    name TEXT COLLATE "C" PRIMARY KEY,
    issuer TEXT COLLATE "C" NOT NULL,
    sub TEXT COLLATE "C" NOT NULL,
    called TEXT COLLATE "C" NOT NULL,
    attributes TEXT COLLATE "C" NOT NULL,
    visas TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    issued_at BIGINT NOT NULL,
    valid_until TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX login_by_issuer ON login (issuer, sub);

-- Sessions of browsers and terminals, by the hash of their tokens.
CREATE TABLE login_session (
    secret_hash TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL REFERENCES login (name) ON DELETE CASCADE,
    door TEXT COLLATE "C" NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    ended_at TEXT COLLATE "C"
);
CREATE INDEX login_session_by_name ON login_session (name);

-- ID tokens that somebody logged in with, until they expire: each counts once.
CREATE TABLE login_used (
    token_hash TEXT COLLATE "C" PRIMARY KEY,
    expires_at TEXT COLLATE "C" NOT NULL
);

-- People who became administrators by a one-time token, and the tokens, by their hash.
CREATE TABLE administrator (
    name TEXT COLLATE "C" PRIMARY KEY,
    since TEXT COLLATE "C" NOT NULL
);
CREATE TABLE administrator_token (
    secret_hash TEXT COLLATE "C" PRIMARY KEY,
    expires_at TEXT COLLATE "C" NOT NULL,
    used_at TEXT COLLATE "C",
    used_by TEXT COLLATE "C"
);
