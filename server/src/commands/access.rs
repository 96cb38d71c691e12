//! `tarn access` and `tarn retract`

use super::user::principal;
use super::{Context, Outcome, receipts};
use crate::cli::{Access, Retract};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use tarn_catalog::{AccessRequest, IntendedUse, subject};
use tarn_schemas::{DatasetRef, Principal};

/// Asks for access, decides about it, explains it. The owner of the home does so for everybody.
pub(crate) async fn run(context: &Context, args: Access) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let (catalog, owner) = (&home.catalog, Principal::Owner);
    match args {
        Access::Request {
            dataset,
            whom,
            purpose,
            justification,
            agreement,
            data_use,
            disease,
            place,
            commercial,
            ethics_approval,
            collaboration,
            accepts,
        } => {
            let dataset: DatasetRef = dataset.parse()?;
            let ask = IntendedUse {
                purpose,
                justification,
                agreement,
                data_use,
                disease,
                place,
                commercial,
                methods_only: false,
                ethics_approval,
                collaboration,
                accepts: accepts.into_iter().collect(),
            };
            let whom = subject(&principal(&whom)?);
            let request =
                catalog.request_access(&owner, Some(whom.as_str()), &dataset, &ask).await?;
            if context.json {
                say!("{}", serde_json::json!(request));
            } else {
                say!("{}", request.id);
            }
            context.note("The committee decides: tarn access approve ID, or tarn access deny ID");
        }
        Access::Approve { request, months } => {
            let grant = catalog.approve_access(&owner, &request, months).await?;
            if context.json {
                say!("{}", serde_json::json!(grant));
            } else {
                say!("{}", grant.id);
            }
            context.note(format_args!(
                "{} may read {} until {}; end it with `tarn access revoke {}`.",
                grant.subject, grant.dataset, grant.expires_at, grant.id
            ));
        }
        Access::Deny { request, reason } => {
            catalog.deny_access(&owner, &request, &reason).await?;
            context.note("Refused.");
        }
        Access::Revoke { grant } => {
            catalog.revoke_access(&owner, &grant).await?;
            context.note("Revoked; running streams end within seconds.");
        }
        Access::List { dataset: None } => {
            say_requests(context, &catalog.access_requests(&owner).await?);
        }
        Access::List { dataset: Some(dataset) } => {
            let dataset: DatasetRef = dataset.parse()?;
            let found = catalog.dataset(&owner, &dataset).await?;
            let grants = catalog.grants(&found.name).await?;
            if context.json {
                say!("{}", serde_json::json!(grants));
                return Ok(());
            }
            let rows = grants.into_iter().map(|grant| {
                let ends = grant.revoked_at.map(|at| format!("revoked {at}"));
                let ends = ends.unwrap_or_else(|| grant.expires_at.clone());
                vec![
                    grant.id,
                    grant.subject,
                    grant.purpose,
                    grant.granted_by,
                    grant.granted_at,
                    ends,
                ]
            });
            say_part!("{}", text_table(&["grant", "who", "purpose", "by", "since", "until"], rows));
        }
        Access::Explain { dataset, whom } => {
            let dataset: DatasetRef = dataset.parse()?;
            // Without a name it is about whoever asks, and that is the owner of the home.
            let who = whom.as_deref().map_or(Ok(Principal::Owner), somebody)?;
            let decisions = catalog.explain_access(&owner, &who, &dataset).await?;
            if context.json {
                let decisions: serde_json::Map<_, _> = decisions
                    .into_iter()
                    .map(|(action, decision)| {
                        (action.as_str().to_owned(), serde_json::json!(decision))
                    })
                    .collect();
                say!("{}", serde_json::Value::Object(decisions));
                return Ok(());
            }
            let rows = decisions.into_iter().map(|(action, decision)| {
                let policies: Vec<String> = decision.policies.iter().cloned().collect();
                let allowed = if decision.allowed { "yes" } else { "no" };
                vec![
                    action.as_str().to_owned(),
                    allowed.to_owned(),
                    policies.join(", "),
                    decision.reasons.join("; "),
                ]
            });
            say_part!("{}", text_table(&["action", "allowed", "policies", "why not"], rows));
            context.note(format_args!("This is for {}.", who.label()));
        }
    }
    Ok(())
}

/// Somebody by name, or whoever comes without a token.
fn somebody(name: &str) -> Result<Principal, Failure> {
    if name == "anonymous" { Ok(Principal::Anonymous) } else { principal(name) }
}

fn say_requests(context: &Context, requests: &[AccessRequest]) {
    if context.json {
        say!("{}", serde_json::json!(requests));
        return;
    }
    let rows = requests.iter().map(|request| {
        vec![
            request.id.clone(),
            request.state.as_str().to_owned(),
            request.dataset.to_string(),
            request.subject.clone(),
            request.ask.purpose.clone(),
            request.requested_at.clone(),
            request.decided_by.clone().unwrap_or_default(),
        ]
    });
    let heads = ["request", "state", "dataset", "who", "purpose", "asked", "decided by"];
    say_part!("{}", text_table(&heads, rows));
}

/// Withdraws a dataset.
pub(crate) async fn retract(context: &Context, args: &Retract) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let dataset: DatasetRef = args.dataset.parse()?;
    let found = home.catalog.dataset(&Principal::Owner, &dataset).await?;
    let replaced_by = args.replaced_by.as_deref();
    let made =
        home.catalog.withdraw(&Principal::Owner, &found.name, &args.reason, replaced_by).await?;
    let affected = DatasetRef { lab: None, name: found.name.clone(), version: None };
    let receipts = receipts::all(&home.catalog, &Principal::Owner, Some(&affected)).await?;
    if context.json {
        say!(
            "{}",
            serde_json::json!({"dataset": found.name, "derived": made, "receipts": receipts})
        );
        return Ok(());
    }
    for name in &made {
        say!("{}.{name}", found.lab);
    }
    if !receipts.is_empty() {
        context.note(format_args!(
            "It was streamed {} times:\n{}",
            receipts.len(),
            text_table(&receipts::HEADS, receipts.iter().map(receipts::row))
        ));
    }
    context.note(format_args!(
        "{} is withdrawn: its page stays, its data are for nobody.{}",
        found.name,
        if made.is_empty() { "" } else { " What was made from it is listed above." }
    ));
    Ok(())
}
