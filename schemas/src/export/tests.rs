//! Exports of any record are well formed, say the same, and keep inside what the tier keeps inside.

use super::*;
use crate::code::Coded;
use proptest::prelude::*;
use serde_json::json;

fn source() -> Source {
    let record: Record = serde_json::from_value(json!({
        "name": "sst", "title": "Sea surface temperature", "description": "d".repeat(120),
        "creators": [{"name": "Curie, Marie", "orcid": "0000-0002-1825-0097"}, {"name": "ORNL", "ror": "01qz5mb56"}],
        "publisher": {"name": "ORNL"}, "contact": {"name": "Desk", "email": "d@lab.gov"},
        "issued": "2026-11-22", "license": "CC-BY-4.0", "keywords": ["sst"], "tier": "public",
        "files": ["/secret/folder/sst.nc"],
        "provenance": {"derived_from": ["other@2", "doi:10.1/x", "words that are no identifier"]},
        "related": [{"relation": "IsCitedBy", "identifier": "https://doi.org/10.1000/182"}],
    }))
    .unwrap();
    let file: FileFacts = serde_json::from_value(json!({
        "location": "/secret/folder/sst.nc", "media_type": "application/x-netcdf", "bytes": 10,
        "sha256": "ab".repeat(32),
        "variables": [{"name": "sst", "data_type": "Float32", "dimensions": ["t"], "shape": [1],
            "standard_name": "sea_surface_temperature", "units": "K", "min": 270.5, "max": 300.0}],
    }))
    .unwrap();
    Source {
        lab: "ornl".parse().unwrap(),
        name: "sst".parse().unwrap(),
        version: 3,
        ark: "ark:/99999/x".to_owned(),
        doi: None,
        tier: Tier::Public,
        limited: false,
        record,
        files: vec![file],
        extent: Extent { time: Some((0.0, 1e9)), bounding_box: Some([-10.25, -5.5, 20.75, 30.5]) },
        tables: vec![Table {
            name: "t".to_owned(),
            rows: Some(1),
            columns: vec![Column {
                name: "sst".to_owned(),
                data_type: "Float32".to_owned(),
                units: Some("K".to_owned()),
                standard_name: None,
            }],
        }],
        registered_at: "2026-11-22T10:00:00.000000Z".to_owned(),
        base: "https://tarn.lab.gov".to_owned(),
        site_code: Some("ORNL".to_owned()),
        today: "2026-11-23".to_owned(),
        withdrawn: None,
        redacted: false,
    }
}

fn all(source: &Source) -> Vec<(&'static str, String)> {
    let formats = Format::ALL
        .iter()
        .filter_map(|(name, format)| Some((*name, export(source, *format).ok()?)));
    formats.chain([("links", header(source)), ("linkset", linkset(source).to_string())]).collect()
}

#[test]
fn no_export_says_where_files_lie() {
    for (name, text) in all(&source()) {
        assert!(!text.contains("/secret"), "{name}: {text}");
    }
}

#[test]
fn restricted_data_show_neither_files_nor_variables_nor_exact_places() {
    for tier in [Tier::Restricted, Tier::AggregatesOnly] {
        let source = Source { tier, ..source() };
        for (name, text) in all(&source) {
            for hidden in ["sst.nc", "abab", "270.5", "10.25", "2001-09-09"] {
                assert!(!text.contains(hidden), "{tier} {name}: {hidden}\n{text}");
            }
            if tier == Tier::Restricted {
                assert!(!text.contains("tables/t.csv"), "{name}");
            }
        }
    }
}

#[test]
fn what_a_dataset_was_made_from_is_linked_where_it_can_be() {
    let source = source();
    let text = export(&source, Format::DataCiteJson).unwrap();
    for wanted in ["https://tarn.lab.gov/datasets/ornl/other@2", "\"10.1/x\"", "10.1000/182"] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains("no identifier"));
}

#[test]
fn a_doi_comes_before_the_ark() {
    let source = Source { doi: Some("10.5072/abc".to_owned()), ..source() };
    assert_eq!(source.identifier_url(), "https://doi.org/10.5072/abc");
    assert!(
        export(&source, Format::DataCiteXml)
            .unwrap()
            .contains("identifierType=\"DOI\">10.5072/abc<")
    );
    assert!(header(&source).starts_with("<https://doi.org/10.5072/abc>; rel=\"cite-as\""));
}

#[test]
fn boxes_lie_within_the_earth_and_may_cross_the_antimeridian() {
    let of = |bounds| {
        let extent = Extent { time: Some((0.0, 0.0)), bounding_box: Some(bounds) };
        Source { extent, ..source() }.bounding_box()
    };
    assert_eq!(of([-10.0, 0.0, 10.0, 5.0]), Some([-10.0, 0.0, 10.0, 5.0]));
    assert_eq!(of([-280.0, -90.0, 80.0, 90.0]), Some([-180.0, -90.0, 180.0, 90.0]));
    assert_eq!(of([170.0, 0.0, 190.0, 5.0]), Some([170.0, 0.0, -170.0, 5.0]));
    assert_eq!(of([0.0, 0.0, 360.0, 5.0]), Some([-180.0, 0.0, 180.0, 5.0]));
    let extent = Extent { time: None, bounding_box: Some([170.0, 0.0, 190.0, 5.0]) };
    let written = serde_json::to_value(extent).unwrap();
    assert_eq!(written, json!({"bounding_box": [170.0, 0.0, -170.0, 5.0]}));
    assert_eq!(serde_json::from_value::<Extent>(written).unwrap(), extent);
    let dcat = export(&Source { extent, ..source() }, Format::DcatUs).unwrap();
    assert!(dcat.contains(
        "MULTIPOLYGON(((170 0, 180 0, 180 5, 170 5, 170 0)), ((-180 0, -170 0, -170 5, -180 5, -180 0)))"
    ));
    let extent = Extent { time: Some((0.0, 0.0)), bounding_box: Some([170.0, 0.0, 190.0, 5.0]) };
    let item: Value =
        serde_json::from_str(&export(&Source { extent, ..source() }, Format::Stac).unwrap())
            .unwrap();
    assert_eq!(item["geometry"]["type"], "MultiPolygon");
}

/// Every format of a dataset, and what its words of access are.
fn access(source: &Source) -> (String, String, bool) {
    let json =
        |format| -> Value { serde_json::from_str(&export(source, format).unwrap()).unwrap() };
    let rights = json(Format::DataCiteJson)["rightsList"].as_array().unwrap().clone();
    (
        rights.last().unwrap()["rights"].as_str().unwrap().to_owned(),
        json(Format::DcatUs)["accessRights"].as_str().unwrap().to_owned(),
        json(Format::SchemaOrg)["isAccessibleForFree"].as_bool().unwrap(),
    )
}

#[test]
fn an_embargo_ends_by_the_clock() {
    let mut source = source();
    let until = "2026-11-23".to_owned();
    source.record.embargo = Some(crate::record::Embargo { until, reason: "paper".to_owned() });
    for (today, words, free) in
        [("2026-11-22", "embargoed access", false), ("2026-11-23", "open access", true)]
    {
        today.clone_into(&mut source.today);
        assert_eq!(access(&source), (words.to_owned(), words.to_owned(), free));
        let coar = if free { "c_abf2" } else { "c_f1cf" };
        assert!(export(&source, Format::OaiDc).unwrap().contains(coar));
    }
    // One whose end cannot be read does not end.
    source.record.embargo.as_mut().unwrap().until = "soon".to_owned();
    assert_eq!(access(&source).0, "embargoed access");
}

#[test]
fn what_was_withdrawn_offers_no_data_and_is_not_open() {
    let withdrawn = Some("2026-11-23T08:00:00Z".to_owned());
    let source = Source { withdrawn, ..source() };
    for (name, text) in all(&source) {
        for data in ["sst.nc", "tables/t.csv", "/files/", "abab"] {
            assert!(!text.contains(data), "{name}: {data}\n{text}");
        }
    }
    let words = "metadata only access".to_owned();
    assert_eq!(access(&source), (words.clone(), words, false));
    let datacite: Value =
        serde_json::from_str(&export(&source, Format::DataCiteJson).unwrap()).unwrap();
    let dates = datacite["dates"].as_array().unwrap();
    assert!(dates.contains(&json!({"date": "2026-11-23", "dateType": "Withdrawn"})));
    assert!(matches!(export(&source, Format::ELink), Err(Refused::Withdrawn { .. })));
}

#[test]
fn what_asks_for_conditions_is_not_open() {
    for tier in [Tier::Public, Tier::Registered] {
        let source = Source { tier, limited: true, ..source() };
        let (datacite, dcat, free) = access(&source);
        assert!(!free && datacite.starts_with("restricted access"), "{datacite}");
        assert_eq!(datacite, dcat);
        assert!(matches!(export(&source, Format::ELink), Err(Refused::Limitation { .. })));
    }
}

#[test]
fn elink_never_says_unlimited_of_what_is_limited() {
    let limits = |tier, markings: &[&str]| {
        let mut source = Source { tier, ..source() };
        source.record.markings = markings.iter().map(|code| (*code).to_owned()).collect();
        export(&source, Format::ELink).map(|text| {
            let value: Value = serde_json::from_str(&text).unwrap();
            value["access_limitations"].clone()
        })
    };
    for tier in [Tier::Public, Tier::Registered] {
        assert_eq!(limits(tier, &[]), Ok(json!(["UNL"])));
    }
    for tier in [Tier::Controlled, Tier::Restricted, Tier::AggregatesOnly] {
        for markings in [&[] as &[&str], &["UNL"]] {
            let refused = limits(tier, markings).unwrap_err();
            assert!(refused.to_string().contains("markings"), "{refused}");
        }
        assert_eq!(limits(tier, &["OUO"]), Ok(json!(["OUO"])));
    }
    let mut exported = source();
    exported.record.export_control =
        Some(serde_json::from_value(json!({"regime": "EAR", "classification": "3A001"})).unwrap());
    assert!(matches!(export(&exported, Format::ELink), Err(Refused::Limitation { .. })));
    exported.record.markings = vec!["ECI".to_owned()];
    assert!(export(&exported, Format::ELink).unwrap().contains("\"ECI\""));
}

#[test]
fn a_redacted_record_is_exported_only_where_words_stand_for_what_is_not_told() {
    let mut source = Source { tier: Tier::Restricted, redacted: true, ..source() };
    source.record = Record {
        title: source.record.title.clone(),
        contact: source.record.contact.clone(),
        ..Record::new(source.name.clone())
    };
    for (name, format) in Format::ALL {
        match export(&source, format) {
            Ok(text) => assert!(
                matches!(
                    format,
                    Format::DataCiteXml
                        | Format::DataCiteJson
                        | Format::OaiDataCite
                        | Format::OaiDc
                        | Format::DcatUs
                ) && text.contains("(:unal)"),
                "{name}: {text}"
            ),
            Err(refused) => assert_eq!(refused.code(), crate::ErrorCode::PermissionDenied),
        }
    }
    let offered = links(&source).into_iter().filter(|link| link.rel == "describedby").count();
    assert_eq!(offered, 5);
    assert!(!header(&source).contains("croissant"));
}

#[test]
fn data_without_time_are_a_collection() {
    let extent = Extent::default();
    let value: Value =
        serde_json::from_str(&export(&Source { extent, ..source() }, Format::Stac).unwrap())
            .unwrap();
    assert_eq!(
        (&value["type"], value["extent"]["temporal"]["interval"][0][0].as_str()),
        (&json!("Collection"), Some("2026-11-22T00:00:00Z"))
    );
}

#[test]
fn identifiers_are_told_apart() {
    for (text, kind, bare) in [
        ("10.5281/zenodo.1", IdentifierKind::Doi, "10.5281/zenodo.1"),
        ("doi:10.1/x", IdentifierKind::Doi, "10.1/x"),
        ("https://dx.doi.org/10.1/x", IdentifierKind::Doi, "10.1/x"),
        ("ark:/99999/x", IdentifierKind::Ark, "ark:/99999/x"),
        ("urn:isbn:1", IdentifierKind::Urn, "urn:isbn:1"),
        ("hdl:1/2", IdentifierKind::Handle, "1/2"),
        ("arXiv:2101.00001", IdentifierKind::ArXiv, "arXiv:2101.00001"),
        ("s3://bucket/key", IdentifierKind::Url, "s3://bucket/key"),
    ] {
        assert_eq!(kind_of(text), Some((kind, bare.to_owned())), "{text}");
    }
    for words in ["", "see the paper", "doi"] {
        assert_eq!(kind_of(words), None, "{words}");
    }
}

proptest! {
    #[test]
    fn every_export_of_any_text_is_well_formed(
        texts in proptest::collection::vec("\\PC{0,30}|[<>&\"'\\]\r\n\t\0\u{b}\u{ffff}]{0,10}|10\\.[0-9]/.{0,9}", 12),
        numbers in proptest::array::uniform6(proptest::num::f64::ANY),
        tier in 0..5_usize,
    ) {
        let mut source = source();
        let record = &mut source.record;
        record.title.clone_from(&texts[0]);
        record.description.clone_from(&texts[1]);
        record.creators[0].name.clone_from(&texts[2]);
        record.creators[0].orcid = Some(texts[3].clone());
        record.license = Some(texts[4].clone());
        record.rights = Some(texts[5].clone());
        record.keywords = vec![texts[6].clone()];
        record.related[0].identifier.clone_from(&texts[7]);
        record.issued = Some(texts[8].clone());
        record.language = Some(texts[9].clone());
        source.files[0].location.clone_from(&texts[10]);
        source.files[0].media_type.clone_from(&texts[11]);
        source.extent = Extent {
            time: Some((numbers[0], numbers[1])),
            bounding_box: Some([numbers[2], numbers[3], numbers[4], numbers[5]]),
        };
        source.tier = [Tier::Public, Tier::Registered, Tier::Controlled, Tier::Restricted, Tier::AggregatesOnly][tier];
        for (name, format) in Format::ALL {
            let Ok(text) = export(&source, format) else { continue };
            if text.starts_with("<?xml") {
                prop_assert!(well_formed(&text), "{name}: {text}");
            } else {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{name}: {text}");
            }
        }
        let links = header(&source);
        prop_assert!(links.is_ascii() && !links.contains(['\r', '\n']), "{links}");
    }
}

/// Whether tags open and close in pairs, and text holds no bare markup.
fn well_formed(xml: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let body = xml.split_once("?>").map_or(xml, |(_, body)| body);
    for piece in body.split('<').skip(1) {
        let Some((tag, text)) = piece.split_once('>') else { return false };
        // The characters of XML 1.0, section 2.2: DEL and what follows it are among them.
        let legal = |c: char| "\t\n\r".contains(c) || (c >= ' ' && c != '\u{ffff}');
        if text.contains('>') || !text.chars().all(legal) || tag.contains(['\r', '\0']) {
            return false;
        }
        match tag.strip_prefix('/') {
            Some(name) => {
                if open.pop() != Some(name) {
                    return false;
                }
            }
            None => open.push(tag.split(' ').next().unwrap_or_default()),
        }
    }
    open.is_empty()
}
