"""What clients of PostgreSQL are asked to read, and what they ask themselves."""

# Expressions, and the type that PostgreSQL's clients are told.
TYPES = {
    "true": 16,
    "arrow_cast(-7, 'Int8')": 21,
    "arrow_cast(200, 'UInt8')": 21,
    "arrow_cast(-32768, 'Int16')": 21,
    "arrow_cast(65535, 'UInt16')": 23,
    "arrow_cast(-2147483648, 'Int32')": 23,
    "arrow_cast(4294967295, 'UInt32')": 20,
    "9223372036854775807": 20,
    "arrow_cast(18446744073709551615, 'UInt64')": 1700,
    "arrow_cast(0.1, 'Float32')": 700,
    "1.5e300": 701,
    "0.0001e0": 701,
    "-1e-7": 701,
    "CAST('12345678901234567890123456789012345.678' AS DECIMAL(38, 3))": 1700,
    "CAST('-0.0001' AS DECIMAL(10, 4))": 1700,
    "'it''s {\"x\"}, ü'": 25,
    "''": 25,
    "X'00ff10'": 17,
    "DATE '1969-12-31'": 1082,
    "DATE '0001-01-01'": 1082,
    "TIME '23:59:59.25'": 1083,
    "TIMESTAMP '2024-02-29 12:34:56.789'": 1114,
    "arrow_cast(-1, 'Timestamp(Microsecond, None)')": 1114,
    "arrow_cast('2024-02-29T12:34:56Z', 'Timestamp(Millisecond, Some(\"UTC\"))')": 1184,
    "arrow_cast('2024-06-01T12:00:00Z', 'Timestamp(Second, Some(\"+02:00\"))')": 1184,
    "make_array(1, NULL, 3)": 1016,
    "make_array('a b', '', 'NULL', NULL)": 1009,
    "make_array(1.5e0, -2e0)": 1022,
    "arrow_cast(make_array(), 'List(Int32)')": 1007,
    "CAST(NULL AS INT)": 23,
    "NULL": 25,
}

# What dashboards ask when they connect (Grafana, Metabase and JDBC's DatabaseMetaData, DBeaver), with what is
# particular of each in it.
ASKED = {
    "grafana tables": """SELECT quote_ident(table_name) AS "table" FROM information_schema.tables WHERE
        quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') AND quote_ident(table_schema) IN (
        SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series(
        array_lower(string_to_array(current_setting('search_path'),','),1),
        array_upper(string_to_array(current_setting('search_path'),','),1)) AS i,
        string_to_array(current_setting('search_path'),',') s) AND table_schema = 'open'""",
    "grafana columns": """SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM
        information_schema.columns WHERE quote_ident(table_name) = 't' AND table_schema = 'open' AND
        column_name = 'dose'""",
    "jdbc tables": """SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME,
        CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN 'SYSTEM TABLE'
        WHEN false THEN CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END ELSE NULL END
        AS TABLE_TYPE, d.description AS REMARKS FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c
        LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 AND
        d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid AND n.nspname LIKE 'open'
        ORDER BY TABLE_TYPE,TABLE_SCHEM,TABLE_NAME""",
    "jdbc columns": """SELECT n.nspname, c.relname, a.attname, a.atttypid, a.attnotnull, a.atttypmod, a.attlen,
        t.typtypmod, a.attnum, nullif(a.attidentity, '') AS attidentity, nullif(a.attgenerated, '') AS attgenerated,
        pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc, dsc.description, t.typbasetype, t.typtype
        FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid)
        JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid)
        LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid = def.adrelid AND a.attnum = def.adnum)
        LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
        WHERE c.relkind IN ('r','p','v','f','m') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'open'
        AND a.attname = 'dose'""",
    "jdbc keys": """SELECT result.TABLE_CAT, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM (SELECT NULL AS
        TABLE_CAT, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ,
        ci.relname AS PK_NAME, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON
        (ct.oid = a.attrelid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON
        (ci.oid = i.indexrelid) WHERE true) result ORDER BY result.PK_NAME""",
    "dbeaver database": """SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datname = 'ornl'""",
    "dbeaver schemas": """SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN
        pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass
        WHERE n.nspname = 'open' ORDER BY nspname""",
    "metabase privileges": """SELECT has_table_privilege('open.t', 'SELECT') AS x""",
}
