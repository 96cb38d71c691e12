-- Schema 11: numbers that were released under differential privacy. Rows are never deleted: they are the ledger.
CREATE TABLE released (
    dataset TEXT NOT NULL,
    key TEXT NOT NULL,
    epsilon DOUBLE PRECISION NOT NULL,
    content TEXT NOT NULL,
    released_at TEXT NOT NULL,
    PRIMARY KEY (dataset, key)
);
