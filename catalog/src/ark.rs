//! Archival Resource Keys: minted here, opaque, with a check character, never used twice.

use rand::Rng;

/// The letters and digits of NOID names: no vowels (no words by accident), no `l`. 29, a prime.
const ALPHABET: &[u8; 29] = b"0123456789bcdfghjkmnpqrstvwxz";

/// Characters before the check character: 29^10 names.
const LENGTH: usize = 10;

/// Number for tests (NAAN registry: "99999").
pub(crate) const TEST_NAAN: &str = "99999";

/// A new random ARK, `ark:/NAAN/name`. That it is new is for the database to say.
pub(crate) fn mint(naan: &str) -> String {
    let mut random = rand::rng();
    let mut name = format!("{naan}/");
    for _ in 0..LENGTH {
        let place = random.random_range(0..ALPHABET.len());
        name.extend(ALPHABET.get(place).map(|&byte| char::from(byte)));
    }
    let check = check_character(&name);
    format!("ark:/{name}{check}")
}

/// The check character of `NAAN/name` by the NOID check digit algorithm: the sum of each
/// character's place (from 1) times its value (0 outside the alphabet), modulo 29.
fn check_character(name: &str) -> char {
    let mut sum: usize = 0;
    for (place, byte) in (1_usize..).zip(name.bytes()) {
        let value = ALPHABET.iter().position(|&known| known == byte).unwrap_or(0);
        sum = (sum + (place % ALPHABET.len()) * value) % ALPHABET.len();
    }
    ALPHABET.get(sum).map_or('0', |&byte| char::from(byte))
}

/// Whether a text is an ARK whose check character fits, as it is written here. `ark:NAAN/name` is the same as
/// `ark:/NAAN/name`, in either case of the label; hyphens, and a slash at the end, mean nothing (the ARK
/// specification, "Normalization and lexical equivalence").
pub fn parse(text: &str) -> Option<String> {
    let (label, name) = text.split_once(':')?;
    if !label.eq_ignore_ascii_case("ark") {
        return None;
    }
    let name = name.trim_start_matches('/').trim_end_matches('/').replace('-', "");
    let (body, check) = name.split_at_checked(name.len().checked_sub(1)?)?;
    (name.len() <= 100 && body.contains('/') && check.chars().eq([check_character(body)]))
        .then(|| format!("ark:/{name}"))
}

/// Whether this may be a Name Assigning Authority Number: five or more of the same characters.
pub(crate) fn is_naan(text: &str) -> bool {
    (5..=16).contains(&text.len()) && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_character_is_that_of_noid() {
        // From the manual of NOID: 13030/xf93gt2 has the check character q.
        assert_eq!(check_character("13030/xf93gt2"), 'q');
        for same in ["ark:13030/xf93gt2q", "ARK:/13030/xf9-3gt-2q", "ark:/13030/xf93gt2q/"] {
            assert_eq!(parse(same).as_deref(), Some("ark:/13030/xf93gt2q"), "{same}");
        }
    }

    #[test]
    fn minted_arks_parse_and_one_changed_or_swapped_character_does_not() {
        for _ in 0..50 {
            let ark = mint(TEST_NAAN);
            assert!(ark.starts_with("ark:/99999/") && ark.len() == 22, "{ark}");
            assert_eq!(parse(&ark), Some(ark.clone()));
            let bytes = ark.as_bytes();
            for place in 11..ark.len() {
                let mut wrong = bytes.to_vec();
                wrong[place] = if wrong[place] == b'b' { b'c' } else { b'b' };
                assert_eq!(parse(std::str::from_utf8(&wrong).unwrap()), None);
            }
            for place in 11..ark.len() - 2 {
                let mut swapped = bytes.to_vec();
                swapped.swap(place, place + 1);
                if swapped != bytes {
                    assert_eq!(parse(std::str::from_utf8(&swapped).unwrap()), None);
                }
            }
        }
        for bad in ["", "ark:", "ark:/", "ark:/99999/", "99999/x", "ark:/99999/é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
