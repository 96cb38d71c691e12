//! Which names are one human: where two people have to agree, two logins of one are one.
//!
//! People are known by names of tokens, and by names that are made of an issuer and its subject. One human may have
//! several. They are one person here where an issuer says the same ORCID iD or the same verified mail address of
//! both, where a token has such an address as its name, or where an administrator says so (`identities`). Whoever has two accounts
//! at issuers that say nothing of the kind is two people to a node: that cannot be seen from here.

use crate::policy::subject;
use crate::{Catalog, CatalogError};
use std::collections::BTreeSet;
use tarn_connectors::oidc::{mail, orcid};
use tarn_schemas::Principal;

impl Catalog {
    /// Whether a name (`person:ann`) means this principal: by itself, as another name of the same human, or as a
    /// program whose token one of these made.
    pub(crate) async fn is_same_person(
        &self,
        who: &Principal,
        other: &str,
    ) -> Result<bool, CatalogError> {
        let own = subject(who);
        if own == other {
            return Ok(true);
        }
        if *who == Principal::Owner {
            return Ok(false);
        }
        let names = self.names_of(own).await?;
        Ok(names.contains(other) || !self.makers(other).await?.is_disjoint(&names))
    }

    /// All names of the human who has this one, and what else tells who it is.
    async fn names_of(&self, own: String) -> Result<BTreeSet<String>, CatalogError> {
        let mut people: Vec<BTreeSet<String>> = Vec::new();
        let mut known = |subject: String, identities: BTreeSet<String>| {
            let mut marks = identities;
            marks.extend(address(&subject));
            marks.insert(subject);
            people.push(marks);
        };
        for (subject, attributes) in self.attributed_people().await? {
            known(subject, attributes.identities);
        }
        for login in self.logins().await? {
            known(format!("person:{}", login.name), login.attributes.identities);
        }
        let mut marks: BTreeSet<String> = address(&own).into_iter().collect();
        marks.insert(own);
        // Each turn takes in somebody, or ends.
        loop {
            let before = people.len();
            people.retain(|person| {
                let same = !person.is_disjoint(&marks);
                if same {
                    marks.extend(person.iter().cloned());
                }
                !same
            });
            if people.len() == before {
                return Ok(marks);
            }
        }
    }
}

/// The mail address that a name of a token is.
fn address(subject: &str) -> Option<String> {
    subject.strip_prefix("person:").and_then(mail)
}

/// What tells who somebody is, in one way; none for what does not.
pub(crate) fn identity(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix("mailto:") {
        return mail(address);
    }
    if text.starts_with("orcid:") || text.contains("orcid.org/") {
        return orcid(text.trim_start_matches("orcid:"));
    }
    crate::people::check_subject(text).is_ok().then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_written_in_one_way() {
        for (text, expected) in [
            ("https://orcid.org/0000-0002-1694-233x", Some("orcid:0000-0002-1694-233X")),
            ("orcid:0000-0002-1694-233X", Some("orcid:0000-0002-1694-233X")),
            ("mailto:Ann@Lab.gov", Some("mailto:ann@lab.gov")),
            ("person:login:ab", Some("person:login:ab")),
            ("visitor:anl:bob", Some("visitor:anl:bob")),
            ("orcid:ann", None),
            ("mailto:ann", None),
            ("ann", None),
        ] {
            assert_eq!(identity(text).as_deref(), expected, "{text}");
        }
        assert_eq!(address("person:Ann@lab.gov").as_deref(), Some("mailto:ann@lab.gov"));
        assert_eq!(address("person:ann"), None);
    }
}
