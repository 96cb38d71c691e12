//! Dates, provenance, funding, links, standards.

use super::*;

#[test]
fn dates_of_issue_and_review_are_dates() {
    breaks("/issued", "issued.required", |r, _| r.issued = None);
    breaks("/issued", "issued.date", |r, _| r.issued = Some("2026".to_owned()));
    breaks("/review", "review.required", |r, _| r.review = None);
    breaks("/review", "review.date", |r, _| r.review = Some("soon".to_owned()));
    breaks("/review", "review.date", |r, _| r.review = Some("2028-12-24".to_owned()));
    breaks("/review", "review.date", |r, _| r.review = Some("2026-11-21".to_owned()));
    passes(|r, _| r.review = Some("2026-11-22".to_owned()));
    for day in ["0000-01-01", "9999-12-31", "2027-11-23"] {
        breaks("/issued", "issued.range", |r, _| r.issued = Some(day.to_owned()));
    }
    passes(|r, _| r.issued = Some("1854-01-01".to_owned()));
    // Data that are held back are issued when they become available.
    passes(|r, _| {
        r.embargo.as_mut().unwrap().until = "2028-06-01".to_owned();
        r.issued = Some("2028-06-01".to_owned());
    });
}

#[test]
fn provenance_funding_and_links_are_filled_where_they_are_given() {
    breaks("/provenance/activity", "provenance.activity", |r, _| {
        r.provenance.as_mut().unwrap().activity = Some(String::new());
    });
    breaks("/provenance/derived_from/0", "provenance.derived_from", |r, _| {
        r.provenance.as_mut().unwrap().derived_from[0] = " ".to_owned();
    });
    breaks("/funding/0/funder", "funding.funder", |r, _| r.funding[0].funder = String::new());
    breaks("/related/0/identifier", "related.identifier", |r, _| {
        r.related[0].identifier = String::new();
    });
    breaks("/related/0/relation", "related.relation", |r, _| {
        r.related[0].relation = "cites".to_owned();
    });
    breaks("/conforms_to/0", "conforms_to.name", |r, _| r.conforms_to[0] = String::new());
}

#[test]
fn awards_can_be_looked_up() {
    let with = |funder: &str, ror: Option<&str>, award: &str| {
        let award = Some(award.to_owned());
        let (funder, ror) = (funder.to_owned(), ror.map(str::to_owned));
        move |r: &mut Record, _: &mut FileFacts| {
            r.funding[0] = crate::record::Funding { funder, ror, award, contract: None };
        }
    };
    // Numbers of OSTI's own documents and of usaspending.gov; an award DOI of DOE's user facilities.
    for award in ["DE-AC05-00OR22725", "DE-SC0012704", "DE-FG02-08ER46528", "89233218CNA000001"] {
        passes(with("DOE", None, award));
    }
    for award in [
        "10.46936/cpcy.proj.2019.50733/60006578",
        "https://doi.org/10.46936/x/1",
        "https://pamspublic.science.energy.gov/a",
    ] {
        passes(with("U.S. Department of Energy", None, award));
    }
    for award in ["OCE-1829814", "A-17", "ERC 2020-StG 947862"] {
        passes(with("Somebody", None, award));
    }
    for (funder, ror, award) in [
        ("DOE", None, "12"),
        ("DOE", None, "DE-1"),
        ("Office of Science", Some("https://ror.org/01bj3aw27"), "SC0012704"),
        ("U.S. Department of Energy", None, "DE-SC001270"),
        ("Somebody", None, "DE-AC0500OR22725"),
        ("Somebody", None, "de-sc0012704"),
        ("Somebody", None, " "),
        ("Somebody", None, "doi:10.46936"),
        ("Somebody", None, "10.abc/1"),
        ("Somebody", None, "https://doi.org/"),
        ("Somebody", None, "https://"),
    ] {
        breaks("/funding/0/award", "funding.award", with(funder, ror, award));
    }
}

#[test]
fn a_claimed_standard_is_one_that_was_published_and_that_the_files_state() {
    let claim = |text: &str, r: &mut Record| r.conforms_to = vec![text.to_owned()];
    for unpublished in ["CF-99.9", "CF-1.14", "cf-2", "ACDD-1.2"] {
        breaks("/conforms_to/0", "conforms_to.version", |r, _| claim(unpublished, r));
    }
    breaks("/conforms_to/0", "conforms_to.stated", |r, _| claim("CF-1.11", r));
    passes(|r, f| {
        f.attributes[0].1 = "CF-1.11, ACDD-1.3".to_owned();
        r.conforms_to = vec!["CF-1.11".to_owned(), "ACDD-1.3".to_owned()];
    });
    // Nothing here can check others; they are the steward's word, and raise no score.
    passes(|r, _| claim("NXtomo", r));
    let mut plain = file();
    plain.attributes.clear();
    let mut claims = record();
    claim("NXtomo", &mut claims);
    let lost = |files: &[FileFacts]| {
        let metrics = fair::score(&claims, files, false).into_iter();
        metrics.filter(|m| m.earned < m.points).map(|m| m.name).collect::<Vec<_>>()
    };
    assert_eq!(lost(&[plain.clone()]), ["FsF-R1.3-01M"]);
    plain.attributes = vec![("NeXus_version".to_owned(), "4.3.0".to_owned())];
    assert_eq!(lost(&[plain]), [""; 0]);
}

#[test]
fn formulas_can_be_read() {
    passes(|r, _| r.formulas = vec!["Fe2O3".to_owned(), "CuSO4·5H2O".to_owned()]);
    breaks("/formulas/1", "formulas", |r, _| {
        r.formulas = vec!["Fe2O3".to_owned(), "steel".to_owned()];
    });
}
