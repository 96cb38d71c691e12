//! Title, description, keywords, kind, language, text.

use super::*;

#[test]
fn a_title_has_8_to_300_characters() {
    breaks("/title", "title.required", |r, _| r.title = "  ".to_owned());
    breaks("/title", "title.length", |r, _| r.title = "ä".repeat(7));
    passes(|r, _| r.title = "ä".repeat(8));
    passes(|r, _| r.title = "ä".repeat(300));
    breaks("/title", "title.length", |r, _| r.title = "ä".repeat(301));
    breaks("/title", "title.required", |r, _| r.title = "\u{200b}".repeat(10));
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
