//! The command line, as people type it.

mod dev;
mod login;
mod query;
mod search;
mod steward;

pub(crate) use dev::{Dev, DevFederation};
pub(crate) use login::{Login, Logout};
pub(crate) use query::QueryCommand;
pub(crate) use search::Search;
pub(crate) use steward::{Access, Audit, Backup, DoiCommand, DraftCommand, Restore, Retract, User};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use tarn_schemas::export::Format;
use tarn_schemas::{ColumnSource, Layout, PartialMode, Tier};

/// A federated lake of scientific files: register them under FAIR records, ask SQL over every lab,
/// stream them to training jobs, all under one policy.
#[derive(Debug, Parser)]
#[command(name = "tarn", version, about, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Folder of this lab's configuration, catalog and store [default: TARN_HOME, or ~/.tarn]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print nothing but results and errors
    #[arg(long, global = true)]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tarn sql \"SELECT count(*), avg(t2m) FROM read_netcdf('era5.nc') WHERE latitude > 60\"
  tarn init --lab ornl
  tarn record new data/*.nc > sst.yaml      edit it, then
  tarn register sst.yaml
  tarn ingest data/*.nc --dataset sst       copy into Delta, or --in-place
  tarn serve
  tarn login --server https://lake.example.org

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by policy, 4 not found, 5 invalid data or record,
6 partial result.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a home: tarn.toml, a catalog and a local store. Asks nothing
    Init(Init),
    /// Say what is in files: grids, variables, units, chunking, filters, missing metadata
    Inspect(Inspect),
    /// Write records
    #[command(subcommand)]
    Record(Record),
    /// Validate a record, mint its identifier and store it
    Register(Register),
    /// Make tables of files, as verified Delta tables or in place
    Ingest(Ingest),
    /// Rewrite the files of tables: fewer, or with rows ordered by several columns
    Optimize(Optimize),
    /// Find datasets in this lab and its peers
    Search(Search),
    /// Show one dataset
    Show(Named),
    /// List the versions of a dataset
    Versions(Named),
    /// Print a dataset in the formats of DataCite, data.gov, Croissant, RO-Crate, STAC, OSTI, …
    Export(Export),
    /// Run SQL over files, this lab and its peers; without a query, a prompt
    Sql(Sql),
    /// Keep queries under citable identifiers, and run them again to the same answer
    #[command(subcommand)]
    Query(QueryCommand),
    /// Stream a table in training batches
    Stream(Stream),
    /// Serve HTTP and Flight
    Serve(Serve),
    /// Log in at a node, from a terminal
    Login(Login),
    /// End a login
    Logout(Logout),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(Token),
    /// Connect labs
    #[command(subcommand)]
    Peer(Peer),
    /// Start labs to try things out with
    #[command(subcommand)]
    Dev(Dev),
    /// Ask for access to datasets, decide about it, explain it
    #[command(subcommand)]
    Access(Access),
    /// Records on their way: what others submitted, to be looked at by a second person
    #[command(subcommand)]
    Draft(DraftCommand),
    /// Ask for DOIs, and see what the registrar has still to be told
    #[command(subcommand)]
    Doi(DoiCommand),
    /// Who read and did what: list the log, prove that nobody changed it
    #[command(subcommand)]
    Audit(Audit),
    /// Say what decisions know of people: groups, clearances, citizenships
    #[command(subcommand)]
    User(User),
    /// Withdraw a dataset: its page stays, its data are for nobody
    Retract(Retract),
    /// Write the catalog and the configuration to one file, while the node runs
    Backup(Backup),
    /// Make a home from a backup
    Restore(Restore),
    /// Look at everything that the node needs, and say what is wrong and how to mend it
    Doctor(Doctor),
}

/// `tarn doctor`
#[derive(Debug, Args)]
#[command(
    after_help = "Looks at the home, the catalog, the disk, the doors, TLS, issuers, stores and peers. The lab's own store gets an \
object that is read and taken away again; nothing else is changed. Exit code 1 where something is bad.\n\nExample:\n  tarn doctor --json"
)]
pub(crate) struct Doctor {}

/// `tarn init`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tarn --home /srv/tarn init --lab ornl")]
pub(crate) struct Init {
    /// Name of the lab: 2 to 32 characters a-z, 0-9 and _
    #[arg(long, default_value = "lab", value_name = "NAME")]
    pub lab: String,
}

/// `tarn inspect`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tarn inspect data/sst.nc s3://bucket/run_*.h5")]
pub(crate) struct Inspect {
    /// Paths, URLs, globs or folders
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
}

/// `tarn record`
#[derive(Debug, Subcommand)]
pub(crate) enum Record {
    /// Print a record in YAML, prefilled from the files
    #[command(
        after_help = "Example:\n  tarn record new data/*.nc --name sst --tier public > sst.yaml"
    )]
    New {
        /// Paths, URLs, globs or folders
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
        /// Name of the dataset [default: from the first file]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Who may read the data: public, registered, controlled, restricted or aggregates_only
        #[arg(long, value_name = "TIER")]
        tier: Option<Tier>,
    },
    /// Print a profile as JSON Schema: lab-core, or a community profile of the lab
    #[command(after_help = "Example:\n  tarn record profile cf-acdd")]
    Profile {
        /// Name of the profile
        #[arg(default_value = "lab-core", value_name = "NAME")]
        name: String,
    },
}

/// `tarn register`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tarn register sst.yaml --dry-run\n  tarn register records/*.yaml"
)]
pub(crate) struct Register {
    /// Records in YAML or JSON; the `files:` of each are relative to it
    #[arg(value_name = "RECORD.yaml", required = true)]
    pub records: Vec<PathBuf>,
    /// Say what would happen and store nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The version that the record was edited from (0: it is new); refused if there is a later one
    #[arg(long, value_name = "VERSION")]
    pub from: Option<u32>,
}

impl Register {
    /// The record, if it is one.
    pub(crate) fn only(&self) -> Option<&PathBuf> {
        match self.records.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// `tarn ingest`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tarn ingest data/*.nc --dataset sst
  tarn ingest run7.h5 --dataset runs --in-place --grid entry_data_frame_y_x --layout tensors
  tarn ingest cmip6/*.nc --dataset cmip6 --table ta --grid time_plev_lat_lon \\
      --column model=attribute:source_id --column 'year=cf_year(time)' --select model,year,lat,lon,ta")]
pub(crate) struct Ingest {
    /// Paths, URLs, globs or folders
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// The dataset, registered before: name or lab.name
    #[arg(long, value_name = "NAME")]
    pub dataset: String,
    /// The table; without it one table per grid
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// The grid; without it the one with most cells (with --table) or all of them
    #[arg(long, value_name = "GRID")]
    pub grid: Option<String>,
    /// Rows are cells, or tensors along the leading dimension
    #[arg(long, value_enum, default_value_t = LayoutName::Cells)]
    pub layout: LayoutName,
    /// An extra column: NAME=attribute:A, NAME=attribute:VARIABLE:A, NAME=path:REGEX,
    /// NAME=variable:V, NAME=cf_year(TIME), cf_month, cf_day
    #[arg(long = "column", value_name = "NAME=SOURCE", value_parser = column)]
    pub columns: Vec<(String, ColumnSource)>,
    /// The columns to keep, in this order
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub select: Vec<String>,
    /// Query the files where they are; nothing is copied
    #[arg(long)]
    pub in_place: bool,
}

/// `tarn optimize`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tarn optimize runs                        all Delta tables of the dataset
  tarn optimize cmip6.ta --z-order lat,lon --target-size 256")]
pub(crate) struct Optimize {
    /// dataset or dataset.table, of this lab
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Order rows by these columns, each as much as the others, so that conditions on any of them
    /// leave out most row groups
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub z_order: Vec<String>,
    /// Mebibytes that a data file aims at
    #[arg(long, default_value_t = 512, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub target_size: u64,
}

fn column(text: &str) -> Result<(String, ColumnSource), String> {
    let (name, source) = text.split_once('=').ok_or("write NAME=SOURCE")?;
    Ok((
        name.to_owned(),
        source.parse().map_err(|e: tarn_schemas::table::ColumnSourceError| e.to_string())?,
    ))
}

/// Layout on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LayoutName {
    /// One row per cell
    Cells,
    /// One row per index of the leading dimension
    Tensors,
}

impl From<LayoutName> for Layout {
    fn from(name: LayoutName) -> Self {
        match name {
            LayoutName::Cells => Self::Cells,
            LayoutName::Tensors => Self::Tensors,
        }
    }
}

/// A dataset by name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tarn show sst\n  tarn show ornl.sst@2\n  tarn versions sst")]
pub(crate) struct Named {
    /// name, lab.name or lab.name@version
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `tarn export`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tarn export sst --as datacite > sst.xml
  tarn export sst@2 --as croissant --output croissant.json")]
pub(crate) struct Export {
    /// name, lab.name or lab.name@version, of this lab
    #[arg(value_name = "NAME")]
    pub name: String,
    /// datacite, datacite-json, dcat-us, schema.org, croissant, ro-crate, stac, elink, oai_dc or
    /// oai_datacite
    #[arg(long = "as", value_name = "FORMAT")]
    pub format: Format,
    /// Write to a file instead; - is standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `tarn sql`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tarn sql \"SELECT * FROM grids('data/sst.nc')\"
  tarn sql \"SELECT lat, avg(sst) FROM read_netcdf('data/*.nc') GROUP BY lat\" --format csv
  tarn sql \"SELECT * FROM ornl.cmip6.ta\" --format parquet --output ta.parquet --partial allow")]
pub(crate) struct Sql {
    /// One statement; without it, a prompt, or the statements of standard input, each ended by ;
    #[arg(value_name = "QUERY")]
    pub query: Option<String>,
    /// How to print the answer
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<SqlFormat>,
    /// Write to a file instead; - is standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// When a lab does not answer: leave it out and say so (exit code 6), or fail
    #[arg(long, value_enum, default_value_t = PartialName::Error)]
    pub partial: PartialName,
    /// Say what the statement would read from tables, and do not run it
    #[arg(long, requires = "query")]
    pub estimate: bool,
}

/// Format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SqlFormat {
    /// Aligned text
    Table,
    /// RFC 4180, with a header
    Csv,
    /// One object: schema, rows, sites
    Json,
    /// Arrow IPC stream
    Arrow,
    /// Parquet file
    Parquet,
}

/// `--partial`
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PartialName {
    /// A missing lab fails the query
    Error,
    /// A missing lab is left out and said so
    Allow,
}

impl From<PartialName> for PartialMode {
    fn from(name: PartialName) -> Self {
        match name {
            PartialName::Error => Self::Error,
            PartialName::Allow => Self::Allow,
        }
    }
}

/// `tarn stream`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  tarn stream llnl.scenarios.fields --batch-size 64 --seed 7\n  \
                  tarn stream llnl.scenarios.fields --server grpc+tls://lake.example.org:8815\n  \
                  tarn stream receipts --affected-by scenarios@2"
)]
pub(crate) struct Stream {
    #[command(subcommand)]
    pub about: Option<AboutStreams>,
    /// The table: lab.dataset.table or dataset.table; dataset@2.table for a version
    #[arg(value_name = "NAME", required = true)]
    pub name: Option<String>,
    /// Rows of a batch
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub batch_size: u32,
    /// Seed of the order
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Epoch: another order with the same seed
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub epoch: u32,
    /// Number of consumers that share an epoch
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub world_size: u32,
    /// Which of them this is
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub rank: u32,
    /// Global position to begin at, in rows
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub start: u64,
    /// Table order instead of a shuffled one
    #[arg(long)]
    pub in_order: bool,
    /// Columns
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Only rows for which this SQL condition holds
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// Write the batches as an Arrow IPC stream; - is standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Ask the node at this Flight address instead of the home, by the token in TARN_TOKEN or of `tarn login`
    #[arg(long, value_name = "grpc://HOST:PORT")]
    pub server: Option<String>,
}

/// `tarn stream receipts` and `tarn stream replace-key`
#[derive(Debug, Subcommand)]
pub(crate) enum AboutStreams {
    /// What was streamed over the network, by whom, signed by the lab
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:\n  tarn stream receipts list --affected-by scenarios@2 --json\n  \
                      tarn stream receipts verify receipt.json"
    )]
    Receipts {
        #[command(subcommand)]
        act: Option<Receipts>,
        /// Only runs that this dataset is in: NAME, or NAME@VERSION
        #[arg(long, value_name = "DATASET")]
        affected_by: Option<String>,
    },
    /// Replace the key of the node: tickets and states of streams that were given out before end
    ReplaceKey,
}

/// What is done with receipts.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipts {
    /// List them, the oldest first
    List {
        /// Only runs that this dataset is in: NAME, or NAME@VERSION
        #[arg(long, value_name = "DATASET")]
        affected_by: Option<String>,
    },
    /// Check the signature of a receipt, or of a list of them, by a key of the lab
    Verify {
        /// Receipts in JSON, as `list --json`, the API or a client of streams gives them; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Public key of the lab, 64 hexadecimal digits; that of the home by default
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
}

/// `tarn serve`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  TARN_HTTP=127.0.0.1:8081 TARN_FLIGHT=127.0.0.1:8816 tarn serve\n\n\
                  TARN_POSTGRES=127.0.0.1:5432 lets psql and dashboards in too, in builds that have that door."
)]
pub(crate) struct Serve {}

/// `tarn token`
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it once; with --quiet the token alone
    #[command(after_help = "Example:\n  tarn token create --name ann --scope read --days 30")]
    Create {
        /// Whose it is
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = ScopeName::Read)]
        scope: ScopeName,
        /// Days until it expires
        #[arg(long, default_value_t = 90, value_name = "DAYS")]
        days: u32,
    },
    /// List tokens, without their secrets
    #[command(after_help = "Example:\n  tarn token list")]
    List,
    /// Revoke tokens by name or id
    #[command(after_help = "Example:\n  tarn token revoke ann")]
    Revoke {
        /// Name or id
        #[arg(value_name = "NAME|ID")]
        token: String,
    },
}

/// `--scope`
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ScopeName {
    /// Search, SQL and streams
    Read,
    /// Register and ingest as well
    Write,
    /// Everything
    Admin,
}

impl From<ScopeName> for tarn_schemas::Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Read => Self::Read,
            ScopeName::Write => Self::Write,
            ScopeName::Admin => Self::Admin,
        }
    }
}

/// `tarn peer`
#[derive(Debug, Subcommand)]
pub(crate) enum Peer {
    /// Print a one-time invitation for another lab; with --quiet the invitation alone
    #[command(after_help = "Example:\n  tarn peer invite --quiet > invitation.txt")]
    Invite,
    /// Accept another lab's invitation; its server must be running
    #[command(after_help = "Example:\n  tarn peer accept \"$(cat invitation.txt)\"")]
    Accept {
        /// The text that `tarn peer invite` printed
        #[arg(value_name = "INVITATION")]
        invitation: String,
    },
    /// List peers
    #[command(after_help = "Example:\n  tarn peer list")]
    List,
    /// Ask every peer whether it answers, and say how old the copy of its records here is; exit code 1 if one
    /// does not answer, 5 if a copy differs
    #[command(after_help = "Examples:\n  tarn peer status\n  tarn peer status --verify --json")]
    Status {
        /// Compare each copy with its lab by hash trees, and name the records that differ; changes nothing
        #[arg(long)]
        verify: bool,
    },
    /// Read what is new of peers' records now; `tarn serve` does it by itself every few seconds
    #[command(after_help = "Examples:\n  tarn peer sync\n  tarn peer sync ornl --verify")]
    Sync {
        /// The lab; all peers without
        #[arg(value_name = "LAB")]
        lab: Option<String>,
        /// Compare the copy with the lab too, and repair the records that differ
        #[arg(long)]
        verify: bool,
    },
    /// Forget a peer
    #[command(after_help = "Example:\n  tarn peer remove ornl")]
    Remove {
        /// The lab
        #[arg(value_name = "LAB")]
        lab: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn column_options_are_read_and_refused_with_a_reason() {
        let cli = Cli::parse_from([
            "tarn",
            "ingest",
            "a.nc",
            "--dataset",
            "d",
            "--column",
            "y=cf_year(time)",
        ]);
        let Command::Ingest(ingest) = cli.command else { panic!("not ingest") };
        assert_eq!(ingest.columns[0].0, "y");
        assert!(
            Cli::try_parse_from(["tarn", "ingest", "a.nc", "--dataset", "d", "--column", "y=nope"])
                .is_err()
        );
    }
}
