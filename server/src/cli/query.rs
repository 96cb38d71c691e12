//! `tarn query`

use super::SqlFormat;
use clap::Subcommand;
use std::path::PathBuf;

/// `tarn query`
#[derive(Debug, Subcommand)]
pub(crate) enum QueryCommand {
    /// Run a query and keep it under an ARK, with the versions of its tables and its answer's checksum
    #[command(after_help = "\
Examples:
  tarn query save warming \"SELECT scenario, avg(t) FROM scenarios.annual GROUP BY scenario\"
  tarn query save north \"SELECT count(*) FROM sst.monthly WHERE lat > $1\" --parameter 60 --reader public")]
    Save {
        /// A name for it, one of yours
        #[arg(value_name = "NAME")]
        name: String,
        /// One SELECT, over tables of this lab
        #[arg(value_name = "QUERY")]
        query: String,
        /// The value of $1, $2, …: a number, true, false or null as in JSON; anything else is text
        #[arg(long = "parameter", value_name = "VALUE", allow_hyphen_values = true)]
        parameters: Vec<String>,
        /// Whom to share it with: NAME of a token of this lab, NAME@LAB of a peer, or public
        #[arg(long = "reader", value_name = "NAME")]
        readers: Vec<String>,
    },
    /// List saved queries
    #[command(after_help = "Example:\n  tarn query list")]
    List,
    /// Show one: its text, tables and versions, and what its answer was
    #[command(
        after_help = "Examples:\n  tarn query show warming\n  tarn query show ark:/99999/vwkspghfqhk"
    )]
    Show {
        /// Its name, its id or its ARK
        #[arg(value_name = "QUERY")]
        query: String,
    },
    /// Run one again: the answer of then, or why it cannot be had
    #[command(after_help = "\
Examples:
  tarn query run warming
  tarn query run ark:/99999/vwkspghfqhk --format parquet --output warming.parquet")]
    Run {
        /// Its name, its id or its ARK
        #[arg(value_name = "QUERY")]
        query: String,
        /// How to print the answer
        #[arg(long, value_enum, value_name = "FORMAT")]
        format: Option<SqlFormat>,
        /// Write to a file instead; - is standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Delete one; its ARK is not given out again
    #[command(after_help = "Example:\n  tarn query delete warming")]
    Delete {
        /// Its name, its id or its ARK
        #[arg(value_name = "QUERY")]
        query: String,
    },
}
