//! Tables of the catalog about what no lab has: always empty.

/// Names, and columns that clients ask for.
const TABLES: [(&str, &str); 87] = [
    ("pg_aggregate", "aggfnoid:i aggkind:t"),
    ("pg_amop", "oid:i amopfamily:i amopmethod:i amoplefttype:i amopopr:i amopstrategy:i"),
    ("pg_attrdef", "oid:i adrelid:i adnum:i adbin:t"),
    ("pg_auth_members", "oid:i roleid:i member:i grantor:i admin_option:b"),
    ("pg_available_extensions", "name:t default_version:t installed_version:t comment:t"),
    ("pg_cast", "oid:i castsource:i casttarget:i castfunc:i castcontext:t castmethod:t"),
    (
        "pg_collation",
        "oid:i collname:t collnamespace:i collowner:i collprovider:t collencoding:i collcollate:t collctype:t",
    ),
    (
        "pg_constraint",
        "oid:i conname:t connamespace:i contype:t condeferrable:b condeferred:b convalidated:b conrelid:i \
      contypid:i conindid:i conparentid:i confrelid:i confupdtype:t confdeltype:t confmatchtype:t conislocal:b \
      coninhcount:i connoinherit:b conkey:l confkey:l conbin:t",
    ),
    ("pg_cursors", "name:t statement:t is_holdable:b is_binary:b is_scrollable:b creation_time:t"),
    ("pg_db_role_setting", "setdatabase:i setrole:i setconfig:l"),
    ("pg_default_acl", "oid:i defaclrole:i defaclnamespace:i defaclobjtype:t defaclacl:l"),
    ("pg_depend", "classid:i objid:i objsubid:i refclassid:i refobjid:i refobjsubid:i deptype:t"),
    ("pg_description", "objoid:i classoid:i objsubid:i description:t"),
    ("pg_enum", "oid:i enumtypid:i enumsortorder:i enumlabel:t"),
    ("pg_event_trigger", "oid:i evtname:t evtevent:t evtowner:i evtfoid:i evtenabled:t evttags:l"),
    ("pg_extension", "oid:i extname:t extowner:i extnamespace:i extrelocatable:b extversion:t"),
    (
        "pg_foreign_data_wrapper",
        "oid:i fdwname:t fdwowner:i fdwhandler:i fdwvalidator:i fdwacl:l fdwoptions:l",
    ),
    (
        "pg_foreign_server",
        "oid:i srvname:t srvowner:i srvfdw:i srvtype:t srvversion:t srvacl:l srvoptions:l",
    ),
    ("pg_foreign_table", "ftrelid:i ftserver:i ftoptions:l"),
    (
        "pg_index",
        "indexrelid:i indrelid:i indnatts:i indnkeyatts:i indisunique:b indisprimary:b indisexclusion:b \
      indimmediate:b indisclustered:b indisvalid:b indisready:b indislive:b indisreplident:b \
      indnullsnotdistinct:b indkey:l indcollation:l indclass:l indoption:l indexprs:t indpred:t",
    ),
    ("pg_indexes", "schemaname:t tablename:t indexname:t tablespace:t indexdef:t"),
    ("pg_inherits", "inhrelid:i inhparent:i inhseqno:i inhdetachpending:b"),
    ("pg_language", "oid:i lanname:t lanowner:i"),
    ("pg_locks", "locktype:t database:i relation:i pid:i mode:t granted:b"),
    (
        "pg_matviews",
        "schemaname:t matviewname:t matviewowner:t tablespace:t hasindexes:b ispopulated:b definition:t",
    ),
    (
        "pg_opclass",
        "oid:i opcmethod:i opcname:t opcnamespace:i opcfamily:i opcintype:i opcdefault:b",
    ),
    ("pg_operator", "oid:i oprname:t oprnamespace:i oprleft:i oprright:i oprresult:i oprcode:i"),
    (
        "pg_partitioned_table",
        "partrelid:i partstrat:t partnatts:i partdefid:i partattrs:l partclass:l",
    ),
    (
        "pg_policies",
        "schemaname:t tablename:t policyname:t permissive:t roles:l cmd:t qual:t with_check:t",
    ),
    (
        "pg_policy",
        "oid:i polname:t polrelid:i polcmd:t polpermissive:b polroles:l polqual:t polwithcheck:t",
    ),
    (
        "pg_proc",
        "oid:i proname:t pronamespace:i proowner:i prolang:i prokind:t prosecdef:b proisstrict:b proretset:b \
      provolatile:t pronargs:i prorettype:i proargtypes:l proallargtypes:l proargmodes:l proargnames:l prosrc:t proacl:l",
    ),
    (
        "pg_publication",
        "oid:i pubname:t pubowner:i puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b",
    ),
    ("pg_publication_namespace", "oid:i pnpubid:i pnnspid:i"),
    ("pg_publication_rel", "oid:i prpubid:i prrelid:i prqual:t prattrs:l"),
    ("pg_range", "rngtypid:i rngsubtype:i rngmultitypid:i"),
    ("pg_rewrite", "oid:i rulename:t ev_class:i ev_type:t ev_enabled:t is_instead:b"),
    ("pg_rules", "schemaname:t tablename:t rulename:t definition:t"),
    (
        "pg_sequence",
        "seqrelid:i seqtypid:i seqstart:i seqincrement:i seqmax:i seqmin:i seqcache:i seqcycle:b",
    ),
    ("pg_sequences", "schemaname:t sequencename:t sequenceowner:t data_type:t start_value:i"),
    ("pg_shdescription", "objoid:i classoid:i description:t"),
    ("pg_stat_activity", "datid:i datname:t pid:i usename:t application_name:t state:t query:t"),
    ("pg_stat_user_tables", "relid:i schemaname:t relname:t n_live_tup:i"),
    (
        "pg_statistic_ext",
        "oid:i stxrelid:i stxname:t stxnamespace:i stxowner:i stxstattarget:i stxkeys:l stxkind:l stxexprs:t",
    ),
    (
        "pg_trigger",
        "oid:i tgrelid:i tgparentid:i tgname:t tgfoid:i tgtype:i tgenabled:t tgisinternal:b tgconstraint:i",
    ),
    ("pg_user_mapping", "oid:i umuser:i umserver:i umoptions:l"),
    (
        "information_schema_column_privileges",
        "grantor:t grantee:t table_catalog:t table_schema:t table_name:t column_name:t privilege_type:t",
    ),
    (
        "information_schema_constraint_column_usage",
        "table_catalog:t table_schema:t table_name:t column_name:t constraint_catalog:t constraint_schema:t constraint_name:t",
    ),
    (
        "information_schema_key_column_usage",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i position_in_unique_constraint:i",
    ),
    (
        "information_schema_referential_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t unique_constraint_catalog:t unique_constraint_schema:t unique_constraint_name:t",
    ),
    (
        "information_schema_routines",
        "specific_catalog:t specific_schema:t specific_name:t routine_catalog:t routine_schema:t routine_name:t routine_type:t data_type:t",
    ),
    (
        "information_schema_sequences",
        "sequence_catalog:t sequence_schema:t sequence_name:t data_type:t",
    ),
    (
        "information_schema_table_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t constraint_type:t",
    ),
    (
        "information_schema_table_privileges",
        "grantor:t grantee:t table_catalog:t table_schema:t table_name:t privilege_type:t",
    ),
    ("pg_amproc", "oid:i amprocfamily:i amproclefttype:i amprocrighttype:i amprocnum:i amproc:i"),
    (
        "pg_conversion",
        "oid:i conname:t connamespace:i conowner:i conforencoding:i contoencoding:i conproc:i condefault:b",
    ),
    ("pg_file_settings", "sourcefile:t sourceline:i seqno:i name:t setting:t applied:b error:t"),
    ("pg_group", "groname:t grosysid:i grolist:l"),
    ("pg_largeobject_metadata", "oid:i lomowner:i lomacl:l"),
    ("pg_opfamily", "oid:i opfmethod:i opfname:t opfnamespace:i opfowner:i"),
    ("pg_prepared_statements", "name:t statement:t prepare_time:t from_sql:b"),
    ("pg_prepared_xacts", "transaction:i gid:t prepared:t owner:t database:t"),
    ("pg_statio_user_tables", "relid:i schemaname:t relname:t heap_blks_read:i heap_blks_hit:i"),
    ("pg_stat_all_tables", "relid:i schemaname:t relname:t n_live_tup:i n_dead_tup:i"),
    (
        "pg_stat_database",
        "datid:i datname:t numbackends:i xact_commit:i xact_rollback:i blks_read:i blks_hit:i",
    ),
    (
        "pg_stat_user_indexes",
        "relid:i indexrelid:i schemaname:t relname:t indexrelname:t idx_scan:i",
    ),
    (
        "pg_subscription",
        "oid:i subdbid:i subname:t subowner:i subenabled:b subbinary:b substream:t subtwophasestate:t subdisableonerr:b subsynccommit:t subconninfo:t subskiplsn:t subpublications:l",
    ),
    ("pg_transform", "oid:i trftype:i trflang:i trffromsql:i trftosql:i"),
    ("pg_ts_config", "oid:i cfgname:t cfgnamespace:i cfgowner:i cfgparser:i"),
    ("pg_ts_config_map", "mapcfg:i maptokentype:i mapseqno:i mapdict:i"),
    ("pg_ts_dict", "oid:i dictname:t dictnamespace:i dictowner:i dicttemplate:i dictinitoption:t"),
    (
        "pg_ts_parser",
        "oid:i prsname:t prsnamespace:i prsstart:i prstoken:i prsend:i prsheadline:i prslextype:i",
    ),
    ("pg_ts_template", "oid:i tmplname:t tmplnamespace:i tmplinit:i tmpllexize:i"),
    ("pg_user_mappings", "umid:i srvid:i srvname:t umuser:i usename:t umoptions:l"),
    ("information_schema_applicable_roles", "grantee:t role_name:t is_grantable:t"),
    (
        "information_schema_character_sets",
        "character_set_catalog:t character_set_schema:t character_set_name:t character_repertoire:t form_of_use:t default_collate_catalog:t default_collate_schema:t default_collate_name:t",
    ),
    (
        "information_schema_check_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t check_clause:t",
    ),
    (
        "information_schema_constraint_table_usage",
        "table_catalog:t table_schema:t table_name:t constraint_catalog:t constraint_schema:t constraint_name:t",
    ),
    ("information_schema_domains", "domain_catalog:t domain_schema:t domain_name:t data_type:t"),
    (
        "information_schema_element_types",
        "object_catalog:t object_schema:t object_name:t object_type:t collection_type_identifier:t data_type:t",
    ),
    ("information_schema_enabled_roles", "role_name:t"),
    (
        "information_schema_foreign_tables",
        "foreign_table_catalog:t foreign_table_schema:t foreign_table_name:t foreign_server_catalog:t foreign_server_name:t",
    ),
    (
        "information_schema_parameters",
        "specific_catalog:t specific_schema:t specific_name:t ordinal_position:i parameter_mode:t parameter_name:t data_type:t parameter_default:t",
    ),
    (
        "information_schema_role_table_grants",
        "grantor:t grantee:t table_catalog:t table_schema:t table_name:t privilege_type:t is_grantable:t with_hierarchy:t",
    ),
    (
        "information_schema_triggers",
        "trigger_catalog:t trigger_schema:t trigger_name:t event_manipulation:t event_object_catalog:t event_object_schema:t event_object_table:t action_statement:t action_orientation:t action_timing:t",
    ),
    (
        "information_schema_user_defined_types",
        "user_defined_type_catalog:t user_defined_type_schema:t user_defined_type_name:t",
    ),
    (
        "information_schema_view_column_usage",
        "view_catalog:t view_schema:t view_name:t table_catalog:t table_schema:t table_name:t column_name:t",
    ),
    (
        "information_schema_view_table_usage",
        "view_catalog:t view_schema:t view_name:t table_catalog:t table_schema:t table_name:t",
    ),
];

/// The columns of a table that is always empty; none for others.
pub(super) fn columns(name: &str) -> Option<&'static str> {
    TABLES.iter().find(|(table, _)| *table == name).map(|(_, columns)| *columns)
}

/// Whether a table is always empty.
pub(crate) fn is_always_empty(name: &str) -> bool {
    columns(name).is_some()
}

/// The columns of each.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(_, columns)| *columns)
}

/// Their names.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}
