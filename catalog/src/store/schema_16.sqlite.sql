-- Schema 16: receipts of streams, by the versions that were streamed; and the key that tickets are sealed with, which is one
-- for all nodes of a catalog and outlives them.

CREATE TABLE stream_receipt (
    id TEXT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    content TEXT NOT NULL
) STRICT;
CREATE INDEX stream_receipt_by_subject ON stream_receipt (subject, id);
CREATE TABLE stream_receipt_input (
    dataset TEXT NOT NULL REFERENCES dataset (name),
    version INTEGER NOT NULL,
    receipt TEXT NOT NULL REFERENCES stream_receipt (id) ON DELETE CASCADE,
    PRIMARY KEY (dataset, version, receipt)
) STRICT;
CREATE INDEX stream_receipt_input_by_receipt ON stream_receipt_input (receipt);
CREATE TABLE seal_key (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    secret TEXT NOT NULL,
    made_at TEXT NOT NULL
) STRICT;
