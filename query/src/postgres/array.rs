//! Arrays of PostgreSQL as text, of one dimension.

/// What is no array of one dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoArray;

/// The elements of `{1,"a b",NULL}`; none for NULL.
pub(super) fn items(text: &str) -> Result<Vec<Option<String>>, NoArray> {
    let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inner = inner.ok_or(NoArray)?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Ok(items);
    }
    let mut letters = inner.chars().peekable();
    let mut more = true;
    while more {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let (mut item, mut in_quotes) = (String::new(), false);
        if letters.next_if_eq(&'"').is_some() {
            in_quotes = true;
            loop {
                match letters.next().ok_or(NoArray)? {
                    '"' => break,
                    '\\' => item.push(letters.next().ok_or(NoArray)?),
                    letter => item.push(letter),
                }
            }
            while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        } else {
            // Spaces at its end do not count, unless a backslash stands before them.
            let mut kept = 0;
            while let Some(letter) = letters.next_if(|letter| *letter != ',') {
                match letter {
                    '{' | '}' | '"' => return Err(NoArray),
                    '\\' => {
                        item.push(letters.next().ok_or(NoArray)?);
                        kept = item.len();
                        in_quotes = true;
                    }
                    letter => {
                        item.push(letter);
                        if !letter.is_whitespace() {
                            kept = item.len();
                        }
                    }
                }
            }
            item.truncate(kept);
            if item.is_empty() {
                return Err(NoArray);
            }
        }
        more = match letters.next() {
            None => false,
            Some(',') => true,
            Some(_) => return Err(NoArray),
        };
        let null = !in_quotes && item.eq_ignore_ascii_case("null");
        items.push((!null).then_some(item));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_those_of_postgresql() {
        let some = |items: &[&str]| Ok(items.iter().map(|item| Some((*item).to_owned())).collect());
        assert_eq!(items("{}"), Ok(vec![]));
        assert_eq!(items(" { } "), Ok(vec![]));
        assert_eq!(items("{1, 2 ,3}"), some(&["1", "2", "3"]));
        assert_eq!(items(r#"{"a b",c,"d,\"e","null"}"#), some(&["a b", "c", "d,\"e", "null"]));
        assert_eq!(items("{a b,NULL}"), Ok(vec![Some("a b".to_owned()), None]));
        assert_eq!(items(r"{a\,b}"), some(&["a,b"]));
        for wrong in ["1,2", "{1", "{{1}}", r#"{"a}"#, "{1}2}", "{1,}", "{,1}", "{a\"b}", "{a\\}"] {
            assert_eq!(items(wrong), Err(NoArray), "{wrong}");
        }
    }
}
