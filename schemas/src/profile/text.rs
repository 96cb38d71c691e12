//! Text that people read: what can be seen of it.

use super::{Findings, shown};
use crate::record::Record;
use crate::unseen::{commanding, unseen};
use serde_json::Value;

/// Characters that can be seen, with every run of blanks as one.
pub(super) fn visible(text: &str) -> usize {
    let seen = |word: &str| word.chars().filter(|c| !is_invisible(*c)).count();
    let words = text.split_whitespace().map(seen).filter(|length| *length > 0);
    let (letters, words) = words.fold((0_usize, 0_usize), |(letters, words), length| {
        (letters.saturating_add(length), words.saturating_add(1))
    });
    letters.saturating_add(words.saturating_sub(1))
}

/// Characters without a shape (Unicode `Default_Ignorable_Code_Point`, and blanks that are none by
/// name).
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Fields that are prose: what a word processor leaves in them does no harm.
const PROSE: [&str; 4] =
    ["/description", "/version_notes", "/embargo/reason", "/provenance/activity"];

/// Schemes of addresses that run what they hold.
const RUNNING: [&str; 2] = ["javascript", "vbscript"];

/// Refuses characters that nobody sees, and in prose those that command a terminal or turn the direction
/// of text around: what people see would not be what the record says. Names of files and columns are
/// not text.
pub(super) fn check(record: &Record, findings: &mut Findings) {
    let Ok(Value::Object(fields)) = serde_json::to_value(record) else { return };
    for (name, value) in &fields {
        if name != "files" && name != "tables" {
            walk(&format!("/{name}"), value, findings);
        }
    }
}

fn walk(pointer: &str, value: &Value, findings: &mut Findings) {
    match value {
        Value::String(text) => {
            let found = if PROSE.contains(&pointer) { commanding(text) } else { unseen(text) };
            if let Some(character) = found {
                let fix = format!("take out {character}: only what can be read belongs there");
                findings.add(pointer, "text.characters", shown(text), fix);
            }
            if is_program(text) {
                let fix = "take it out: this is a program, and neither a text nor an address";
                findings.add(pointer, "text.program", shown(text), fix);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                walk(&format!("{pointer}/{place}"), item, findings);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                walk(&format!("{pointer}/{name}"), field, findings);
            }
        }
        _ => {}
    }
}

/// Whether a text is an address that a browser runs. With a blank in it, as in a title on JavaScript, it
/// is none.
fn is_program(text: &str) -> bool {
    let Some((scheme, rest)) = text.trim_start().split_once(':') else { return false };
    RUNNING.iter().any(|running| scheme.eq_ignore_ascii_case(running))
        && rest.starts_with(|next: char| !next.is_whitespace())
}
