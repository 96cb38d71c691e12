//! Characters that nobody sees in a text that people read, compare and type: what they see would not be
//! what it says.

use std::fmt;

/// The first such character of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen {
    /// The character.
    pub character: char,
    /// Its place in the text, in characters from 1.
    pub place: usize,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = kind(self.character).unwrap_or("an invisible character");
        write!(f, "U+{:04X} ({kind}) at character {}", u32::from(self.character), self.place)
    }
}

/// The first character of a name, title or identifier that is not seen: controls, characters of no width,
/// those that turn the direction of text around, tags.
///
/// Joiners between letters of scripts that write with them (Persian, Hindi, …) are spelling, and one
/// variation selector behind a character chooses its shape.
pub fn unseen(text: &str) -> Option<Unseen> {
    let mut before = None;
    let mut characters = text.chars().enumerate().peekable();
    while let Some((at, character)) = characters.next() {
        let after = characters.peek().map(|(_, next)| *next);
        let spelled = match character {
            '\u{200c}' | '\u{200d}' => {
                before.is_some_and(is_joined) && after.is_some_and(is_joined)
            }
            selector if is_selector(selector) => {
                before.is_some_and(|before| !is_selector(before) && kind(before).is_none())
            }
            _ => false,
        };
        if !spelled && kind(character).is_some() {
            return Some(Unseen { character, place: at.saturating_add(1) });
        }
        before = Some(character);
    }
    None
}

/// The first character that commands a terminal or a reader: controls, direction, tags. For prose, which
/// may hold what a word processor leaves in it.
pub fn commanding(text: &str) -> Option<Unseen> {
    let commands = |character: &char| {
        matches!(
            kind(*character),
            Some("a control character" | "a mark of direction" | "a tag character")
        ) && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{61c}')
    };
    let found = text.chars().enumerate().find(|(_, character)| commands(character));
    found.map(|(at, character)| Unseen { character, place: at.saturating_add(1) })
}

/// What an unseen character is; none of one that is seen.
fn kind(character: char) -> Option<&'static str> {
    Some(match character {
        '\n' | '\r' | '\t' => return None,
        other if other.is_control() => "a control character",
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a mark of direction"
        }
        '\u{200b}' => "a space of no width",
        '\u{200c}' | '\u{200d}' => "a joiner of no width",
        '\u{feff}' => "a byte order mark",
        '\u{ad}' => "a soft hyphen",
        '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' => "a tag character",
        selector if is_selector(selector) => "a variation selector without a character",
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180e}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' => "an invisible character",
        _ => return None,
    })
}

fn is_selector(character: char) -> bool {
    matches!(
        character,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Letters and marks of Arabic, Syriac, the scripts of India and their neighbours, Mongolian.
fn is_joined(character: char) -> bool {
    matches!(character, '\u{620}'..='\u{fff}' | '\u{1780}'..='\u{18aa}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_named_with_its_place() {
        for (text, told) in [
            ("sea\u{200b}ice", "U+200B (a space of no width) at character 4"),
            ("\u{202e}txt.exe", "U+202E (a mark of direction) at character 1"),
            ("flag\u{e0067}", "U+E0067 (a tag character) at character 5"),
            ("a\u{7}", "U+0007 (a control character) at character 2"),
            ("a\u{200d}b", "U+200D (a joiner of no width) at character 2"),
            ("\u{feff}a", "U+FEFF (a byte order mark) at character 1"),
            (
                "a\u{fe01}\u{fe02}",
                "U+FE02 (a variation selector without a character) at character 3",
            ),
        ] {
            assert_eq!(unseen(text).unwrap().to_string(), told);
        }
        for text in
            ["Sea ice, 1854–2020", "می‌خواهم", "क्‍ष", "葛\u{e0100}", "☀\u{fe0f}", "a\nb", "日本"]
        {
            assert_eq!(unseen(text), None, "{text}");
        }
    }

    #[test]
    fn prose_may_hold_what_commands_nothing() {
        assert_eq!(commanding("soft\u{ad}hyphen \u{200b} and \u{200f}mark"), None);
        for text in ["a\u{202e}b", "a\u{e0041}", "a\u{1b}[31m", "\u{2066}"] {
            assert!(commanding(text).is_some(), "{text:?}");
        }
    }
}
