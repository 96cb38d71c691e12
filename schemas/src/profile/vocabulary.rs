//! Closed lists of other people's standards.

/// `resourceTypeGeneral` of DataCite 4.7 (`include/datacite-resourceType-v4.xsd`).
pub(super) const RESOURCE_TYPES: [&str; 34] = [
    "Audiovisual",
    "Award",
    "Book",
    "BookChapter",
    "Collection",
    "ComputationalNotebook",
    "ConferencePaper",
    "ConferenceProceeding",
    "DataPaper",
    "Dataset",
    "Dissertation",
    "Event",
    "Image",
    "Instrument",
    "InteractiveResource",
    "Journal",
    "JournalArticle",
    "Model",
    "Other",
    "OutputManagementPlan",
    "PeerReview",
    "PhysicalObject",
    "Poster",
    "Preprint",
    "Presentation",
    "Project",
    "Report",
    "Service",
    "Software",
    "Sound",
    "Standard",
    "StudyRegistration",
    "Text",
    "Workflow",
];

/// `relationType` of DataCite 4.7 (`include/datacite-relationType-v4.xsd`).
pub(super) const RELATION_TYPES: [&str; 38] = [
    "Cites",
    "Collects",
    "Compiles",
    "Continues",
    "Describes",
    "Documents",
    "HasMetadata",
    "HasPart",
    "HasTranslation",
    "HasVersion",
    "IsCitedBy",
    "IsCollectedBy",
    "IsCompiledBy",
    "IsContinuedBy",
    "IsDerivedFrom",
    "IsDescribedBy",
    "IsDocumentedBy",
    "IsIdenticalTo",
    "IsMetadataFor",
    "IsNewVersionOf",
    "IsObsoletedBy",
    "IsOriginalFormOf",
    "IsPartOf",
    "IsPreviousVersionOf",
    "IsPublishedIn",
    "IsReferencedBy",
    "IsRequiredBy",
    "IsReviewedBy",
    "IsSourceOf",
    "IsSupplementTo",
    "IsSupplementedBy",
    "IsTranslationOf",
    "IsVariantFormOf",
    "IsVersionOf",
    "Obsoletes",
    "References",
    "Requires",
    "Reviews",
];

/// Access limitation codes of OSTI E-Link 2.0, other than `UNL` (unlimited).
pub(super) const LIMITED: [&str; 20] = [
    "AT", "CPY", "CUI", "ECI", "ILLIM", "ILUSO", "INTL", "LRD", "NNPI", "OPN", "OTHR", "OUO",
    "PAT", "PDOUO", "PDSH", "PROP", "PROT", "SBIR", "SSI", "STTR",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Values of a list in DataCite's own schema.
    fn published(file: &str) -> Option<BTreeSet<String>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/schemas/datacite-4.7/include")
            .join(file);
        let path = if path.exists() {
            path
        } else {
            let data = std::env::var_os("TARN_TEST_DATA")?;
            Path::new(&data).join("../schemas/datacite-4.7/include").join(file)
        };
        let text = std::fs::read_to_string(path).ok()?;
        let values = text.split("enumeration value=\"").skip(1);
        Some(values.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect())
    }

    #[test]
    fn the_lists_are_those_of_datacite() {
        let (Some(types), Some(mut relations)) =
            (published("datacite-resourceType-v4.xsd"), published("datacite-relationType-v4.xsd"))
        else {
            println!("left out: no ../shared/schemas/datacite-4.7 here");
            return;
        };
        let ours = |list: &[&str]| list.iter().map(|&value| value.to_owned()).collect();
        assert_eq!(types, ours(&RESOURCE_TYPES));
        // `Other` needs relationTypeInformation, which the record has no field for.
        assert!(relations.remove("Other"));
        assert_eq!(relations, ours(&RELATION_TYPES));
    }
}
