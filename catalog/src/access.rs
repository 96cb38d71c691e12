//! Requests for access: asked by a person, decided by the dataset's committee, ended by the clock.

use crate::audit::{Act, Said};
use crate::data_use::{IntendedUse, fits, longest_grant};
use crate::datasets::no_dataset;
use crate::decision::{Action, may_be_kept_for, may_decide_here};
use crate::lineage::passed_on;
use crate::model::{AccessRequest, Dataset, Grant, RequestState};
use crate::people::{check_subject, granted, insert_grant};
use crate::policy::{Rights, subject};
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError, Decision};
use chrono::{Months, Utc};
use sqlx::any::AnyRow;
use tarn_schemas::{DatasetName, DatasetRef, Principal, Tier};

/// Longest text of a request.
const LONGEST: usize = 4000;
/// Most open requests of one person.
const MOST_OPEN: usize = 100;

impl Catalog {
    /// Asks for access to a dataset, by its name. `whom` is for whom, where the owner asks for
    /// somebody (`person:ann`, `visitor:anl:bob`).
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] for what does not exist or takes no requests from this person
    /// because they may not know of it; [`CatalogError::Argument`] for a purpose or a use that the
    /// dataset does not allow, or another agreement than the dataset's.
    pub async fn request_access(
        &self,
        who: &Principal,
        whom: Option<&str>,
        dataset: &DatasetRef,
        ask: &IntendedUse,
    ) -> Result<AccessRequest, CatalogError> {
        may_be_kept_for(who)?;
        self.check_person(who).await?;
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let subject = match (whom, who) {
            (Some(whom), Principal::Owner) => whom.to_owned(),
            (Some(_), _) => {
                return Err(CatalogError::Denied("you may ask for yourself only".to_owned()));
            }
            (None, _) => subject(who),
        };
        if *who == Principal::Owner || who.is_signed_in() {
            check_subject(&subject)?;
        }
        let mut write = database.write().await?;
        let found = self
            .load(&mut write.transaction, &dataset.name, None)
            .await?
            .map(|stored| stored.dataset)
            .filter(|_| dataset.lab.as_ref().is_none_or(|lab| lab == self.lab()))
            .ok_or_else(|| no_dataset(&dataset.to_string()))?;
        if let Some(reason) = self.decide_as(&rights, Action::Request, &found)?.refusal() {
            // Who may not know of it hears what they hear of what does not exist.
            let known = self.decide_as(&rights, Action::Discover, &found)?.allowed;
            return Err(if known {
                CatalogError::Denied(reason)
            } else {
                no_dataset(&dataset.to_string())
            });
        }
        check_ask(&found, ask)?;
        let open =
            sqlx::query("SELECT * FROM access_request WHERE subject = $1 AND state = 'open'")
                .bind(&subject)
                .fetch_all(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
        let number = open.len();
        for row in open {
            let earlier = self.request_from_row(&row)?;
            if earlier.dataset != found.name {
                continue;
            }
            if earlier.ask.agreement == ask.agreement {
                return Err(CatalogError::Conflict(format!(
                    "there is an open request for {dataset} already: wait for the committee"
                )));
            }
            // Nobody can approve it any more: its agreement is another by now.
            let reason = "the agreement has changed, and access was asked for anew";
            let said = self.of_request(Act::DenyAccess, who, &earlier).with("reason", reason);
            let reason = Some(reason.to_owned());
            self.close_request(&mut write, who, &earlier, RequestState::Denied, reason).await?;
            write.note(said).await?;
        }
        if number >= MOST_OPEN {
            return Err(CatalogError::Conflict(format!(
                "there are {number} open requests of yours: wait until some are decided"
            )));
        }
        let request = AccessRequest {
            id: uuid::Uuid::now_v7().to_string(),
            dataset: found.name,
            subject,
            ask: ask.clone(),
            state: RequestState::Open,
            requested_at: timestamp(Utc::now()),
            decided_at: None,
            decided_by: None,
            reason: None,
            grant: None,
        };
        self.insert_request(&mut write, &request).await?;
        let said = self.of_request(Act::RequestAccess, who, &request);
        write.note(said.with("purpose", request.ask.purpose.as_str())).await?;
        write.commit().await?;
        Ok(request)
    }

    /// Requests that a principal may see, newest first: their own, and those for datasets whose
    /// access they decide about.
    pub async fn access_requests(
        &self,
        who: &Principal,
    ) -> Result<Vec<AccessRequest>, CatalogError> {
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        if !who.is_signed_in() {
            return Ok(Vec::new());
        }
        let own = subject(who);
        let mut read = database.read().await?;
        let rows = sqlx::query("SELECT * FROM access_request ORDER BY requested_at DESC, id")
            .fetch_all(&mut *read)
            .await
            .map_err(|error| database.error(&error))?;
        let mut seen = Vec::new();
        for row in &rows {
            let request = self.request_from_row(row)?;
            if request.subject == own {
                seen.push(request);
                continue;
            }
            let of = self.load(&mut read, &request.dataset, None).await?;
            if let Some(of) = of
                && self.decide_as(&rights, Action::Review, &of.dataset)?.allowed
            {
                seen.push(request);
            }
        }
        Ok(seen)
    }

    /// Grants access as it was asked for, for at most as many months as the agreement allows.
    /// Returns the grant.
    pub async fn approve_access(
        &self,
        who: &Principal,
        request: &str,
        months: Option<u32>,
    ) -> Result<Grant, CatalogError> {
        may_decide_here(who)?;
        self.check_person(who).await?;
        let rights = self.rights(who).await?;
        let mut write = self.inner.database.write().await?;
        let (mut request, dataset) = self.open_request(&rights, &mut write, request).await?;
        self.check_no_program(&request.subject).await?;
        if dataset.withdrawn.is_some() {
            return Err(CatalogError::Conflict(format!(
                "{} was withdrawn, and its data are for nobody: refuse the request",
                request.dataset
            )));
        }
        let agreement = dataset.record.agreement.as_ref().ok_or_else(|| {
            CatalogError::Conflict(format!("{} has no agreement any more", request.dataset))
        })?;
        if agreement.sha256 != request.ask.agreement {
            return Err(CatalogError::Conflict(format!(
                "the agreement of {} has changed since: the request has to be made anew",
                request.dataset
            )));
        }
        // What was asked for has to be within what the data may be used for now.
        let uses = passed_on(&dataset).data_use;
        for allowed in &uses {
            fits(allowed, &request.ask)
                .map_err(|why| CatalogError::Conflict(format!("{}: {why}", request.dataset)))?;
        }
        let longest = longest_grant(agreement.months, &uses);
        let months = months.unwrap_or(longest);
        if months == 0 || months > longest {
            return Err(CatalogError::Argument(format!(
                "a grant for {} is for 1 to {longest} months, by its agreement and data use",
                request.dataset
            )));
        }
        let now = Utc::now();
        let ends = now
            .checked_add_months(Months::new(months))
            .ok_or_else(|| CatalogError::Argument("the grant would never end".to_owned()))?;
        let grant = Grant {
            id: uuid::Uuid::now_v7().to_string(),
            dataset: request.dataset.clone(),
            subject: request.subject.clone(),
            purpose: request.ask.purpose.clone(),
            agreement: request.ask.agreement.clone(),
            granted_by: subject(who),
            granted_at: timestamp(now),
            expires_at: timestamp(ends),
            revoked_at: None,
        };
        // The newest decision counts, and no other stands beside it.
        self.end_grants(&mut write, &grant.dataset, &grant.subject).await?;
        insert_grant(&self.inner.database, &mut write, &grant).await?;
        request.grant = Some(grant.id.clone());
        self.close_request(&mut write, who, &request, RequestState::Approved, None).await?;
        write.note(granted(self.lab(), &grant).with("request", request.id.as_str())).await?;
        write.commit().await?;
        Ok(grant)
    }

    /// Refuses a request, with a reason that the person reads.
    pub async fn deny_access(
        &self,
        who: &Principal,
        request: &str,
        reason: &str,
    ) -> Result<(), CatalogError> {
        check_text("a reason", reason)?;
        may_decide_here(who)?;
        self.check_person(who).await?;
        let rights = self.rights(who).await?;
        let mut write = self.inner.database.write().await?;
        let (request, _) = self.open_request(&rights, &mut write, request).await?;
        let said = self.of_request(Act::DenyAccess, who, &request).with("reason", reason);
        let reason = Some(reason.to_owned());
        self.close_request(&mut write, who, &request, RequestState::Denied, reason).await?;
        write.note(said).await?;
        write.commit().await
    }

    /// Ends a grant at once. Running streams end with it.
    pub async fn revoke_access(&self, who: &Principal, grant: &str) -> Result<(), CatalogError> {
        may_decide_here(who)?;
        self.check_person(who).await?;
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let unknown = || CatalogError::NotFound {
            kind: "grant",
            name: grant.to_owned(),
            hint: "; `tarn access list` shows them".to_owned(),
        };
        let mut write = database.write().await?;
        let row =
            sqlx::query("SELECT dataset, subject, revoked_at FROM access_grant WHERE id = $1")
                .bind(grant)
                .fetch_optional(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?
                .ok_or_else(unknown)?;
        let name = database.dataset_name(&database.text(&row, "dataset")?)?;
        let dataset =
            self.load(&mut write.transaction, &name, None).await?.ok_or_else(unknown)?.dataset;
        if !self.decide_as(&rights, Action::Review, &dataset)?.allowed {
            return Err(unknown());
        }
        if database.optional_text(&row, "revoked_at")?.is_some() {
            return Err(CatalogError::Conflict(format!("the grant {grant} ended before")));
        }
        // Whoever is to read no more reads no more, by whichever grant.
        self.end_grants(&mut write, &name, &database.text(&row, "subject")?).await?;
        let said = Said::new(Act::RevokeAccess, subject(who));
        write.note(said.on(format!("{}.{name}", self.lab())).with("grant", grant)).await?;
        write.commit().await
    }

    /// Ends all grants of somebody for a dataset.
    async fn end_grants(
        &self,
        write: &mut Write<'_>,
        dataset: &DatasetName,
        subject: &str,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE access_grant SET revoked_at = $3
             WHERE dataset = $1 AND subject = $2 AND revoked_at IS NULL",
        )
        .bind(dataset.as_str())
        .bind(subject)
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| self.inner.database.error(&error))
    }

    /// What somebody may do with a dataset, and why not: for each action the decision. `asker` may be
    /// the owner, who asks for another.
    pub async fn explain_access(
        &self,
        asker: &Principal,
        who: &Principal,
        dataset: &DatasetRef,
    ) -> Result<Vec<(Action, Decision)>, CatalogError> {
        // What the asker may not know of is not explained.
        let found = self.dataset(asker, dataset).await?;
        let rights = self.rights(who).await?;
        Action::ALL
            .iter()
            .map(|action| Ok((*action, self.decide_as(&rights, *action, &found)?)))
            .collect()
    }

    /// What is said of a request.
    fn of_request(&self, act: Act, who: &Principal, request: &AccessRequest) -> Said {
        Said::new(act, subject(who))
            .on(format!("{}.{}", self.lab(), request.dataset))
            .with("who", request.subject.as_str())
            .with("request", request.id.as_str())
    }

    /// An open request that a principal may decide about, with its dataset. Nobody decides about
    /// their own.
    async fn open_request(
        &self,
        rights: &Rights,
        write: &mut Write<'_>,
        id: &str,
    ) -> Result<(AccessRequest, Dataset), CatalogError> {
        let database = &self.inner.database;
        let unknown = || CatalogError::NotFound {
            kind: "request",
            name: id.to_owned(),
            hint: "; `tarn access list` shows them".to_owned(),
        };
        let row = sqlx::query("SELECT * FROM access_request WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?
            .ok_or_else(unknown)?;
        let request = self.request_from_row(&row)?;
        let dataset = self
            .load(&mut write.transaction, &request.dataset, None)
            .await?
            .ok_or_else(unknown)?
            .dataset;
        if !self.decide_as(rights, Action::Review, &dataset)?.allowed {
            return Err(unknown());
        }
        if self.is_same_person(&rights.who, &request.subject).await? {
            return Err(CatalogError::Denied(
                "nobody decides about their own request, under whichever of their names: another member of the \
                 committee does"
                    .to_owned(),
            ));
        }
        if request.state != RequestState::Open {
            return Err(CatalogError::Conflict(format!(
                "the request {id} was decided before, by {}",
                request.decided_by.unwrap_or_default()
            )));
        }
        Ok((request, dataset))
    }

    async fn insert_request(
        &self,
        write: &mut Write<'_>,
        request: &AccessRequest,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let intended = serde_json::to_string(&request.ask)
            .map_err(|error| database.unreadable("the request", &error))?;
        sqlx::query(
            "INSERT INTO access_request (id, dataset, subject, purpose, justification, agreement,
                                         intended_use, state, requested_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8)",
        )
        .bind(&request.id)
        .bind(request.dataset.as_str())
        .bind(&request.subject)
        .bind(&request.ask.purpose)
        .bind(&request.ask.justification)
        .bind(&request.ask.agreement)
        .bind(intended)
        .bind(&request.requested_at)
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    async fn close_request(
        &self,
        write: &mut Write<'_>,
        who: &Principal,
        request: &AccessRequest,
        state: RequestState,
        reason: Option<String>,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        sqlx::query(
            "UPDATE access_request SET state = $2, decided_at = $3, decided_by = $4, reason = $5,
                 access_grant = $6 WHERE id = $1",
        )
        .bind(&request.id)
        .bind(state.as_str())
        .bind(timestamp(Utc::now()))
        .bind(subject(who))
        .bind(reason)
        .bind(request.grant.clone())
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    fn request_from_row(&self, row: &AnyRow) -> Result<AccessRequest, CatalogError> {
        let database = &self.inner.database;
        let ask = database.optional_text(row, "intended_use")?.unwrap_or_default();
        Ok(AccessRequest {
            id: database.text(row, "id")?,
            dataset: database.dataset_name(&database.text(row, "dataset")?)?,
            subject: database.text(row, "subject")?,
            ask: serde_json::from_str(&ask)
                .map_err(|error| database.unreadable("a request", &error))?,
            state: RequestState::of(&database.text(row, "state")?)
                .ok_or_else(|| database.problem("a request has an unknown state"))?,
            requested_at: database.text(row, "requested_at")?,
            decided_at: database.optional_text(row, "decided_at")?,
            decided_by: database.optional_text(row, "decided_by")?,
            reason: database.optional_text(row, "reason")?,
            grant: database.optional_text(row, "access_grant")?,
        })
    }
}

pub(crate) fn check_text(what: &str, text: &str) -> Result<(), CatalogError> {
    if text.trim().is_empty() || text.len() > LONGEST || text.contains('\0') {
        return Err(CatalogError::Argument(format!("{what} is a text of 1 to {LONGEST} bytes")));
    }
    Ok(())
}

/// Whether a dataset may be asked for in this way.
fn check_ask(dataset: &Dataset, ask: &IntendedUse) -> Result<(), CatalogError> {
    let name = format!("{}.{}", dataset.lab, dataset.name);
    check_text("a purpose", &ask.purpose)?;
    check_text("a justification", &ask.justification)?;
    if dataset.tier <= Tier::Registered {
        return Err(CatalogError::Argument(format!(
            "{name} is {}: nobody has to ask for it",
            dataset.tier
        )));
    }
    let Some(agreement) = &dataset.record.agreement else {
        return Err(CatalogError::Denied(format!(
            "{name} has no agreement and no committee: ask its contact"
        )));
    };
    if agreement.sha256 != ask.agreement {
        return Err(CatalogError::Argument(format!(
            "access to {name} is given under {} with the SHA-256 {}: read it, and give that hash to \
             say that you accept this text",
            agreement.id, agreement.sha256
        )));
    }
    if !agreement.purposes.contains(&ask.purpose) {
        return Err(CatalogError::Argument(format!(
            "access to {name} is given for {}, not for {:?}",
            agreement.purposes.join(", "),
            ask.purpose
        )));
    }
    // What it was made from limits its use as well.
    for allowed in &passed_on(dataset).data_use {
        fits(allowed, ask).map_err(|why| CatalogError::Argument(format!("{name}: {why}")))?;
    }
    Ok(())
}
