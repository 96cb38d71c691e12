-- Schema 16: receipts of streams, by the versions that were streamed; and the key that tickets are sealed with, which is one
-- for all nodes of a catalog and outlives them.

CREATE TABLE stream_receipt (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL,
    row_count BIGINT NOT NULL,
    content TEXT COLLATE "C" NOT NULL
);
CREATE INDEX stream_receipt_by_subject ON stream_receipt (subject, id);
CREATE TABLE stream_receipt_input (
    dataset TEXT COLLATE "C" NOT NULL REFERENCES dataset (name),
    version BIGINT NOT NULL,
    receipt TEXT COLLATE "C" NOT NULL REFERENCES stream_receipt (id) ON DELETE CASCADE,
    PRIMARY KEY (dataset, version, receipt)
);
CREATE INDEX stream_receipt_input_by_receipt ON stream_receipt_input (receipt);
CREATE TABLE seal_key (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    secret TEXT COLLATE "C" NOT NULL,
    made_at TEXT COLLATE "C" NOT NULL
);
