//! Identifiers with check digits: ORCID iD and ROR.

/// Digits of a URL form, or the text itself.
fn without_prefix<'a>(text: &'a str, host: &str) -> &'a str {
    let text = text.trim();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.and_then(|rest| rest.strip_prefix(host))
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(text)
}

/// Whether this is an ORCID iD: four groups of four, the last character an ISO 7064 MOD 11-2 check
/// character (ORCID, "Structure of the ORCID Identifier"). With or without `https://orcid.org/`.
pub fn is_orcid(text: &str) -> bool {
    let bare = without_prefix(text, "orcid.org");
    if bare.len() != 19 || !bare.is_ascii() {
        return false;
    }
    let mut total: u32 = 0;
    for (place, character) in bare.chars().enumerate() {
        match (place, character) {
            (4 | 9 | 14, '-') => {}
            (4 | 9 | 14, _) => return false,
            (18, _) => {
                let check = (12 - total % 11) % 11;
                let given = if character == 'X' { Some(10) } else { character.to_digit(10) };
                return given == Some(check);
            }
            _ => match character.to_digit(10) {
                // At most fifteen digits, each step below 2 * (2^15 * 9): no overflow.
                Some(digit) => total = (total + digit) * 2,
                None => return false,
            },
        }
    }
    false
}

/// Whether this is a ROR: `0`, six Crockford base-32 characters, two check digits
/// (ISO 7064 MOD 97-10). With or without `https://ror.org/`.
pub fn is_ror(text: &str) -> bool {
    const CROCKFORD: &str = "0123456789abcdefghjkmnpqrstvwxyz";
    let bare = without_prefix(text, "ror.org").to_ascii_lowercase();
    if bare.len() != 9 || !bare.starts_with('0') || !bare.is_ascii() {
        return false;
    }
    let (name, check) = bare.split_at(7);
    let mut number: u64 = 0;
    for character in name.chars() {
        match CROCKFORD.find(character).and_then(|digit| u64::try_from(digit).ok()) {
            Some(digit) => number = number * 32 + digit,
            None => return false,
        }
    }
    check.bytes().all(|byte| byte.is_ascii_digit()) && check.parse() == Ok(98 - (number * 100) % 97)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orcid_ids_from_the_registry_pass_and_a_changed_digit_fails() {
        // The examples of ORCID's own documentation; the second ends in X.
        for good in
            ["0000-0002-1825-0097", "0000-0002-1694-233X", "https://orcid.org/0000-0001-5109-3700"]
        {
            assert!(is_orcid(good), "{good}");
        }
        for bad in [
            "",
            "0000-0002-1825-0098",
            "0000-0002-1852-0097",
            "0000000218250097",
            "0000-0002-1825-009x",
            "0000-0002-1825-00977",
            "https://example.org/0000-0002-1825-0097",
            "0000-0002-1825-009é",
        ] {
            assert!(!is_orcid(bad), "{bad}");
        }
    }

    #[test]
    fn rors_of_real_organisations_pass_and_a_changed_character_fails() {
        // Oak Ridge, Argonne, Lawrence Livermore, SLAC, California Digital Library.
        for good in
            ["01qz5mb56", "05gvnxz63", "041nk4h53", "https://ror.org/05gzmn429", "03yrm5c26"]
        {
            assert!(is_ror(good), "{good}");
        }
        for bad in ["", "01qz5mb57", "01qz5mb5", "11qz5mb56", "01qz5mi56", "01qz5mb5x", "0é1qz5m56"]
        {
            assert!(!is_ror(bad), "{bad}");
        }
    }
}
