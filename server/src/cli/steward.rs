//! Commands on people, access, records on their way, the audit log and the catalog as a whole.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `tarn access`
#[derive(Debug, Subcommand)]
pub(crate) enum Access {
    /// Ask for access for somebody
    #[command(after_help = "\
Example:
  tarn access request trial_7 --for ann --purpose research --agreement 9f86d081… \\
      --justification 'mortality by region' --use HMB")]
    Request {
        /// name or lab.name
        #[arg(value_name = "DATASET")]
        dataset: String,
        /// For whom: NAME of a token of this lab, or NAME@LAB of a peer
        #[arg(long = "for", value_name = "NAME")]
        whom: String,
        /// One of the purposes of the dataset's agreement
        #[arg(long, value_name = "PURPOSE")]
        purpose: String,
        /// What is to be done with the data
        #[arg(long, value_name = "TEXT")]
        justification: String,
        /// SHA-256 of the text of the agreement that is accepted
        #[arg(long, value_name = "SHA256")]
        agreement: String,
        /// Use in terms of DUO: GRU, HMB, DS or POA
        #[arg(long = "use", value_name = "CODE")]
        data_use: Option<String>,
        /// The disease that DS is about
        #[arg(long, value_name = "TERM")]
        disease: Option<String>,
        /// Where, as two letters of ISO 3166-1
        #[arg(long, value_name = "COUNTRY")]
        place: Option<String>,
        /// The use is commercial
        #[arg(long)]
        commercial: bool,
        /// An ethics board approved the use
        #[arg(long)]
        ethics_approval: bool,
        /// It is done together with those who made the data
        #[arg(long)]
        collaboration: bool,
        /// A modifier of DUO that the person keeps to, such as MOR or PS; may be given again
        #[arg(long = "accept", value_name = "CODE")]
        accepts: Vec<String>,
    },
    /// Grant what was asked for
    #[command(after_help = "Example:\n  tarn access approve 0193… --months 6")]
    Approve {
        /// Id of the request
        #[arg(value_name = "REQUEST")]
        request: String,
        /// For how long [default: as long as the agreement and the data use allow]
        #[arg(long, value_name = "N")]
        months: Option<u32>,
    },
    /// Refuse what was asked for
    #[command(
        after_help = "Example:\n  tarn access deny 0193… --reason 'not within the agreement'"
    )]
    Deny {
        /// Id of the request
        #[arg(value_name = "REQUEST")]
        request: String,
        /// Why, for the person who asked
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a grant at once
    #[command(after_help = "Example:\n  tarn access revoke 0193…")]
    Revoke {
        /// Id of the grant
        #[arg(value_name = "GRANT")]
        grant: String,
    },
    /// List requests, or the grants of a dataset
    #[command(after_help = "Examples:\n  tarn access list\n  tarn access list trial_7")]
    List {
        /// name or lab.name
        #[arg(value_name = "DATASET")]
        dataset: Option<String>,
    },
    /// Say what somebody may do with a dataset, and why not
    #[command(after_help = "\
Examples:
  tarn access explain trial_7 --for ann
  tarn access explain trial_7 --for anonymous")]
    Explain {
        /// name, lab.name or lab.name@version
        #[arg(value_name = "DATASET")]
        dataset: String,
        /// Who: NAME of a token of this lab, NAME@LAB of a peer, or anonymous for whoever comes without
        /// a token [default: you, the owner of the home]
        #[arg(long = "for", value_name = "NAME")]
        whom: Option<String>,
    },
}

/// `tarn user`
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Say what is known of a person, in place of what was known
    #[command(after_help = "\
Example:
  tarn user create ann --group dac-climate --assurance high --country US --us-person --clearance CUI")]
    Create {
        /// NAME of a token of this lab, or NAME@LAB of a peer
        #[arg(value_name = "NAME")]
        name: String,
        /// A group, such as a committee
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// How sure it is who they are: low, medium or high
        #[arg(long, value_name = "LEVEL")]
        assurance: Option<String>,
        /// A marking they are cleared for
        #[arg(long = "clearance", value_name = "MARKING")]
        clearances: Vec<String>,
        /// A training that is valid
        #[arg(long = "training", value_name = "NAME")]
        training: Vec<String>,
        /// An affiliation, such as ornl.gov
        #[arg(long = "affiliation", value_name = "NAME")]
        affiliations: Vec<String>,
        /// A citizenship, as two letters of ISO 3166-1; name all of them
        #[arg(long = "country", value_name = "COUNTRY")]
        countries: Vec<String>,
        /// A US person (22 CFR 120.62)
        #[arg(long)]
        us_person: bool,
        /// SHA-256 of terms that they accepted
        #[arg(long = "terms", value_name = "SHA256")]
        terms: Vec<String>,
        /// Another login or token of the same human (person:NAME), their ORCID iD (orcid:…) or mail address
        /// (mailto:…): they are one person where two have to agree
        #[arg(long = "same-as", value_name = "IDENTITY")]
        identities: Vec<String>,
    },
    /// List people, by what the operator or their issuer says of them
    #[command(after_help = "Example:\n  tarn user list")]
    List,
    /// Print a one-time token that makes whoever logs in and shows it an administrator
    #[command(after_help = "Example:\n  tarn user invite")]
    Invite,
    /// Forget what is known of a person: of no group, cleared for nothing
    #[command(after_help = "Example:\n  tarn user revoke ann")]
    Revoke {
        /// NAME of a token of this lab, or NAME@LAB of a peer
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// `tarn doi`
#[derive(Debug, Subcommand)]
pub(crate) enum DoiCommand {
    /// Ask for a DOI for a dataset whose record is for everyone
    #[command(after_help = "Example:\n  tarn doi request sst")]
    Request {
        /// Name of the dataset
        #[arg(value_name = "DATASET")]
        name: String,
    },
    /// List DOIs: waiting, registered, hidden, refused and why
    #[command(after_help = "Example:\n  tarn doi list")]
    List,
    /// Tell the registrar at once whatever it has not heard, also what it refused
    #[command(after_help = "Example:\n  TARN_DOI_SECRET=… tarn doi sync")]
    Sync,
}

/// `tarn draft`
#[derive(Debug, Subcommand)]
pub(crate) enum DraftCommand {
    /// Keep a record that is not complete yet
    #[command(after_help = "Example:\n  tarn draft save sst.yaml")]
    Save {
        /// The record, in YAML or JSON
        #[arg(value_name = "RECORD")]
        record: PathBuf,
    },
    /// List your drafts, and submitted records that wait for you
    #[command(after_help = "Example:\n  tarn draft list")]
    List,
    /// Print one with its record
    #[command(after_help = "Example:\n  tarn draft show sst")]
    Show {
        /// Name of the dataset
        #[arg(value_name = "NAME")]
        name: String,
        /// Whose, as `tarn draft list` says it, where several people have one
        #[arg(long, value_name = "WHO")]
        author: Option<String>,
    },
    /// Register what somebody submitted, as you looked at it
    #[command(
        after_help = "Example:\n  tarn draft show sst\n  tarn draft approve sst --revision 2"
    )]
    Approve {
        /// Name of the dataset
        #[arg(value_name = "NAME")]
        name: String,
        /// The revision that `tarn draft show` printed
        #[arg(long, value_name = "N")]
        revision: u64,
        /// Whose, as `tarn draft list` says it, where several people have one
        #[arg(long, value_name = "WHO")]
        author: Option<String>,
    },
    /// Give what somebody submitted back to them
    #[command(after_help = "Example:\n  tarn draft return sst --reason 'the licence is wrong'")]
    Return {
        /// Name of the dataset
        #[arg(value_name = "NAME")]
        name: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Whose, as `tarn draft list` says it, where several people have one
        #[arg(long, value_name = "WHO")]
        author: Option<String>,
    },
    /// Throw a draft away
    #[command(after_help = "Example:\n  tarn draft delete sst")]
    Delete {
        /// Name of the dataset
        #[arg(value_name = "NAME")]
        name: String,
        /// Whose, as `tarn draft list` says it, where several people have one
        #[arg(long, value_name = "WHO")]
        author: Option<String>,
    },
}

/// `tarn audit`
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List entries, the oldest first
    #[command(after_help = "\
Examples:
  tarn audit list --dataset trial_7 --since 2026-11-01
  tarn audit list --person ann
  tarn audit list --json > log.json")]
    List {
        /// What this person did: owner, anonymous, NAME of a token of this lab, NAME@LAB of a peer
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
        /// What was done with this dataset
        #[arg(long, value_name = "DATASET")]
        dataset: Option<String>,
        /// At or after this day or moment, in UTC
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Before this day or moment, in UTC
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Check every entry, and name the first that is not as it was written
    #[command(after_help = "\
Examples:
  tarn audit verify
  tarn audit verify --json | jq .head > head.json     # to be kept somewhere else
  tarn audit verify --head head.json                  # nothing before it was rewritten
  tarn audit verify log.json --head head.json         # without the home")]
    Verify {
        /// A whole log that `tarn audit list --json` printed, instead of that of the home
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// A signed head that was kept; the log has to continue it
        #[arg(long = "head", value_name = "FILE")]
        heads: Vec<PathBuf>,
    },
}

/// `tarn retract`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tarn retract sst --reason 'wrong calibration' --replaced-by sst_v2"
)]
pub(crate) struct Retract {
    /// name of a dataset of this lab
    #[arg(value_name = "DATASET")]
    pub dataset: String,
    /// Why, for everyone who looks at its page
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// A dataset or identifier to use instead
    #[arg(long, value_name = "NAME")]
    pub replaced_by: Option<String>,
}

/// `tarn backup`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tarn backup /backups/ornl-$(date +%F).tarn")]
pub(crate) struct Backup {
    /// Where to write it; an existing file is not overwritten
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `tarn restore`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tarn --home /srv/tarn restore /backups/ornl-2026-11-22.tarn
  TARN_DATABASE=postgres://tarn@db/catalog tarn --home /srv/tarn restore ornl.tarn")]
pub(crate) struct Restore {
    /// A file that `tarn backup` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
