use super::*;
use datafusion::sql::parser::DFParserBuilder;

fn asked(sql: &str) -> Result<(String, Known), QueryError> {
    let facts = Facts {
        lab: "ornl".to_owned(),
        user: "ada".to_owned(),
        process: 7,
        settings: Settings::new("ada", ""),
        intervals: BTreeSet::new(),
        describing: false,
    };
    let mut statements = DFParserBuilder::new(sql).build().unwrap().parse_statements().unwrap();
    let mut statement = statements.pop_front().unwrap();
    let known = translate(&mut statement, &facts)?;
    Ok((statement.to_string(), known))
}

fn told(sql: &str) -> String {
    asked(sql).unwrap().0
}

#[test]
fn what_the_engine_understands_stays_as_it_is() {
    for sql in [
        "SELECT name FROM a.t WHERE version > 1 AND \"current_user\" = 'x'",
        "SELECT count(*) AS any FROM a.t WHERE name LIKE 'a%'",
        "SELECT CAST(region AS VARCHAR) FROM a.t",
        "SELECT x FROM (SELECT count(*) FROM a.t) AS y",
        "SELECT array_to_string(make_array('a'), ',') AS name, 'array(select acl, 1)' FROM a.t",
    ] {
        assert_eq!(told(sql), sql);
    }
}

#[test]
fn functions_casts_and_operators_are_those_of_the_engine() {
    let (sql, known) = asked("SELECT current_database(), pg_catalog.lower('A'), 7").unwrap();
    assert_eq!(sql, "SELECT 'ornl', lower('A'), 7");
    let names: Vec<&str> = known.names.iter().flatten().map(String::as_str).collect();
    assert_eq!(names, ["current_database", "lower", "?column?"]);
    assert!(told("SELECT x::pg_catalog.oid FROM a.t").contains("BIGINT"));
    let regex = told(
        "SELECT 1 FROM pg_class c WHERE relname OPERATOR(pg_catalog.~) 'a' COLLATE pg_catalog.default",
    );
    assert!(regex.ends_with("WHERE relname ~ 'a'"), "{regex}");
    for array in ["ARRAY['r', 'v']", "'{r,v}'", "'{r,v}'::char[]", "'{\"r\", v}'"] {
        let said = told(&format!("SELECT 1 FROM pg_class WHERE relkind = ANY({array})"));
        assert!(said.ends_with("IN ('r', 'v')"), "{said}");
    }
    assert_eq!(told("SELECT 1 = ANY('{}'), 1 <> ALL('{}')"), "SELECT false, true");
    assert!(told("SELECT * FROM information_schema.tables").contains("AS \"tables\""));
    assert_eq!(told("SELECT 'a!b' LIKE 'a!!b' ESCAPE '!'"), "SELECT 'a!b' LIKE 'a!b'");
    assert_eq!(told("SELECT x FROM t FETCH FIRST 2 ROWS ONLY"), "SELECT x FROM t LIMIT 2");
    assert_eq!(
        told("SELECT x FROM pg_catalog.unnest(make_array(1)) AS u (x)"),
        "SELECT x FROM UNNEST(make_array(1)) AS u (x)"
    );
    assert_eq!(told("SELECT 1 = ANY($1::oid[])"), "SELECT 1 = ANY(CAST($1 AS BIGINT[]))");
}

#[test]
fn columns_of_one_name_are_told_apart_from_the_engine_and_not_from_the_client() {
    let (sql, known) = asked("SELECT sum(a), sum(b), version(), 1 AS a, 2 AS a FROM t").unwrap();
    assert!(sql.ends_with("1 AS a, 2 AS \"a 5\" FROM t"), "{sql}");
    let names: Vec<&str> = known.names.iter().flatten().map(String::as_str).collect();
    assert_eq!(names, ["sum", "sum", "version", "a", "a"]);
    assert!(asked("SELECT *, 1 FROM t").unwrap().1.names.is_empty());
}

#[test]
fn parameters_are_of_the_types_that_casts_give_them() {
    let (_, known) = asked(
        "SELECT $1::int, CAST($2 AS TIMESTAMP), $3::numeric(10,2), $4::int[], $5::timestamptz, $6 FROM t \
         WHERE a = ANY($7) LIMIT $8",
    )
    .unwrap();
    let types: Vec<(usize, u32)> = known.types.into_iter().collect();
    assert_eq!(types, [(1, 23), (2, 1114), (3, 1700), (4, 1007), (5, 1184), (8, 20)]);
    assert_eq!(known.lists.into_iter().collect::<Vec<_>>(), [7]);
    assert_eq!(known.parameters, 8);
    assert!(asked("SELECT $4000000000").is_err());
}

#[test]
fn calls_within_calls_do_not_grow() {
    let deep = |depth: usize| {
        told(&format!("SELECT {}'a'{}", "quote_ident(".repeat(depth), ")".repeat(depth))).len()
    };
    assert_eq!(deep(20) - deep(19), deep(2) - deep(1));
    let casts = "::regtype".repeat(20);
    assert!(told(&format!("SELECT a{casts} FROM t")).len() < 4_000);
    let many = vec!["to_regclass('a')"; 300].join(", ");
    assert!(asked(&format!("SELECT {many}")).is_err(), "as many queries");
    let many = vec!["version()"; 50_000].join(", ");
    assert!(asked(&format!("SELECT {many}")).is_err(), "as much text");
}

#[test]
fn what_joins_nothing_has_no_rows_and_keeps_its_names_and_parameters() {
    let keys = "SELECT c.relname, i.indkey[0] AS k FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid \
                WHERE i.indisunique = $1";
    let blank =
        "SELECT CAST(NULL AS VARCHAR) AS \"relname\", CAST(NULL AS VARCHAR) AS \"k\" WHERE false";
    let (sql, known) = asked(keys).unwrap();
    assert_eq!((sql.as_str(), known.kept.len(), known.parameters), (blank, 0, 1));
    let (sql, known) = asked(
        "SELECT relname FROM pg_class WHERE oid = $2 AND EXISTS (SELECT 1 FROM pg_index WHERE indrelid = $1)",
    )
    .unwrap();
    assert!(sql.ends_with("WHERE oid = $1 AND false"), "{sql}");
    assert_eq!((known.kept, known.parameters), (vec![2], 2));
    let left = told("SELECT c.relname FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid");
    assert!(left.contains("LEFT JOIN") && left.ends_with("ON false"), "{left}");
    assert!(told("SELECT count(*) FROM pg_index").contains("FROM pg_catalog"), "a count has a row");
}

#[test]
fn a_query_for_one_value_of_the_catalog_gives_one() {
    let one = told(
        "SELECT (SELECT t.typname FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid LIMIT 1) FROM pg_attribute a",
    );
    assert!(one.contains("(SELECT max(t.typname) FROM pg_catalog.pg_type t WHERE"), "{one}");
    let own = told("SELECT (SELECT b FROM u WHERE u.c = t.c), current_user FROM t");
    assert!(own.contains("(SELECT b FROM u"), "{own}");
    let rows = told("SELECT ARRAY(SELECT b FROM t ORDER BY 1 DESC)");
    assert!(rows.contains("array_sort(array_agg(b), 'DESC', 'NULLS FIRST')"), "{rows}");
    let some = told("SELECT ARRAY(SELECT b FROM t LIMIT 2)");
    assert!(some.contains("array_agg(tarn_value)") && some.contains("LIMIT 2"), "{some}");
}

#[test]
fn of_the_catalog_alone_more_is_known() {
    let lists =
        "SELECT ARRAY(SELECT x FROM unnest(c.reloptions) x) FROM {} c WHERE c.relacl IS NOT NULL";
    let catalog = told(&lists.replace("{}", "pg_class"));
    assert!(
        !catalog.to_lowercase().contains("unnest") && catalog.ends_with("WHERE false"),
        "{catalog}"
    );
    let own = told(&lists.replace("{}", "a.t"));
    assert!(own.contains("UNNEST(c.reloptions)") && own.ends_with("c.relacl IS NOT NULL"), "{own}");
    let given =
        told("SELECT y FROM (SELECT make_array(1) AS relacl FROM pg_class) x WHERE relacl IS NULL");
    assert!(given.ends_with("relacl IS NULL"), "{given}");
    let kinds = "SELECT CASE WHEN t.typtype = 'c' THEN (SELECT array_agg(oid) FROM pg_class) ELSE NULL END FROM {} t";
    assert!(told(&kinds.replace("{}", "pg_type")).contains("THEN CAST(NULL AS BIGINT[])"));
    assert!(told(&kinds.replace("{}", "a.t")).contains("array_agg(oid)"));
    assert!(asked("WITH x AS (SELECT oid FROM pg_class) SELECT * FROM x").unwrap().1.catalog);
    assert!(!asked("SELECT * FROM pg_class, x").unwrap().1.catalog);
    assert!(!asked("SELECT 1").unwrap().1.catalog);
}

#[test]
fn literals_are_of_the_types_of_postgresql() {
    assert_eq!(told("SELECT '\\x00FF'::bytea"), "SELECT X'00FF'");
    let interval = told("SELECT '3 days, 4:05:06'::interval");
    assert!(interval.contains("'3 days 4 hours 05 minutes 06 seconds'"), "{interval}");
    assert!(told("SELECT x::uuid FROM t").contains("CAST(x AS VARCHAR)"));
    assert_eq!(
        told("SELECT x FROM unnest(make_array(1)) AS x"),
        "SELECT x FROM UNNEST(make_array(1)) AS x (x)"
    );
}
