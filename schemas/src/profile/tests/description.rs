//! Title, description, keywords, kind, language, text.

use super::*;

#[test]
fn a_title_has_8_to_300_characters() {
    breaks("/title", "title.required", |r, _| r.title = "  ".to_owned());
    breaks("/title", "title.length", |r, _| r.title = "ä".repeat(7));
    passes(|r, _| r.title = "ä".repeat(8));
    passes(|r, _| r.title = "ä".repeat(300));
    breaks("/title", "title.length", |r, _| r.title = "ä".repeat(301));
    breaks("/title", "title.required", |r, _| r.title = "\u{2800}".repeat(10));
    breaks("/title", "title.length", |r, _| r.title = format!("a{}b", " ".repeat(20)));
}

#[test]
fn a_title_is_not_the_name_of_a_file() {
    for title in ["sst_monthly.nc", "SST_MONTHLY", "data/sst_monthly.nc"] {
        breaks("/title", "title.not_file_name", |r, _| {
            r.files = vec!["data/sst_monthly.nc".to_owned()];
            r.title = title.to_owned();
        });
    }
    breaks("/title", "title.not_file_name", |r, f| {
        f.location = "s3://bucket/sst_monthly.nc".to_owned();
        r.title = "sst_monthly".to_owned();
    });
}

#[test]
fn a_description_has_at_least_100_characters() {
    breaks("/description", "description.length", |r, _| r.description = "é".repeat(99));
    breaks("/description", "description.length", |r, _| r.description = " ".repeat(200));
    passes(|r, _| r.description = "é".repeat(100));
    let blanks = format!("a{}b", " ".repeat(120));
    breaks("/description", "description.length", |r, _| r.description = blanks);
}

#[test]
fn kind_and_language_are_from_their_lists() {
    breaks("/resource_type", "resource_type.required", |r, _| r.resource_type = None);
    breaks("/resource_type", "resource_type.list", |r, _| {
        r.resource_type = Some("dataset".to_owned());
    });
    passes(|r, _| r.resource_type = Some("Poster".to_owned()));
    breaks("/language", "language.form", |r, _| r.language = Some("english please".to_owned()));
    passes(|r, _| r.language = Some("pt-BR".to_owned()));
    passes(|r, _| r.language = None);
}

#[test]
fn a_record_needs_a_keyword() {
    breaks("/keywords", "keywords.required", |r, _| r.keywords.clear());
    breaks("/keywords/0", "keywords.length", |r, _| r.keywords[0] = " ".to_owned());
    breaks("/keywords/0", "keywords.length", |r, _| r.keywords[0] = "x".repeat(201));
}

#[test]
fn text_has_no_characters_that_command_a_terminal_or_turn_it_around() {
    let bell = "Monthly means\u{7}\u{1b}[31m in red";
    breaks("/title", "text.characters", |r, _| r.title = bell.to_owned());
    breaks("/keywords/0", "text.characters", |r, _| r.keywords[0] = "a\u{202e}b".to_owned());
    breaks("/creators/0/affiliation/name", "text.characters", |r, _| {
        r.creators[0].affiliation.as_mut().unwrap().name = "OR\0NL".to_owned();
    });
    passes(|r, _| r.description.push_str("\n\tA second paragraph, with a joiner: \u{200d}."));
}

#[test]
fn what_nobody_sees_is_named_with_its_place() {
    for (character, told) in [
        ('\u{200b}', "U+200B (a space of no width) at character 4"),
        ('\u{200e}', "U+200E (a mark of direction) at character 4"),
        ('\u{e0041}', "U+E0041 (a tag character) at character 4"),
        ('\u{feff}', "U+FEFF (a byte order mark) at character 4"),
    ] {
        let hidden = format!("Sea{character} ice of 2020");
        breaks("/title", "text.characters", |r, _| r.title = hidden.clone());
        breaks("/contact/name", "text.characters", |r, _| {
            r.contact.as_mut().unwrap().name = hidden.clone();
        });
        breaks("/related/0/identifier", "text.characters", |r, _| {
            r.related[0].identifier = format!("https://doi.org/10.1/y{character}");
        });
        let mut record = record();
        record.title = hidden;
        let found = validate(&record, &[file()], &setting());
        assert!(found[0].fix.contains(told), "{}", found[0].fix);
    }
    // Spelling, the shape of a character, and what a word processor leaves in prose.
    passes(|r, _| r.title = "داده‌های یخ دریا".to_owned());
    passes(|r, _| r.title = "Ice ☀\u{fe0f} of 2020".to_owned());
    passes(|r, _| r.description = format!("soft\u{ad}hyphens {}", "and words ".repeat(20)));
    breaks("/description", "text.characters", |r, _| {
        r.description = format!("tags\u{e0041} {}", "and words ".repeat(20));
    });
}

#[test]
fn an_address_that_runs_is_none() {
    for program in ["javascript:alert(1)", "JavaScript:alert(1)", "vbscript:x"] {
        breaks("/related/0/identifier", "text.program", |r, _| {
            r.related[0].identifier = program.to_owned();
        });
    }
    passes(|r, _| r.title = "JavaScript: its use in the lab".to_owned());
    for rights in
        ["data:text/html,x", "ftp://lab.gov/rights", "urn:x:y", "file:///etc/passwd", "rights"]
    {
        breaks("/rights", "rights.uri", |r, _| r.rights = Some(rights.to_owned()));
    }
    for rights in ["https://rightsstatements.org/vocab/InC/1.0/", "HTTP://lab.gov/rights"] {
        passes(|r, _| r.rights = Some(rights.to_owned()));
    }
    breaks("/subjects/0/uri", "subjects.uri", |r, _| {
        r.subjects = vec![crate::record::Subject {
            term: "ice".to_owned(),
            scheme: "GCMD".to_owned(),
            uri: Some("data:text/html,x".to_owned()),
        }];
    });
}
