//! From a text under `derived_from` to what it names here: datasets by name, ARK, DOI or a URL of any of them, and
//! saved queries, which stand for all that they read.

use crate::datasets::held_like;
use crate::decision::Action;
use crate::model::{Dataset, LabDefaults};
use crate::policy::Rights;
use crate::{Catalog, CatalogError, ark};
use sqlx::{Any, Row, Transaction};
use tarn_schemas::profile::is_identifier;
use tarn_schemas::{DatasetName, DatasetRef, LabName};
use url::Url;

/// A dataset that something was made from, under what holds for its newest version.
pub(crate) struct Input {
    pub(crate) dataset: Dataset,
    /// Whether a version of it was named.
    pub(crate) pinned: bool,
    /// Whether the principal may not know of it, and it counts because it is an input already.
    pub(crate) hidden: bool,
}

/// What a text names.
pub(crate) enum Named {
    /// Datasets of this lab: one, or all that a saved query reads.
    Here(Vec<Input>),
    /// Something with an identifier that others resolve, or a dataset of a peer.
    Elsewhere,
    /// Nothing that is known, with what to do.
    Missing(String),
}

impl Catalog {
    /// What a text names that stands in the record of `of`, now or at a moment that has passed. What the principal may not know of is answered as
    /// what does not exist.
    pub(crate) async fn named(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        of: (&DatasetName, Option<&str>),
        text: &str,
    ) -> Result<Named, CatalogError> {
        let (database, lab) = (&self.inner.database, self.lab());
        // The same thing by a URL of this node or of a resolver is the same thing.
        let by_url = named_by_url(text, lab);
        let text = match &by_url {
            Some(ByUrl::Name(name)) => name,
            Some(ByUrl::Query(id)) => &format!("ark:/{}/{id}", self.own_naan(transaction).await?),
            None => text,
        };
        let reference = |name, version| DatasetRef { lab: None, name, version };
        if let Some(name) = doi_of(text) {
            let row = sqlx::query("SELECT dataset FROM doi WHERE lower(doi) = $1")
                .bind(name)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
            let Some(row) = row else { return Ok(Named::Elsewhere) };
            let name = database.dataset_name(&database.text(&row, "dataset")?)?;
            let found = self.input_here(rights, transaction, of, &reference(name, None)).await?;
            return Ok(found.unwrap_or(Named::Elsewhere));
        }
        if let Some(ark) = ark_of(text) {
            let row = sqlx::query("SELECT name FROM dataset WHERE ark = $1")
                .bind(&ark)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
            let found = match row {
                Some(row) => {
                    let name = database.dataset_name(&database.text(&row, "name")?)?;
                    self.input_here(rights, transaction, of, &reference(name, None)).await?
                }
                None => self.inputs_of_query(rights, transaction, &ark).await?.map(Named::Here),
            };
            return match found {
                Some(found) => Ok(found),
                // Others mint ARKs under numbers of their own.
                None if !self.is_own_ark(transaction, &ark).await? => Ok(Named::Elsewhere),
                None => Ok(Named::Missing(format!(
                    "{lab} gave this ARK to no dataset and no saved query: name a dataset by `lab.name`, and one \
                     of another node of the lab by its DOI"
                ))),
            };
        }
        let Ok(named) = text.parse::<DatasetRef>() else {
            return Ok(if is_identifier(text) {
                Named::Elsewhere
            } else {
                Named::Missing(
                    "name a dataset (lab.name or name@version), an ARK, a DOI or a URL; words about \
                     the origin belong into `activity`"
                        .to_owned(),
                )
            });
        };
        match &named.lab {
            Some(other) if other != lab => {
                let peer = sqlx::query("SELECT 1 FROM peer WHERE lab = $1")
                    .bind(other.as_str())
                    .fetch_optional(&mut **transaction)
                    .await
                    .map_err(|error| database.error(&error))?;
                Ok(match peer {
                    Some(_) => Named::Elsewhere,
                    None => Named::Missing(format!(
                        "{other} is no peer of {lab}: name the dataset by its ARK, DOI or URL"
                    )),
                })
            }
            _ => {
                let found = self.input_here(rights, transaction, of, &named).await?;
                Ok(found.unwrap_or_else(|| Named::Missing(missing(lab))))
            }
        }
    }

    /// A dataset of this lab as an input; none where it is not there, or may not be known of.
    async fn input_here(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        (of, at): (&DatasetName, Option<&str>),
        named: &DatasetRef,
    ) -> Result<Option<Named>, CatalogError> {
        let version = match (named.version, at) {
            (None, Some(at)) => self.newest_at(transaction, &named.name, at).await?,
            (version, _) => version,
        };
        let Some(dataset) = self.held_version(transaction, &named.name, version).await? else {
            return Ok(None);
        };
        let hidden = !self.decide_as(rights, Action::Discover, &dataset)?.allowed;
        if hidden {
            let newest = self.newest_of(transaction, of).await?;
            let known = self.inputs_of(transaction, (of, newest)).await?;
            if !known.keys().any(|(input, _)| *input == named.name) {
                return Ok(None);
            }
        }
        Ok(Some(Named::Here(vec![Input { dataset, pinned: named.version.is_some(), hidden }])))
    }

    /// The version of a dataset that was the newest at a moment; none before its first.
    async fn newest_at(
        &self,
        transaction: &mut Transaction<'static, Any>,
        name: &DatasetName,
        at: &str,
    ) -> Result<Option<u32>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT version FROM version WHERE dataset = $1 AND created_at <= $2
             ORDER BY version DESC LIMIT 1",
        )
        .bind(name.as_str())
        .bind(at)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
        row.map(|row| database.number(&row, "version")).transpose()
    }

    /// A version of a dataset, the newest without a number, under what holds for the newest.
    pub(crate) async fn held_version(
        &self,
        transaction: &mut Transaction<'static, Any>,
        name: &DatasetName,
        version: Option<u32>,
    ) -> Result<Option<Dataset>, CatalogError> {
        let Some(newest) = self.load(transaction, name, None).await? else { return Ok(None) };
        let newest = newest.dataset;
        let Some(version) = version.filter(|version| *version != newest.version) else {
            return Ok(Some(newest));
        };
        let older = self.load(transaction, name, Some(version)).await?;
        Ok(older.map(|older| held_like(&self.inner.policies, older.dataset, &newest)))
    }

    /// All that the saved query of an ARK reads; none where it is not there, or may not be known of.
    async fn inputs_of_query(
        &self,
        rights: &Rights,
        transaction: &mut Transaction<'static, Any>,
        ark: &str,
    ) -> Result<Option<Vec<Input>>, CatalogError> {
        let Some((tables, mine)) = self.tables_of_query(rights, transaction, ark).await? else {
            return Ok(None);
        };
        let mut inputs = Vec::new();
        for table in tables {
            let version = Some(table.version);
            let found = self.held_version(transaction, &table.dataset, version).await?;
            let Some(dataset) = found else { return Ok(None) };
            let hidden = !self.decide_as(rights, Action::Describe, &dataset)?.allowed;
            if hidden && !mine {
                return Ok(None);
            }
            inputs.push(Input { dataset, pinned: true, hidden });
        }
        Ok(Some(inputs))
    }

    /// The number of the lab's ARKs.
    async fn own_naan(
        &self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<String, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT defaults FROM lab")
            .fetch_one(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let text: String = row.try_get("defaults").map_err(|error| database.error(&error))?;
        let defaults: LabDefaults = serde_json::from_str(&text)
            .map_err(|error| database.unreadable("the lab's defaults", &error))?;
        Ok(defaults.naan.unwrap_or_else(|| ark::TEST_NAAN.to_owned()))
    }

    async fn is_own_ark(
        &self,
        transaction: &mut Transaction<'static, Any>,
        ark: &str,
    ) -> Result<bool, CatalogError> {
        let naan = self.own_naan(transaction).await?;
        Ok(ark
            .strip_prefix("ark:/")
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(of, _)| of == naan))
    }
}

/// What a URL names.
#[derive(Debug, PartialEq)]
enum ByUrl {
    /// A dataset of this lab as `lab.name`, or an ARK.
    Name(String),
    /// A saved query, by its id.
    Query(String),
}

/// The ARK that a URL leads to, or the dataset or saved query whose page or route of this lab it is; `None` for
/// other texts. However the URL is written: percent-encoded letters and dots in the path mean the same.
fn named_by_url(text: &str, lab: &LabName) -> Option<ByUrl> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let path = decoded(url.path())?;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let is_ark =
        |part: &&str| part.get(..4).is_some_and(|label| label.eq_ignore_ascii_case("ark:"));
    if let Some(at) = parts.iter().position(is_ark) {
        return parts.get(at..).map(|parts| ByUrl::Name(parts.join("/")));
    }
    let after = |name: &str| {
        let at = parts.iter().position(|part| *part == name)?;
        parts.get(at.saturating_add(1)..)
    };
    if let Some([of, name, ..]) = after("datasets")
        && *of == lab.as_str()
    {
        return Some(ByUrl::Name(format!("{of}.{name}")));
    }
    let query = after("v1").filter(|parts| parts.first() == Some(&"queries"))?;
    query.get(1).map(|id| ByUrl::Query((*id).to_owned()))
}

/// A path without percent-encoding; none where it is no text.
fn decoded(path: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// The ARK that a text is, without what stands behind its name: a part of something is limited as all of it.
fn ark_of(text: &str) -> Option<String> {
    if let Some(ark) = ark::parse(text) {
        return Some(ark);
    }
    let text = decoded(text.split(['?', '#']).next()?)?;
    let (label, rest) = text.split_once(':')?;
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    let (naan, name) = (parts.next()?, parts.next()?);
    ark::parse(&format!("{label}:/{naan}/{name}"))
}

/// The DOI that a text is, in lower case: `10.…/…`, `doi:10.…/…` or a URL of the resolver.
fn doi_of(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let bare = match Url::parse(&lower).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
    {
        Some(url) if matches!(url.host_str(), Some("doi.org" | "dx.doi.org" | "www.doi.org")) => {
            decoded(url.path())?.trim_start_matches('/').to_owned()
        }
        _ => lower.strip_prefix("doi:").unwrap_or(&lower).to_owned(),
    };
    (bare.starts_with("10.") && bare.contains('/')).then_some(bare)
}

fn missing(lab: &LabName) -> String {
    format!(
        "{lab} has no such dataset or version: register it first, or name it by an identifier \
         (`tarn search` lists what there is)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_same_however_they_are_written() {
        let lab = LabName::new("ornl").unwrap();
        let named = |text: &str| named_by_url(text, &lab);
        let dataset = Some(ByUrl::Name("ornl.lim".to_owned()));
        for same in [
            "http://node:8080/datasets/ornl/lim",
            "http://node/%64atasets/ornl/lim",
            "https://node/x/../datasets//ornl/%6Cim?a=b#c",
            "HTTP://node/api/v1/datasets/ornl/lim/tables/t.csv",
        ] {
            assert_eq!(named(same), dataset, "{same}");
        }
        for same in [
            "https://n2t.net/ark:/13030/xf93gt2q",
            "https://n2t.net/ark%3A/13030/xf93gt2%71?info",
            "https://N2T.net/ARK:13030/xf9-3gt-2q/part.csv",
        ] {
            let Some(ByUrl::Name(ark)) = named(same) else { panic!("{same}") };
            assert_eq!(ark_of(&ark).as_deref(), Some("ark:/13030/xf93gt2q"), "{same}");
        }
        assert_eq!(
            named("http://node/api/v1/queries/xf9/run"),
            Some(ByUrl::Query("xf9".to_owned()))
        );
        for other in
            ["https://node/datasets/anl/lim", "https://x.org/y", "ornl.lim", "http://node/%ff"]
        {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn dois_are_found_in_urls_of_their_resolver() {
        for same in
            ["10.5281/Zenodo.1", "doi:10.5281/zenodo.1", "https://doi.org/10.5281%2Fzenodo.1"]
        {
            assert_eq!(doi_of(same).as_deref(), Some("10.5281/zenodo.1"), "{same}");
        }
        assert_eq!(doi_of("https://x.org/10.5281/zenodo.1"), None);
    }
}
