//! People and organisations.

use super::*;

#[test]
fn creators_have_names_and_right_check_digits() {
    breaks("/creators", "creators.required", |r, _| r.creators.clear());
    breaks("/creators/1/name", "creators.name", |r, _| r.creators[1].name = " ".to_owned());
    breaks("/creators/0/orcid", "creators.orcid", |r, _| {
        r.creators[0].orcid = Some("0000-0002-1825-0098".to_owned());
    });
    breaks("/creators/1/ror", "creators.ror", |r, _| {
        r.creators[1].ror = Some("05gvnxz64".to_owned());
    });
    breaks("/creators/0/affiliation/ror", "creators.affiliation.ror", |r, _| {
        r.creators[0].affiliation.as_mut().unwrap().ror = Some("x".to_owned());
    });
    passes(|r, _| {
        r.creators[0].orcid = None;
        r.creators[0].affiliation = None;
    });
}

#[test]
fn publisher_contact_and_steward_are_named() {
    breaks("/publisher", "publisher.required", |r, _| r.publisher = None);
    breaks("/publisher/name", "publisher.name", |r, _| {
        r.publisher.as_mut().unwrap().name = String::new();
    });
    breaks("/publisher/ror", "publisher.ror", |r, _| {
        r.publisher.as_mut().unwrap().ror = Some("01qz5mb55".to_owned());
    });
    breaks("/contact", "contact.required", |r, _| r.contact = None);
    breaks("/contact/email", "contact.email", |r, _| {
        r.contact.as_mut().unwrap().email = "desk".to_owned();
    });
    breaks("/steward", "steward.required", |r, _| r.steward = None);
    breaks("/steward/email", "steward.email", |r, _| {
        r.steward.as_mut().unwrap().email = "desk@".to_owned();
    });
}
