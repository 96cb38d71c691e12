//! Intervals as clients of PostgreSQL write them, in words that the engine reads.

/// `3 days, 4:05:06.5` as `3 days 4 hours 05 minutes 06.5 seconds`; the text as it is where it has no clock in it.
pub(super) fn in_words(text: &str) -> String {
    let words = text.split([' ', ',', '\t']).filter(|word| !matches!(*word, "" | "@"));
    let words: Vec<String> =
        words.map(|word| clock(word).unwrap_or_else(|| word.to_owned())).collect();
    words.join(" ")
}

/// `-4:05:06.5` in words; none for what is no clock.
fn clock(word: &str) -> Option<String> {
    let sign = if word.starts_with('-') { "-" } else { "" };
    let mut parts = word.strip_prefix(['+', '-']).unwrap_or(word).split(':');
    let (hours, minutes) = (parts.next()?, parts.next()?);
    let seconds = parts.next().unwrap_or("0");
    let whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (before, after) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let plain = whole(hours) && whole(minutes) && whole(before) && whole(after);
    (plain && parts.next().is_none())
        .then(|| format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_said_in_words_and_the_rest_stays() {
        for (text, words) in [
            ("3 days, 4:05:06.5", "3 days 4 hours 05 minutes 06.5 seconds"),
            ("1 year 2 mons -00:00:01", "1 year 2 mons -00 hours -00 minutes -01 seconds"),
            ("04:05", "04 hours 05 minutes 0 seconds"),
            ("1 day", "1 day"),
            ("a:b", "a:b"),
            ("1:2:3:4", "1:2:3:4"),
        ] {
            assert_eq!(in_words(text), words);
        }
    }
}
