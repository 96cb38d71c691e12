//! Text of others on its way to a terminal.

/// Whether a terminal, or whoever lays out text, obeys a character instead of showing it: control
/// characters, and those that turn the direction of what follows.
pub fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// A text in one line in which nothing is obeyed: each such character is replaced by U+FFFD, line
/// breaks and tabs by spaces.
pub fn harmless(text: &str) -> String {
    let plain = |character| match character {
        '\n' | '\r' | '\t' => ' ',
        obeyed if is_obeyed(obeyed) => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_obeyed_and_words_of_every_language_stay() {
        assert_eq!(
            harmless("a\u{1b}[2J\u{7}b\u{202e}c\u{9b}d"),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}d"
        );
        assert_eq!(harmless("one\r\n\ttwo"), "one   two");
        for word in ["Käthe", "שלום", "مرحبا", "東京", "👩\u{200d}🔬"] {
            assert_eq!(harmless(word), word);
        }
    }
}
