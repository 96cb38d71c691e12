-- Schema 14: drafts by name and author, with the version that each was edited from; committees that two people agreed
-- on; and by which rules it was computed what datasets take over.

CREATE TABLE draft_of_author (
    name TEXT NOT NULL,
    author TEXT NOT NULL,
    record TEXT NOT NULL,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL,
    changed_at TEXT NOT NULL,
    note TEXT,
    -- The version that the record was edited from, 0 for a new dataset; and the newest one that its author was
    -- told of since.
    edited_from INTEGER NOT NULL,
    told INTEGER NOT NULL,
    PRIMARY KEY (name, author)
) STRICT;
INSERT INTO draft_of_author (name, author, record, state, revision, changed_at, note, edited_from, told)
SELECT d.name, d.author, d.record, d.state, d.revision, d.changed_at, d.note,
       coalesce((SELECT max(v.version) FROM version v
                 WHERE v.dataset = d.name AND v.created_at <= d.changed_at), 0), 0
FROM draft d;
CREATE TABLE draft_file_of_author (
    draft TEXT NOT NULL,
    author TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (sha256, draft, author),
    FOREIGN KEY (draft, author) REFERENCES draft_of_author (name, author) ON DELETE CASCADE
) STRICT;
INSERT INTO draft_file_of_author (draft, author, sha256)
SELECT f.draft, d.author, f.sha256 FROM draft_file f JOIN draft d ON d.name = f.draft;
DROP TABLE draft_file;
DROP TABLE draft;
ALTER TABLE draft_of_author RENAME TO draft;
ALTER TABLE draft_file_of_author RENAME TO draft_file;

-- The committee that decides about a dataset.
ALTER TABLE dataset ADD COLUMN committee TEXT;
UPDATE dataset SET committee = (
    SELECT nullif(trim(json_extract(v.record, '$.agreement.committee')), '') FROM version v
    WHERE v.dataset = dataset.name AND v.version = dataset.newest);

ALTER TABLE lab ADD COLUMN limits_by INTEGER NOT NULL DEFAULT 0;
