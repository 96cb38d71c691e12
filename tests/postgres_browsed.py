"""What DBeaver, Metabase and Grafana ask on connecting and browsing, and what of an answer is sure: the number of rows,
with None for some, and a value that is in it."""

OPEN = "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'open')"
TABLE = "(SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 't' AND n.nspname = 'open')"

BROWSED = {
    # DBeaver
    "dbeaver version": ("SELECT version()", 1, "PostgreSQL 15.0"),
    "dbeaver schema": ("SELECT current_schema(),session_user", 1, "bob"),
    "dbeaver search path": ("SHOW search_path", 1, ""),
    "dbeaver database": ("SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datname='ornl'", 1, "ornl"),
    "dbeaver databases": (
        "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE 1 = 1 AND datallowconn AND NOT datistemplate ORDER BY db.datname",
        1,
        "ornl",
    ),
    "dbeaver schemas": (
        """SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON
        d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname""",
        None,
        "open",
    ),
    "dbeaver roles": (
        """SELECT a.oid,a.*,pd.description FROM pg_catalog.pg_roles a LEFT JOIN pg_catalog.pg_shdescription pd ON
        a.oid = pd.objoid ORDER BY a.rolname""",
        1,
        "tarn",
    ),
    "dbeaver settings": ("SELECT * FROM pg_catalog.pg_settings", None, "server_encoding"),
    "dbeaver access methods": ("SELECT am.oid,am.* FROM pg_catalog.pg_am am ORDER BY am.oid", 1, "heap"),
    "dbeaver extensions": (
        """SELECT e.oid, cfg.tbls, n.nspname as schema_name, e.* FROM pg_catalog.pg_extension e JOIN pg_namespace n ON
        n.oid = e.extnamespace LEFT JOIN (SELECT ARRAY_AGG(ns.nspname || '.' || cls.relname) tbls, oid_ext FROM (SELECT
        UNNEST(e1.extconfig) oid, e1.oid oid_ext FROM pg_catalog.pg_extension e1) c JOIN pg_class cls ON cls.oid = c.oid JOIN
        pg_namespace ns ON ns.oid = cls.relnamespace GROUP BY oid_ext) cfg ON cfg.oid_ext = e.oid ORDER BY e.oid""",
        0,
        None,
    ),
    "dbeaver tables": (
        f"""SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,
        pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c LEFT OUTER JOIN
        pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_class'::regclass
        WHERE c.relnamespace={OPEN} AND c.relkind not in ('i','I','c')""",
        1,
        "t",
    ),
    "dbeaver columns": (
        f"""SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description,dep.objid
        FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid) LEFT OUTER JOIN
        pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum) LEFT OUTER JOIN
        pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) LEFT OUTER JOIN pg_depend dep on
        dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid
        WHERE NOT a.attisdropped AND c.oid={TABLE} ORDER BY a.attnum""",
        None,
        "dose",
    ),
    "dbeaver constraints": (
        f"""SELECT c.oid,c.*,t.relname as tabrelname,rt.relnamespace as refnamespace,d.description,
        case when c.contype='c' then "substring"(pg_get_constraintdef(c.oid), 7) else null end consrc_copy
        FROM pg_catalog.pg_constraint c INNER JOIN pg_catalog.pg_class t ON t.oid=c.conrelid LEFT OUTER JOIN
        pg_catalog.pg_class rt ON rt.oid=c.confrelid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND
        d.objsubid=0 AND d.classoid='pg_constraint'::regclass WHERE c.conrelid={TABLE} ORDER BY c.oid""",
        0,
        None,
    ),
    "dbeaver indexes": (
        f"""SELECT i.*,i.indkey as keys,c.relname,c.relnamespace,c.relam,c.reltablespace,tc.relname as tabrelname,
        dsc.description,pg_catalog.pg_get_expr(i.indpred, i.indrelid) as pred_expr,pg_catalog.pg_get_expr(i.indexprs,
        i.indrelid, true) as expr,pg_catalog.pg_relation_size(i.indexrelid) as index_rel_size,
        pg_catalog.pg_stat_get_numscans(i.indexrelid) as index_num_scans FROM pg_catalog.pg_index i INNER JOIN
        pg_catalog.pg_class c ON c.oid=i.indexrelid INNER JOIN pg_catalog.pg_class tc ON tc.oid=i.indrelid LEFT OUTER JOIN
        pg_catalog.pg_description dsc ON i.indexrelid=dsc.objoid WHERE i.indrelid={TABLE} ORDER BY tabrelname, c.relname""",
        0,
        None,
    ),
    "dbeaver sizes": (
        f"""SELECT c.oid,pg_catalog.pg_total_relation_size(c.oid) as total_rel_size,pg_catalog.pg_relation_size(c.oid) as
        rel_size FROM pg_class c WHERE c.relnamespace={OPEN}""",
        1,
        None,
    ),
    "dbeaver types": (
        """SELECT t.oid,t.*,c.relkind,format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name, d.description
        FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid=t.typelem LEFT OUTER JOIN
        pg_catalog.pg_class c ON c.oid=t.typrelid LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid
        WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR
        et.typcategory <> 'C')""",
        None,
        "float8",
    ),
    "dbeaver enums": ("SELECT e.* FROM pg_catalog.pg_enum e ORDER BY e.enumsortorder", 0, None),
    "dbeaver functions": (
        f"""SELECT p.oid as poid,p.*,CASE WHEN p.prokind='a' THEN 'a' ELSE NULL END AS agg,
        pg_catalog.pg_get_function_result(p.oid), d.description FROM pg_catalog.pg_proc p LEFT OUTER JOIN
        pg_catalog.pg_description d ON d.objoid=p.oid WHERE p.pronamespace={OPEN} ORDER BY p.proname""",
        0,
        None,
    ),
    "dbeaver triggers": (
        f"""SELECT x.oid,x.*,p.pronamespace as func_schema_id,d.description FROM pg_catalog.pg_trigger x LEFT OUTER JOIN
        pg_catalog.pg_proc p ON p.oid=x.tgfoid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=x.oid AND d.objsubid=0
        WHERE x.tgrelid={TABLE} AND NOT x.tgisinternal""",
        0,
        None,
    ),
    "dbeaver policies": (f"SELECT * FROM pg_catalog.pg_policy WHERE polrelid = {TABLE}", 0, None),
    "jdbc keywords": (
        """select string_agg(word, ',') from pg_catalog.pg_get_keywords() where word <> ALL ('{a,abs,absolute}'::text[])""",
        1,
        "select",
    ),
    # Metabase
    "metabase schemas": (
        """SELECT nspname FROM pg_namespace WHERE nspname !~ '^information_schema|catalog_history|pg_' AND
        has_schema_privilege(nspname, 'USAGE')""",
        None,
        "open",
    ),
    "metabase time zone": ("SHOW TIMEZONE", 1, "UTC"),
    "metabase tables": (
        """SELECT "n"."nspname" AS "schema", "c"."relname" AS "name", CASE "c"."relkind" WHEN 'r' THEN 'TABLE' WHEN 'p' THEN
        'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END
        AS "type", "d"."description" AS "description", "stat"."n_live_tup" AS "estimated_row_count" FROM
        "pg_catalog"."pg_class" AS "c" INNER JOIN "pg_catalog"."pg_namespace" AS "n" ON "c"."relnamespace" = "n"."oid"
        LEFT JOIN "pg_catalog"."pg_description" AS "d" ON ("c"."oid" = "d"."objoid") AND ("d"."objsubid" = 0) AND
        ("d"."classoid" = 'pg_class'::regclass) LEFT JOIN "pg_stat_user_tables" AS "stat" ON ("n"."nspname" =
        "stat"."schemaname") AND ("c"."relname" = "stat"."relname") WHERE ("c"."relnamespace" = "n"."oid") AND ("n"."nspname"
        !~ '^pg_') AND ("n"."nspname" <> 'information_schema') AND c.relkind in ('r', 'p', 'v', 'f', 'm') AND
        ("n"."nspname" IN ('open')) ORDER BY "type" ASC, "schema" ASC, "name" ASC""",
        1,
        "TABLE",
    ),
    "metabase fields": (
        """SELECT "c"."column_name" AS "name", CASE WHEN "c"."udt_schema" IN ('public', 'pg_catalog') THEN
        FORMAT('%s', "c"."udt_name") ELSE FORMAT('"%s"."%s"', "c"."udt_schema", "c"."udt_name") END AS "database-type",
        "c"."ordinal_position" - 1 AS "database-position", "c"."table_schema" AS "table-schema", "c"."table_name" AS
        "table-name", "pk"."column_name" IS NOT NULL AS "pk?", COL_DESCRIPTION(CAST(CAST(FORMAT('%I.%I',
        CAST("c"."table_schema" AS TEXT), CAST("c"."table_name" AS TEXT)) AS REGCLASS) AS OID), "c"."ordinal_position") AS
        "field-comment", (("column_default" IS NULL) OR (LOWER("column_default") = 'null')) AND ("is_nullable" = 'NO') AND
        NOT ((("column_default" IS NOT NULL) AND ("column_default" LIKE '%nextval(%')) OR ("is_identity" <> 'NO')) AS
        "database-required" FROM "information_schema"."columns" AS "c" LEFT JOIN (SELECT "tc"."table_schema",
        "tc"."table_name", "kc"."column_name" FROM "information_schema"."table_constraints" AS "tc" INNER JOIN
        "information_schema"."key_column_usage" AS "kc" ON ("tc"."constraint_name" = "kc"."constraint_name") AND
        ("tc"."table_schema" = "kc"."table_schema") AND ("tc"."table_name" = "kc"."table_name") WHERE
        "tc"."constraint_type" = 'PRIMARY KEY') AS "pk" ON ("c"."table_schema" = "pk"."table_schema") AND
        ("c"."table_name" = "pk"."table_name") AND ("c"."column_name" = "pk"."column_name") WHERE c.table_schema !~
        '^information_schema|catalog_history|pg_' AND ("c"."table_schema" IN ('open')) ORDER BY "table-schema" ASC,
        "table-name" ASC, "database-position" ASC""",
        None,
        "float8",
    ),
    "metabase privileges": (
        """with table_privileges as (select NULL as role, t.schemaname as schema, t.objectname as table,
        pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' ||
        replace(t.objectname, '"', '""') || '"', 'update') as update, pg_catalog.has_any_column_privilege(current_user, '"' ||
        replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'select') as select
        from (select schemaname, tablename as objectname from pg_catalog.pg_tables union select schemaname, viewname as
        objectname from pg_catalog.pg_views union select schemaname, matviewname as objectname from pg_catalog.pg_matviews) t
        where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema' and
        pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')) select t.* from table_privileges t where
        t.schema = 'open'""",
        1,
        "open",
    ),
    "metabase enums": (
        """SELECT nspname, typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid IN (SELECT DISTINCT
        enumtypid FROM pg_enum e)""",
        0,
        None,
    ),
    # Grafana
    "grafana version": ("SELECT current_setting('server_version_num')::int/100 as version", 1, None),
    "grafana databases": ("SELECT datname FROM pg_database WHERE datistemplate = false AND datallowconn = true", 1, "ornl"),
    "grafana times": (
        """SELECT quote_ident(column_name) FROM information_schema.columns WHERE quote_ident(table_name) = 't' AND
        table_schema = 'open' AND data_type IN ('timestamp without time zone','timestamp with time zone','bigint','integer',
        'double precision','real')""",
        None,
        "dose",
    ),
    # Any
    "isolation": ("SHOW TRANSACTION ISOLATION LEVEL", 1, "repeatable read"),
    "digits": ("SET extra_float_digits = 3; SHOW extra_float_digits", 1, "3"),
    "setting": ("SELECT current_setting('no.such', true), set_config('a.b', 'c', false)", 1, "c"),
    "described": ("SELECT obj_description('open.t'::regclass, 'pg_class'), pg_table_is_visible('open.t'::regclass)", 1, None),
    "elements": ("SELECT x FROM unnest(ARRAY['a', 'b']) AS x ORDER BY x", 2, "b"),
    "aggregated": (
        """SELECT c.relname, ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY 1) FROM pg_class c JOIN
        pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'open'""",
        1,
        "t",
    ),
}
