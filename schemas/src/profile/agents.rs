//! Rules on people and organisations: creators, publisher, contact, steward.

use super::identifier::{is_orcid, is_ror};
use super::{Findings, NOTHING, shown};
use crate::record::{Contact, Organisation, Record};

pub(super) fn check(record: &Record, findings: &mut Findings) {
    if record.creators.is_empty() {
        findings.add(
            "/creators",
            "creators.required",
            NOTHING,
            "name at least one person or organisation that made the data, a person as `Family, Given`",
        );
    }
    for (place, creator) in record.creators.iter().enumerate() {
        let pointer = format!("/creators/{place}");
        name(&creator.name, &pointer, "creators.name", findings);
        if let Some(orcid) = &creator.orcid
            && !is_orcid(orcid)
        {
            findings.add(
                format!("{pointer}/orcid"),
                "creators.orcid",
                shown(orcid),
                "copy the ORCID iD again from orcid.org (four groups of four; its check digit does not fit), or leave it out",
            );
        }
        ror(creator.ror.as_ref(), &pointer, "creators.ror", findings);
        if let Some(affiliation) = &creator.affiliation {
            organisation(
                affiliation,
                &format!("{pointer}/affiliation"),
                "creators.affiliation",
                findings,
            );
        }
    }
    match &record.publisher {
        None => findings.add(
            "/publisher",
            "publisher.required",
            NOTHING,
            "name the publisher here or under [defaults] in tarn.toml",
        ),
        Some(publisher) => organisation(publisher, "/publisher", "publisher", findings),
    }
    if let Some(facility) = &record.facility {
        organisation(facility, "/facility", "facility", findings);
    }
    match &record.contact {
        None => findings.add(
            "/contact",
            "contact.required",
            NOTHING,
            "give a name and a mail address to write to, best a role mailbox, here or under [defaults] in tarn.toml",
        ),
        Some(person) => contact(person, "/contact", "contact", findings),
    }
    match &record.steward {
        None => findings.add(
            "/steward",
            "steward.required",
            NOTHING,
            "name who looks after the record; without it the contact is taken",
        ),
        Some(person) => contact(person, "/steward", "steward", findings),
    }
}

fn name(text: &str, pointer: &str, rule: &str, findings: &mut Findings) {
    if text.trim().is_empty() {
        findings.add(
            format!("{pointer}/name"),
            rule,
            NOTHING,
            "write the name, or leave the whole entry out",
        );
    }
}

fn organisation(organisation: &Organisation, pointer: &str, rule: &str, findings: &mut Findings) {
    name(&organisation.name, pointer, &format!("{rule}.name"), findings);
    ror(organisation.ror.as_ref(), pointer, &format!("{rule}.ror"), findings);
}

pub(super) fn ror(given: Option<&String>, pointer: &str, rule: &str, findings: &mut Findings) {
    if let Some(ror) = given
        && !is_ror(ror)
    {
        findings.add(
            format!("{pointer}/ror"),
            rule,
            shown(ror),
            "copy the ROR again from ror.org (its check digits do not fit), or leave it out",
        );
    }
}

fn contact(contact: &Contact, pointer: &str, rule: &str, findings: &mut Findings) {
    name(&contact.name, pointer, &format!("{rule}.name"), findings);
    if !is_mail(&contact.email) {
        findings.add(
            format!("{pointer}/email"),
            &format!("{rule}.email"),
            shown(&contact.email),
            "write a mail address such as data@lab.gov",
        );
    }
}

/// The shape of a mail address: one `@`, something before it, a host with a dot after it.
fn is_mail(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else { return false };
    let labels_fit = host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    });
    text.len() <= 254
        && !local.is_empty()
        && local
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && !"<>()[],;:\\\"@".contains(c))
        && host.contains('.')
        && labels_fit
}

#[cfg(test)]
mod tests {
    use super::is_mail;

    #[test]
    fn mail_addresses_have_a_local_part_and_a_host() {
        for good in ["data@lab.gov", "a.b+c@x-y.example.org", "o'neil@lab.gov"] {
            assert!(is_mail(good), "{good}");
        }
        for bad in [
            "",
            "data",
            "@lab.gov",
            "data@",
            "data@lab",
            "a b@lab.gov",
            "a@b@lab.gov",
            "a@-x.gov",
            "a@x..gov",
        ] {
            assert!(!is_mail(bad), "{bad}");
        }
    }
}
