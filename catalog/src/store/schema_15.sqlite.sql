-- Schema 15: what a version takes over, and which versions it was made from. What it was of all versions alike is computed
-- anew when the home is opened (limits_by). The column of `dataset` stays, empty, so that backups of before are read.

ALTER TABLE version ADD COLUMN inherited TEXT;
UPDATE version SET inherited = (
    SELECT d.inherited FROM dataset d WHERE d.name = version.dataset AND d.newest = version.version);
UPDATE dataset SET inherited = NULL;
CREATE TABLE derivation_of_version (
    input TEXT NOT NULL REFERENCES dataset (name),
    input_version INTEGER NOT NULL,
    dataset TEXT NOT NULL REFERENCES dataset (name),
    version INTEGER NOT NULL,
    -- Whether a second person released the version from the limits of the input.
    released INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (input, input_version, dataset, version)
) STRICT;
INSERT INTO derivation_of_version (input, input_version, dataset, version)
SELECT r.input, i.newest, r.dataset, d.newest
FROM derivation r JOIN dataset i ON i.name = r.input JOIN dataset d ON d.name = r.dataset;
DROP TABLE derivation;
ALTER TABLE derivation_of_version RENAME TO derivation;
CREATE INDEX derivation_by_dataset ON derivation (dataset, version);
