//! `tarn search`

use clap::Args;
use clap::builder::RangedU64ValueParser;

/// `tarn search`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tarn search sea ice --filter standard_name=air_temperature --facet lab
  tarn search --filter elements=Fe,O
  tarn search sea ice --filter tier=public --save 'open sea ice'
  tarn search --saved 'open sea ice'")]
pub(crate) struct Search {
    /// Words
    #[arg(value_name = "TEXT")]
    pub text: Vec<String>,
    /// Only datasets with this value: lab, tier, keyword, subject, element, standard_name, variable,
    /// units, format, creator, license, identifier; or elements, elements_only, time, within_time,
    /// bbox, within_bbox
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = pair)]
    pub filters: Vec<(String, String)>,
    /// Count the values of a key
    #[arg(long = "facet", value_name = "KEY")]
    pub facets: Vec<String>,
    /// Most hits, 1 to 1000
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = limit())]
    pub limit: usize,
    /// The next page: `next` of the one before
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// Keep this search under a name, in place of the one of that name, and run it
    #[arg(long, value_name = "NAME", conflicts_with = "cursor")]
    pub save: Option<String>,
    /// Run a search that was kept, and say what is new since it ran before
    #[arg(long, value_name = "NAME",
        conflicts_with_all = ["text", "filters", "facets", "limit", "save"])]
    pub saved: Option<String>,
    /// List the searches that were kept
    #[arg(long, conflicts_with_all = ["text", "filters", "facets", "limit", "cursor", "save", "saved"])]
    pub list_saved: bool,
    /// Forget a search that was kept
    #[arg(long, value_name = "NAME",
        conflicts_with_all = ["text", "filters", "facets", "limit", "cursor", "save", "saved", "list_saved"])]
    pub forget: Option<String>,
}

fn limit() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1000)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
