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

/// Whether this is a marking that limits access, and that somebody may be cleared for.
pub fn is_marking(code: &str) -> bool {
    LIMITED.contains(&code)
}

/// Permissions of the Data Use Ontology (release 2021-02-23) with their numbers.
pub(super) const USE_PERMISSIONS: [(&str, &str); 5] = [
    ("GRU", "DUO:0000042"),
    ("HMB", "DUO:0000006"),
    ("DS", "DUO:0000007"),
    ("POA", "DUO:0000011"),
    ("NRES", "DUO:0000004"),
];

/// Modifiers of the Data Use Ontology (release 2021-02-23) with their numbers.
pub(super) const USE_MODIFIERS: [(&str, &str); 18] = [
    ("RS", "DUO:0000012"),
    ("NMDS", "DUO:0000015"),
    ("GSO", "DUO:0000016"),
    ("NPUNCU", "DUO:0000018"),
    ("PUB", "DUO:0000019"),
    ("COL", "DUO:0000020"),
    ("IRB", "DUO:0000021"),
    ("GS", "DUO:0000022"),
    ("MOR", "DUO:0000024"),
    ("TS", "DUO:0000025"),
    ("US", "DUO:0000026"),
    ("PS", "DUO:0000027"),
    ("IS", "DUO:0000028"),
    ("RTN", "DUO:0000029"),
    ("CC", "DUO:0000043"),
    ("NPOA", "DUO:0000044"),
    ("NPU", "DUO:0000045"),
    ("NCU", "DUO:0000046"),
];

/// The identifier of a term of the Data Use Ontology by its shorthand, such as `DUO:0000042`.
pub fn data_use_term(code: &str) -> Option<&'static str> {
    let mut terms = USE_PERMISSIONS.iter().chain(&USE_MODIFIERS);
    terms.find(|(known, _)| *known == code).map(|(_, term)| *term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// A file of the published schemas.
    fn read(file: &str) -> Option<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas").join(file);
        let path = if path.exists() {
            path
        } else {
            Path::new(&std::env::var_os("TARN_TEST_DATA")?).join("../schemas").join(file)
        };
        std::fs::read_to_string(path).ok()
    }

    /// Values of a list in DataCite's own schema.
    fn published(file: &str) -> Option<BTreeSet<String>> {
        let text = read(&format!("datacite-4.7/include/{file}"))?;
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

    #[test]
    fn the_terms_of_data_use_are_those_of_the_ontology() {
        let Some(table) = read("duo/duo.csv") else {
            println!("left out: no ../shared/schemas/duo here");
            return;
        };
        let terms = |kind: &str| -> BTreeSet<(String, String)> {
            let rows = table.lines().filter(|row| row.contains(kind));
            rows.filter_map(|row| {
                let mut columns = row.split(',');
                let (id, code) = (columns.next()?, columns.next()?);
                (!code.is_empty()).then(|| (code.to_owned(), id.to_owned()))
            })
            .collect()
        };
        let ours = |list: &[(&str, &str)]| {
            list.iter().map(|(code, id)| ((*code).to_owned(), (*id).to_owned())).collect()
        };
        assert_eq!(terms("This data use permission"), ours(&USE_PERMISSIONS));
        assert_eq!(terms("This data use modifier"), ours(&USE_MODIFIERS));
        assert_eq!(data_use_term("GRU"), Some("DUO:0000042"));
        assert_eq!(data_use_term("gru"), None);
    }
}
