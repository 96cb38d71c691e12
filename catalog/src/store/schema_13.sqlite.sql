-- Statements name tables without their dataset.
CREATE INDEX data_table_by_name ON data_table (name);
CREATE INDEX dataset_view_by_name ON dataset_view (name);
