//! Files of a dataset that are not there any more: what its newest version knows of them stays, so that its record can
//! still be corrected, and closed, without them.

use crate::datasets::Stored;
use crate::decision::Action;
use crate::drafts::Draft;
use crate::policy::Rights;
use crate::{Catalog, CatalogError};
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{DatasetName, Principal};

impl Catalog {
    /// What the newest version of a dataset knows of the files at these locations, in their order; none where it does
    /// not know one of them, and for whoever may not describe and write the dataset.
    pub async fn known_files(
        &self,
        who: &Principal,
        name: &DatasetName,
        gone: &[String],
    ) -> Result<Option<Vec<FileFacts>>, CatalogError> {
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        let there = self.load(&mut read, name, None).await?;
        self.known_to(&rights, there, gone)
    }

    /// As [`Catalog::known_files`], for the author of a draft of the dataset, whoever looks at it.
    pub async fn known_files_of(
        &self,
        draft: &Draft,
        gone: &[String],
    ) -> Result<Option<Vec<FileFacts>>, CatalogError> {
        self.known_files(&self.author(draft).await?, &draft.record.name, gone).await
    }

    fn known_to(
        &self,
        rights: &Rights,
        there: Option<Stored>,
        gone: &[String],
    ) -> Result<Option<Vec<FileFacts>>, CatalogError> {
        let Some(stored) = there else { return Ok(None) };
        let writes = self.check_writer(rights, Some(&stored)).is_ok();
        if !writes || !self.decide_as(rights, Action::Describe, &stored.dataset)?.allowed {
            return Ok(None);
        }
        let files = &stored.dataset.files;
        let known = gone.iter().map(|gone| files.iter().find(|file| file.location == *gone));
        Ok(known.map(Option::<&FileFacts>::cloned).collect())
    }
}
