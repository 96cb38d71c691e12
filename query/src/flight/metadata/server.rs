//! What the server says of itself (`CommandGetSqlInfo`). JDBC drivers fail on missing entries.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::error::{FlightError, Result};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Reserved words beyond those of SQL-92.
const KEYWORDS: [&str; 8] =
    ["EXCEPT", "EXPLAIN", "ILIKE", "LIMIT", "OFFSET", "QUALIFY", "SHOW", "UNNEST"];
const NUMERIC: [&str; 16] = [
    "ABS", "ACOS", "ASIN", "ATAN", "ATAN2", "CEIL", "COS", "DEGREES", "EXP", "FLOOR", "LOG10",
    "POWER", "RADIANS", "ROUND", "SIN", "SQRT",
];
const STRING: [&str; 10] = [
    "CONCAT",
    "LEFT",
    "LENGTH",
    "LOWER",
    "LTRIM",
    "REPLACE",
    "RIGHT",
    "RTRIM",
    "SUBSTRING",
    "UPPER",
];
const DATETIME: [&str; 4] = ["CURRENT_DATE", "CURRENT_TIME", "DATE_TRUNC", "NOW"];

static INFO: LazyLock<std::result::Result<SqlInfoData, String>> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "tarn");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(
        SqlInfo::SqlIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i64,
    );
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i64,
    );
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i64);
    info.append(SqlInfo::SqlKeywords, &KEYWORDS[..]);
    info.append(SqlInfo::SqlNumericFunctions, &NUMERIC[..]);
    info.append(SqlInfo::SqlStringFunctions, &STRING[..]);
    info.append(SqlInfo::SqlSystemFunctions, &[] as &[&str]);
    info.append(SqlInfo::SqlDatetimeFunctions, &DATETIME[..]);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSupportsColumnAliasing, true);
    info.append(SqlInfo::SqlNullPlusNullIsNull, true);
    info.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    info.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    info.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    info.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    info.append(SqlInfo::SqlSupportsNonNullableColumns, true);
    info.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    info.append(SqlInfo::SqlSchemaTerm, "dataset");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "lab");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    abilities(&mut info);
    sizes(&mut info);
    info.build().map_err(|error| error.to_string())
});

/// What the SQL can do. Bit masks name members of the enumerations of FlightSql.proto by their numbers.
fn abilities(info: &mut SqlInfoDataBuilder) {
    use SqlInfo as I;
    let all = |members: &[i32]| members.iter().fold(0_i32, |bits, member| bits | (1 << member));
    // GROUP BY unrelated and beyond SELECT; entry level grammar of SQL-92; all outer joins.
    info.append(I::SqlSupportedGroupBy, all(&[0, 1]));
    info.append(I::SqlSupportedGrammar, all(&[0, 1]));
    info.append(I::SqlOuterJoinsSupportLevel, all(&[1, 2]));
    info.append(I::SqlSupportsConvert, BTreeMap::<i32, Vec<i32>>::new());
    for nothing in [
        I::SqlSchemasSupportedActions,
        I::SqlCatalogsSupportedActions,
        I::SqlSupportedPositionedCommands,
        I::SqlSupportedTransactionsIsolationLevels,
        I::SqlSupportedResultSetTypes,
        I::SqlSupportedConcurrenciesForResultSetUnspecified,
        I::SqlSupportedConcurrenciesForResultSetForwardOnly,
        I::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        I::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        info.append(nothing, all(&[]));
    }
    // Subqueries in comparisons, EXISTS, IN and with quantifiers; UNION and UNION ALL.
    info.append(I::SqlSupportedSubqueries, all(&[0, 1, 2, 3]));
    info.append(I::SqlSupportedUnions, all(&[0, 1]));
    info.append(I::SqlCorrelatedSubqueriesSupported, true);
    for no in [
        I::SqlSelectForUpdateSupported,
        I::SqlStoredProceduresSupported,
        I::SqlTransactionsSupported,
        I::SqlDataDefinitionCausesTransactionCommit,
        I::SqlDataDefinitionsInTransactionsIgnored,
        I::SqlBatchUpdatesSupported,
        I::SqlSavepointsSupported,
        I::SqlNamedParametersSupported,
        I::SqlLocatorsUpdateCopy,
        I::SqlStoredFunctionsUsingCallSyntaxSupported,
        I::SqlMaxRowSizeIncludesBlobs,
    ] {
        info.append(no, false);
    }
}

/// Sizes; 0 where there is no limit or none is known.
fn sizes(info: &mut SqlInfoDataBuilder) {
    use SqlInfo as I;
    for unbounded in [
        I::SqlMaxBinaryLiteralLength,
        I::SqlMaxCharLiteralLength,
        I::SqlMaxColumnNameLength,
        I::SqlMaxColumnsInGroupBy,
        I::SqlMaxColumnsInIndex,
        I::SqlMaxColumnsInOrderBy,
        I::SqlMaxColumnsInSelect,
        I::SqlMaxColumnsInTable,
        I::SqlMaxConnections,
        I::SqlMaxCursorNameLength,
        I::SqlMaxIndexLength,
        I::SqlDbSchemaNameLength,
        I::SqlMaxProcedureNameLength,
        I::SqlMaxRowSize,
        I::SqlMaxStatements,
        I::SqlMaxTableNameLength,
        I::SqlMaxUsernameLength,
        I::SqlDefaultTransactionIsolation,
    ] {
        info.append(unbounded, 0_i64);
    }
    info.append(I::SqlMaxCatalogNameLength, 32_i64);
    info.append(I::SqlMaxStatementLength, 16_i64 << 20);
    info.append(I::SqlMaxTablesInSelect, 256_i64);
}

fn info() -> Result<&'static SqlInfoData> {
    INFO.as_ref().map_err(|problem| FlightError::ProtocolError(problem.clone()))
}

/// Schema of the answer.
pub(super) fn schema() -> SchemaRef {
    info().map_or_else(|_| Arc::new(Schema::empty()), SqlInfoData::schema)
}

/// The entries asked for; all of them for an empty list.
pub(super) fn rows(wanted: Vec<u32>) -> Result<RecordBatch> {
    info()?.record_batch(wanted)
}
