//! To which search a cursor belongs.
//!
//! What is given out over HTTP begins with a fingerprint of the search and of who asked it: a place in one answer is
//! none in another, and going on there would leave hits out and nobody would notice. Labs among themselves send the
//! bare place, within one search.

use super::Cursor;
use crate::CatalogError;
use crate::audit::hexadecimal;
use crate::model::SearchRequest;
use crate::policy::subject;
use ring::digest::{SHA256, digest};
use tarn_schemas::Principal;

/// Bytes of a fingerprint. It keeps mistakes out, and no attacker: policies hold for every page anyway.
const BYTES: usize = 8;

impl SearchRequest {
    /// The cursor of the next page as it is given to who asked.
    pub fn seal(&self, who: &Principal, next: &str) -> String {
        format!("{}.{next}", self.fingerprint(who))
    }

    /// The same request with the bare cursor of one that [`SearchRequest::seal`] made.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] for what is no cursor, or that of another search or person.
    pub fn opened(mut self, who: &Principal) -> Result<Self, CatalogError> {
        let Some(sealed) = self.cursor.take() else { return Ok(self) };
        let parts =
            sealed.split_once('.').filter(|(mark, _)| mark.len() == BYTES.saturating_mul(2));
        let parts = parts.filter(|(_, place)| place.parse::<Cursor>().is_ok());
        let (mark, place) = parts.ok_or_else(|| {
            CatalogError::Argument(format!(
                "{sealed:?} is no cursor: take `next` of the page before"
            ))
        })?;
        if mark != self.fingerprint(who) {
            return Err(CatalogError::Argument(
                "this cursor is of another search: it goes on with the text, the filters and the person that it was \
                 given out for. Ask for the first page of this search, without a cursor, and go on with its `next`"
                    .to_owned(),
            ));
        }
        self.cursor = Some(place.to_owned());
        Ok(self)
    }

    /// What makes this search another one: its words, its filters in whichever order, and who asks. How many hits a
    /// page has and which facets are counted may change from page to page.
    fn fingerprint(&self, who: &Principal) -> String {
        let mut filters: Vec<&(String, String)> = self.filters.iter().collect();
        filters.sort_unstable();
        filters.dedup();
        let (mut whole, asker) = (Vec::new(), subject(who));
        let texts = filters.iter().flat_map(|(key, value)| [key.as_str(), value]);
        for text in [asker.as_str(), self.text.trim()].into_iter().chain(texts) {
            // Nothing that one text says could be said by two.
            whole.extend(text.len().to_be_bytes());
            whole.extend(text.as_bytes());
        }
        let digest = digest(&SHA256, &whole);
        hexadecimal(digest.as_ref().get(..BYTES).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_schemas::Scope;

    #[test]
    fn a_cursor_belongs_to_the_search_and_the_person_it_was_given_to() {
        let filter = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let search = SearchRequest {
            text: "gulf".to_owned(),
            filters: vec![filter("tier", "public"), filter("lab", "ornl")],
            ..SearchRequest::default()
        };
        let (ann, place) = (Principal::person("ann", Scope::Read), "40200000.ornl.a");
        let next = Some(search.seal(&ann, place));
        let on = |request: SearchRequest, who: &Principal| {
            SearchRequest { cursor: next.clone(), ..request }.opened(who)
        };
        let turned = vec![filter("lab", "ornl"), filter("tier", "public")];
        for same in [
            search.clone(),
            SearchRequest { filters: turned, ..search.clone() },
            SearchRequest { limit: 3, facets: vec!["tier".to_owned()], ..search.clone() },
        ] {
            assert_eq!(on(same, &ann).unwrap().cursor.as_deref(), Some(place));
        }
        for (other, who) in [
            (SearchRequest { text: "stream".to_owned(), ..search.clone() }, &ann),
            (SearchRequest { filters: vec![filter("tier", "public")], ..search.clone() }, &ann),
            (SearchRequest::default(), &ann),
            (search.clone(), &Principal::person("bob", Scope::Read)),
            (search.clone(), &Principal::Anonymous),
        ] {
            let error = on(other, who).unwrap_err().to_string();
            assert!(error.contains("without a cursor"), "{error}");
        }
        for wrong in ["", "x", place, "0123456789abcdef.x", "0123456789abcdef"] {
            let request = SearchRequest { cursor: Some(wrong.to_owned()), ..search.clone() };
            assert!(request.opened(&ann).unwrap_err().to_string().contains("no cursor"), "{wrong}");
        }
        // Where one text ends and the next begins counts.
        let one = SearchRequest { filters: vec![filter("lab", "ab")], ..SearchRequest::default() };
        let other =
            SearchRequest { filters: vec![filter("laba", "b")], ..SearchRequest::default() };
        assert_ne!(one.seal(&ann, place), other.seal(&ann, place));
    }
}
