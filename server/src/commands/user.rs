//! `tarn user`

use super::{Context, Outcome};
use crate::cli::User;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use tarn_catalog::{KnownPerson, PersonAttributes};
use tarn_schemas::{ErrorCode, LabName, Principal, Scope};

/// Says, lists and forgets what is known of people.
pub(crate) async fn run(context: &Context, args: User) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    match args {
        User::Create {
            name,
            groups,
            assurance,
            clearances,
            training,
            affiliations,
            countries,
            us_person,
            terms,
            identities,
        } => {
            let subject = tarn_catalog::subject(&principal(&name)?);
            let attributes = PersonAttributes {
                groups: groups.into_iter().collect(),
                assurance,
                clearances: clearances.into_iter().collect(),
                training: training.into_iter().collect(),
                affiliations: affiliations.into_iter().collect(),
                countries: countries.into_iter().collect(),
                us_person,
                terms: terms.into_iter().collect(),
                identities: identities.into_iter().collect(),
            };
            let attributes =
                home.catalog.put_person(&Principal::Owner, &subject, &attributes).await?;
            if context.json {
                say!("{}", serde_json::json!({"subject": subject, "attributes": attributes}));
            }
            context.note(format_args!(
                "{name} is known. A token in their name lets them in: tarn token create --name {name}"
            ));
        }
        User::List => {
            let people = home.catalog.people(&Principal::Owner).await?;
            if context.json {
                say!("{}", serde_json::json!(people));
                return Ok(());
            }
            let list = |values: &std::collections::BTreeSet<String>| {
                values.iter().cloned().collect::<Vec<_>>().join(", ")
            };
            let rows = people.iter().map(|KnownPerson { subject, attributes: person, login }| {
                let told = login.as_ref().map(|login| login.attributes.clone()).unwrap_or_default();
                vec![
                    subject.clone(),
                    login.as_ref().map(|login| login.called.clone()).unwrap_or_default(),
                    list(&person.groups.union(&told.groups).cloned().collect()),
                    person.assurance.clone().or(told.assurance).unwrap_or_default(),
                    list(&person.clearances),
                    list(&person.countries),
                    if person.us_person { "yes" } else { "" }.to_owned(),
                    login.as_ref().map(|login| login.issuer.clone()).unwrap_or_default(),
                ]
            });
            let heads = [
                "who",
                "called",
                "groups",
                "assurance",
                "clearances",
                "countries",
                "US person",
                "issuer",
            ];
            say_part!("{}", text_table(&heads, rows));
        }
        User::Invite => {
            let token = home.catalog.invite_administrator(&Principal::Owner).await?;
            if context.json {
                say!("{}", serde_json::json!({"administrator_token": token}));
            } else {
                say!("{token}");
            }
            context.note(
                "Whoever logs in and shows it within seven days becomes an administrator: \
                 tarn login --administrator -",
            );
        }
        User::Revoke { name } => {
            let subject = tarn_catalog::subject(&principal(&name)?);
            if !home.catalog.remove_person(&Principal::Owner, &subject).await? {
                return Err(Failure::new(
                    ErrorCode::NotFound,
                    format!("nothing is known of {name}; see `tarn user list`"),
                )
                .into());
            }
            if name.starts_with("login:") {
                context.note(format_args!(
                    "{name} is locked out: whatever their issuer said until now counts no more. What it \
                     says from two minutes on does, so disable them there too; grants stay until \
                     `tarn access revoke`."
                ));
                return Ok(());
            }
            context.note(format_args!(
                "{name} is of no group and cleared for nothing now; tokens in their name stay valid \
                 until `tarn token revoke {name}`, and grants until `tarn access revoke`."
            ));
        }
    }
    Ok(())
}

/// The person that a name on the command line means: `ann` of this lab, `bob@anl` of a peer.
pub(crate) fn principal(name: &str) -> Result<Principal, Failure> {
    match name.rsplit_once('@') {
        // A mail address is a name of this lab: no lab has a dot in its name.
        Some((person, lab)) if !lab.contains('.') => {
            Ok(Principal::Visitor { lab: LabName::new(lab)?, name: Some(person.to_owned()) })
        }
        _ => Ok(Principal::person(name, Scope::Read)),
    }
}
