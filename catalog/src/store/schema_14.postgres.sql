-- Schema 14: drafts by name and author, with the version that each was edited from; committees that two people agreed
-- on; and by which rules it was computed what datasets take over.

CREATE TABLE draft_of_author (
    name TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" NOT NULL,
    record TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    changed_at TEXT COLLATE "C" NOT NULL,
    note TEXT COLLATE "C",
    -- The version that the record was edited from, 0 for a new dataset; and the newest one that its author was
    -- told of since.
    edited_from BIGINT NOT NULL,
    told BIGINT NOT NULL,
    PRIMARY KEY (name, author)
);
INSERT INTO draft_of_author (name, author, record, state, revision, changed_at, note, edited_from, told)
SELECT d.name, d.author, d.record, d.state, d.revision, d.changed_at, d.note,
       coalesce((SELECT max(v.version) FROM version v
                 WHERE v.dataset = d.name AND v.created_at <= d.changed_at), 0), 0
FROM draft d;
CREATE TABLE draft_file_of_author (
    draft TEXT COLLATE "C" NOT NULL,
    author TEXT COLLATE "C" NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sha256, draft, author),
    FOREIGN KEY (draft, author) REFERENCES draft_of_author (name, author) ON DELETE CASCADE
);
INSERT INTO draft_file_of_author (draft, author, sha256)
SELECT f.draft, d.author, f.sha256 FROM draft_file f JOIN draft d ON d.name = f.draft;
DROP TABLE draft_file;
DROP TABLE draft;
ALTER TABLE draft_of_author RENAME TO draft;
ALTER TABLE draft_file_of_author RENAME TO draft_file;

-- The committee that decides about a dataset.
ALTER TABLE dataset ADD COLUMN committee TEXT COLLATE "C";
UPDATE dataset SET committee = (
    SELECT nullif(trim(v.record::json -> 'agreement' ->> 'committee'), '') FROM version v
    WHERE v.dataset = dataset.name AND v.version = dataset.newest);

ALTER TABLE lab ADD COLUMN limits_by BIGINT NOT NULL DEFAULT 0;
