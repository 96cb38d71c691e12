//! Which part of a file a request asks for (RFC 9110, sections 13 and 14).

use axum::http::{HeaderMap, header};
use std::ops::Range;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes, one at least.
    Range(Range<u64>),
    /// The caller has it.
    Known,
    /// The range begins behind its end.
    None,
}

/// What the headers of a request ask of a file with this entity tag and so many bytes. What cannot be
/// read, and more than one range, asks for the whole file.
pub(super) fn part(headers: &HeaderMap, tag: &str, bytes: u64) -> Part {
    let known =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // Weak tags compare as strong ones here (section 13.1.2).
    let has = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    if known.flat_map(|tags| tags.split(',')).map(str::trim).any(has) {
        return Part::Known;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    // A tag that is weak, another one, or a date: it is not certain that the parts are of one file.
    if headers.contains_key(header::IF_RANGE) && text(header::IF_RANGE) != Some(tag) {
        return Part::Whole;
    }
    text(header::RANGE).map_or(Part::Whole, |range| range_of(range, bytes))
}

fn range_of(text: &str, bytes: u64) -> Part {
    let unit = text.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let ends = unit.and_then(|(_, range)| range.trim().split_once('-'));
    let Some((first, last)) = ends else { return Part::Whole };
    // Only digits: a number in Rust may have a sign.
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large is behind every end.
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let (start, end) = match (first, last) {
        ("", last) if digits(last) => (bytes.saturating_sub(number(last)), bytes),
        (first, "") if digits(first) => (number(first), bytes),
        (first, last) if digits(first) && digits(last) => {
            if number(last) < number(first) {
                return Part::Whole;
            }
            (number(first), number(last).saturating_add(1).min(bytes))
        }
        _ => return Part::Whole,
    };
    if start < end { Part::Range(start..end) } else { Part::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&str, &str)], bytes: u64) -> Part {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        part(&map, "\"abc\"", bytes)
    }

    #[test]
    fn one_range_is_a_part_and_everything_else_is_the_whole() {
        for (range, part) in [
            ("bytes=0-0", Part::Range(0..1)),
            ("bytes=2-5", Part::Range(2..6)),
            ("Bytes=2-", Part::Range(2..10)),
            ("bytes=-3", Part::Range(7..10)),
            ("bytes=-30", Part::Range(0..10)),
            ("bytes=9-99999999999999999999999999", Part::Range(9..10)),
            ("bytes=10-", Part::None),
            ("bytes=10-12", Part::None),
            ("bytes=-0", Part::None),
            ("bytes=99999999999999999999999999-", Part::None),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("0-1", Part::Whole),
        ] {
            assert_eq!(asked(&[("range", range)], 10), part, "{range}");
        }
        assert_eq!(asked(&[("range", "bytes=0-")], 0), Part::None);
        assert_eq!(asked(&[], 10), Part::Whole);
    }

    #[test]
    fn tags_say_what_the_caller_has() {
        for known in ["\"abc\"", "W/\"abc\"", "*", "\"x\", \"abc\""] {
            assert_eq!(asked(&[("if-none-match", known), ("range", "bytes=0-1")], 10), Part::Known);
        }
        assert_eq!(asked(&[("if-none-match", "\"x\""), ("if-none-match", "*")], 10), Part::Known);
        assert_eq!(asked(&[("if-none-match", "abc")], 10), Part::Whole);
        let range = |tag| asked(&[("range", "bytes=0-1"), ("if-range", tag)], 10);
        assert_eq!(range("\"abc\""), Part::Range(0..2));
        for other in ["W/\"abc\"", "\"x\"", "Sun, 22 Nov 2026 00:00:00 GMT"] {
            assert_eq!(range(other), Part::Whole, "{other}");
        }
    }
}
