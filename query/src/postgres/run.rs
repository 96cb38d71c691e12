//! What the messages of a client do: statements are prepared, bound, described and run.

use super::command::{Command, after_for};
use super::connection::{Connection, End, GATHERED, Transaction, begin, while_there};
use super::copy::copy;
use super::dialect::Known;
use super::failure::Refusal;
use super::message::{Bind, Target};
use super::portal::{Cursor, Portal, Stage, texts};
use super::reply::Severity;
use super::settings::{Done, Lasting};
use super::statement::Statement;
use super::types::{Column, columns};
use super::write::Rows;
use super::written::readable;
use crate::engine::{Change, Session, Statements, Stop};
use datafusion::common::ScalarValue;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// Most statements and most portals that a connection holds, and most bytes of them.
const MOST_STATEMENTS: usize = 1024;
const MOST_PORTALS: usize = 64;
const MOST_BYTES: usize = 16 << 20;
/// How old the decision behind a plan may be when it is run; an older one is planned again.
const FRESH: Duration = Duration::from_secs(1);

impl<S: AsyncRead + AsyncWrite + Send + 'static> Connection<S> {
    /// Runs statements, one after the other, and gives all rows as text.
    pub(super) async fn simple(&mut self, sql: &str) -> Result<(), End> {
        let split = Statements::of(sql);
        let rest = Some(split.rest).filter(|rest| !rest.is_empty());
        let statements: Vec<String> = split.complete.into_iter().chain(rest).collect();
        if statements.is_empty() {
            self.replies.plain(b'I');
            return Ok(());
        }
        for sql in statements {
            // As a portal without a name, which replaces the one before.
            let mut statement = self.statement(&sql, vec![]).await?;
            let mut portal = Self::portal(&mut statement, Vec::new(), Vec::new(), 0);
            if let Command::Fetch(name, most) = portal.command.clone() {
                let columns = self.cursor_columns(&name)?;
                self.replies.columns(&columns, &[])?;
                self.fetch_from(&name, most, &[]).await?;
                continue;
            }
            self.start(&mut portal).await?;
            if let Stage::Open(cursor) = &portal.stage
                && !cursor.rows.are_file()
            {
                cursor.rows.begin(&mut self.replies)?;
            }
            self.fetch(&mut portal, 0).await?;
        }
        Ok(())
    }

    /// A statement, taken apart.
    async fn statement(&mut self, sql: &str, types: Vec<u32>) -> Result<Statement, End> {
        let copy = copy(sql).transpose()?;
        let command = match &copy {
            Some(copy) => Command::Copy(copy.form.clone()),
            None => Command::of(sql),
        };
        // What a cursor reads, or a copy is made of, is a statement of its own.
        let read = match &command {
            Command::Declare(_) => after_for(sql).unwrap_or_default(),
            Command::Copy(_) => copy.as_ref().map_or("", |copy| copy.sql.as_str()),
            Command::Statement => sql,
            _ => return Ok(Statement::new(command, sql, types, Known::default())),
        };
        let read = &*readable(read);
        let mut statement = Statement::new(command, read, types, Known::default());
        if statement.is_change() {
            return Ok(statement);
        }
        let facts = self.facts(BTreeSet::new());
        let known = self.door.engine.translated(read, &facts);
        let known = while_there(&self.gone, None, known).await??;
        statement.known = Arc::new(known);
        Ok(statement)
    }

    /// A statement with values.
    fn portal(
        statement: &mut Statement,
        values: Vec<ScalarValue>,
        formats: Vec<super::types::Format>,
        bytes: usize,
    ) -> Portal {
        Portal {
            command: statement.command.clone(),
            sql: statement.sql.clone(),
            change: statement.is_change(),
            known: Arc::clone(&statement.known),
            intervals: statement.intervals(),
            values,
            bytes,
            formats,
            told: statement.told.clone(),
            stage: Stage::Bound,
        }
    }

    pub(super) fn check_room(&self, more: usize) -> Result<(), Refusal> {
        let statements = self.statements.values().map(Statement::bytes);
        let portals = self.portals.values().map(|portal| portal.bytes);
        let held: usize = statements.chain(portals).sum();
        if self.statements.len() >= MOST_STATEMENTS
            || self.portals.len() >= MOST_PORTALS
            || held.saturating_add(more) > MOST_BYTES
        {
            let problem = format!(
                "this connection holds {MOST_STATEMENTS} prepared statements, {MOST_PORTALS} open answers or \
                 {MOST_BYTES} bytes of them: close some (DEALLOCATE ALL)"
            );
            return Err(Refusal::new("53400", problem));
        }
        Ok(())
    }

    pub(super) async fn parse(
        &mut self,
        name: String,
        sql: &str,
        types: Vec<u32>,
    ) -> Result<(), End> {
        let split = Statements::of(sql);
        let rest = Some(split.rest).filter(|rest| !rest.is_empty());
        let mut statements = split.complete.into_iter().chain(rest);
        let (one, none) = (statements.next().unwrap_or_default(), statements.next());
        if none.is_some() {
            let problem = "several statements cannot be prepared as one; send one at a time";
            return Err(Refusal::new("42601", problem).into());
        }
        if name.is_empty() {
            self.statements.remove(&name);
        } else if self.statements.contains_key(&name) {
            let problem =
                format!("there is a prepared statement {name:?} already; DEALLOCATE it first");
            return Err(Refusal::new("42P05", problem).into());
        }
        self.check_room(one.len())?;
        // An empty statement has no text, and is told apart by that.
        let statement = if one.is_empty() {
            Statement::new(Command::Statement, "", types, Known::default())
        } else {
            self.statement(&one, types).await?
        };
        self.statements.insert(name, statement);
        self.replies.plain(b'1');
        Ok(())
    }

    pub(super) async fn bind(&mut self, bind: Bind) -> Result<(), End> {
        self.portals.remove(&bind.portal);
        let bytes = bind.values.iter().flatten().map(bytes::Bytes::len).sum();
        self.check_room(bytes)?;
        let mut statement = self.take(&bind.statement)?;
        let session = if statement.is_open(&bind) {
            let session = self.session(statement.intervals()).await;
            match session {
                Ok(session) => Some(session),
                Err(end) => {
                    self.statements.insert(bind.statement, statement);
                    return Err(end);
                }
            }
        } else {
            None
        };
        let values = statement.values(&bind, session.as_ref());
        let values = while_there(&self.gone.clone(), None, values).await?;
        let portal = values.map(|values| Self::portal(&mut statement, values, bind.results, bytes));
        self.statements.insert(bind.statement, statement);
        self.portals.insert(bind.portal, portal?);
        self.replies.plain(b'2');
        Ok(())
    }

    /// A prepared statement, to be put back.
    fn take(&mut self, name: &str) -> Result<Statement, Refusal> {
        self.statements.remove(name).ok_or_else(|| {
            Refusal::new("26000", format!("there is no prepared statement {name:?}"))
        })
    }

    pub(super) async fn describe(&mut self, target: &Target) -> Result<(), End> {
        match target {
            Target::Statement(name) => {
                let mut statement = self.take(name)?;
                let described = Box::pin(self.describe_statement(&mut statement)).await;
                self.statements.insert(name.clone(), statement);
                described
            }
            Target::Portal(name) => {
                let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
                let described = Box::pin(self.describe_portal(&mut portal)).await;
                self.portals.insert(name.clone(), portal);
                described
            }
        }
    }

    async fn describe_statement(&mut self, statement: &mut Statement) -> Result<(), End> {
        if !statement.is_asked() || statement.is_change() || statement.sql.is_empty() {
            self.replies.parameters(&[]);
            match self.columns_of(&statement.command)? {
                Some(columns) => self.replies.columns(&columns, &[])?,
                None => self.replies.plain(b'n'),
            }
            return Ok(());
        }
        self.check_transaction(&statement.command)?;
        let session = self.session(statement.intervals()).await?;
        let (gone, slot) = (self.gone.clone(), self.place.slot().clone());
        let described = statement.describe(&session, || begin(&slot, &session));
        let (types, columns) = while_there(&gone, None, described).await??;
        self.replies.parameters(&types);
        // A cursor that is made has no rows yet, and a file none of its own.
        if matches!(statement.command, Command::Declare(_) | Command::Copy(_)) {
            self.replies.plain(b'n');
        } else {
            self.replies.columns(&columns, &[])?;
        }
        Ok(())
    }

    async fn describe_portal(&mut self, portal: &mut Portal) -> Result<(), End> {
        if portal.command == Command::Statement
            && !portal.change
            && !portal.sql.is_empty()
            && matches!(portal.stage, Stage::Bound)
        {
            self.check_transaction(&portal.command)?;
            let session = self.session(portal.intervals.clone()).await?;
            self.plan(portal, &session).await?;
        }
        let told = match &portal.stage {
            Stage::Planned(planned) => Some(portal.columns(&planned.0.schema())),
            Stage::Open(cursor) => Some(cursor.rows.columns().to_vec()),
            _ => self.columns_of(&portal.command)?,
        };
        match told {
            Some(told) => {
                self.replies.columns(&told, &portal.formats)?;
                portal.told = Some(told);
            }
            None => self.replies.plain(b'n'),
        }
        Ok(())
    }

    /// Plans a portal, without a place among the queries that run.
    pub(super) async fn plan(&mut self, portal: &mut Portal, session: &Session) -> Result<(), End> {
        let query = self.begin(session);
        let rows = if portal.values.is_empty() { vec![] } else { vec![portal.values.clone()] };
        let planned = session.plan_as(&query, &portal.sql, &rows);
        let planned = while_there(&self.gone.clone(), Some(&query), planned).await??;
        portal.stage = Stage::Planned(Box::new((planned.holding(None), Instant::now())));
        Ok(())
    }

    pub(super) async fn execute(&mut self, name: &str, rows: u32) -> Result<(), End> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let over = matches!(portal.stage, Stage::Done);
        if portal.sql.is_empty() {
            self.replies.plain(b'I');
        } else if let (false, Command::Fetch(cursor, most)) = (over, portal.command.clone()) {
            portal.stage = Stage::Done;
            self.fetch_from(&cursor, most, &portal.formats).await?;
        } else if over && (portal.change || portal.command != Command::Statement) {
            let problem = format!("the portal {name:?} was run, and is run once");
            return Err(Refusal::new("55000", problem).into());
        } else {
            self.go_on(&mut portal).await?;
            let rows = if matches!(portal.command, Command::Copy(_)) { 0 } else { rows };
            self.fetch(&mut portal, rows).await?;
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    /// Begins to read the rows of a portal, or goes on with it.
    pub(super) async fn go_on(&mut self, portal: &mut Portal) -> Result<(), End> {
        if !matches!(portal.stage, Stage::Open(_)) {
            return self.start(portal).await;
        }
        // Whoever was shut out since the first rows gets no more of them.
        self.check_transaction(&portal.command)?;
        self.session(BTreeSet::new()).await?;
        if let Stage::Open(cursor) = &mut portal.stage {
            let resumed = cursor.resume(&self.door.engine);
            while_there(&self.gone, None, resumed).await??;
        }
        Ok(())
    }

    /// Does what a portal is for, up to its first row.
    pub(super) async fn start(&mut self, portal: &mut Portal) -> Result<(), End> {
        if matches!(portal.stage, Stage::Open(_) | Stage::Done) {
            return Ok(());
        }
        self.check_transaction(&portal.command)?;
        if let Command::Declare(name) = portal.command.clone() {
            return Box::pin(self.declare(portal, name)).await;
        }
        if !matches!(portal.command, Command::Statement | Command::Copy(_)) {
            return self.command(portal);
        }
        let session = self.session(portal.intervals.clone()).await?;
        if portal.change {
            let session = session.not_of_postgres();
            return Box::pin(self.change(portal, &session)).await;
        }
        let fresh = matches!(&portal.stage, Stage::Planned(planned) if planned.1.elapsed() < FRESH);
        if !fresh {
            self.plan(portal, &session).await?;
        }
        let Stage::Planned(planned) = std::mem::replace(&mut portal.stage, Stage::Done) else {
            return Ok(());
        };
        let own = portal.columns(&planned.0.schema());
        let rows = if let Command::Copy(form) = &portal.command {
            Rows::of_file(own, form.clone())
        } else {
            let told = portal.told.clone().unwrap_or_else(|| own.clone());
            let rows = Rows::new(told, portal.formats.clone())?;
            rows.check(&own)?;
            rows
        };
        let query = planned.0.query().cloned();
        let gone = self.gone.clone();
        let answer = while_there(&gone, query.as_ref(), planned.0.start_held()).await??;
        if rows.are_file() {
            rows.begin(&mut self.replies)?;
        }
        portal.stage = Stage::Open(Box::new(Cursor::of(answer, rows)));
        Ok(())
    }

    /// Sends rows: so many, or all that there are.
    async fn fetch(&mut self, portal: &mut Portal, most: u32) -> Result<(), End> {
        if !matches!(portal.stage, Stage::Open(_)) {
            // What was done has said so; whose rows were all read has none left.
            if portal.command == Command::Statement && !portal.change {
                self.replies.complete("SELECT 0");
            }
            return Ok(());
        }
        match self.send_rows(portal, most, None).await? {
            Some(cursor) => cursor.end(&mut self.replies)?,
            None => self.replies.plain(b's'),
        }
        Ok(())
    }

    /// Sends so many rows of an open portal, in other formats than its own if need be; the cursor, if these were the
    /// last.
    pub(super) async fn send_rows(
        &mut self,
        portal: &mut Portal,
        most: u32,
        formats: Option<&Rows>,
    ) -> Result<Option<Box<Cursor>>, End> {
        let Stage::Open(mut cursor) = std::mem::replace(&mut portal.stage, Stage::Done) else {
            return Ok(None);
        };
        cursor.count_anew();
        let gone = self.gone.clone();
        while most == 0 || cursor.sent() < u64::from(most) {
            let more = cursor.row(&mut self.replies, formats);
            if !while_there(&gone, None, more).await?? {
                return Ok(Some(cursor));
            }
            if self.replies.len() > GATHERED {
                self.flushed().await?;
            }
        }
        cursor.rest();
        portal.stage = Stage::Open(cursor);
        Ok(None)
    }

    /// In a transaction in which something failed, nothing but its end is done.
    pub(super) fn check_transaction(&self, command: &Command) -> Result<(), Refusal> {
        let ends =
            matches!(command, Command::Commit | Command::Rollback | Command::Point("ROLLBACK"));
        if self.transaction == Transaction::Failed && !ends {
            let problem =
                "a statement of this transaction failed, and the rest is not done: ROLLBACK";
            return Err(Refusal::new("25P02", problem));
        }
        Ok(())
    }

    /// The rows of a command that has some.
    fn answer_of(&self, command: &Command) -> Result<Option<arrow::array::RecordBatch>, Refusal> {
        let Command::Show(name) = command else { return Ok(None) };
        let batch = match name {
            Some(name) => {
                let value = self.settings.get(name).ok_or_else(|| {
                    Refusal::new(
                        "42704",
                        format!("there is no setting {name:?}; SHOW ALL lists them"),
                    )
                })?;
                texts(&[(name.as_str(), vec![Some(value.to_owned())])])?
            }
            None => {
                let (names, values): (Vec<_>, Vec<_>) = self
                    .settings
                    .all()
                    .map(|(name, value)| (Some(name.to_owned()), Some(value.to_owned())))
                    .unzip();
                let nothing = vec![Some(String::new()); names.len()];
                texts(&[("name", names), ("setting", values), ("description", nothing)])?
            }
        };
        Ok(Some(batch))
    }

    /// The columns of a command that has rows.
    fn columns_of(&self, command: &Command) -> Result<Option<Vec<Column>>, Refusal> {
        if let Command::Fetch(name, _) = command {
            return self.cursor_columns(name).map(Some);
        }
        Ok(self.answer_of(command)?.map(|batch| columns(batch.schema_ref())))
    }

    /// Does what is about the session.
    fn command(&mut self, portal: &mut Portal) -> Result<(), End> {
        let mut stage = Stage::Done;
        let command = portal.command.clone();
        let answer = self.answer_of(&command)?;
        let tag = match command {
            Command::Begin => {
                if self.transaction == Transaction::None {
                    self.transaction = Transaction::Open;
                    self.lasting = Some(Lasting::of(&self.settings));
                }
                "BEGIN"
            }
            Command::Commit => {
                let failed = self.transaction == Transaction::Failed;
                self.end_transaction(!failed);
                if failed { "ROLLBACK" } else { "COMMIT" }
            }
            Command::Rollback => {
                self.end_transaction(false);
                "ROLLBACK"
            }
            Command::Point(tag) => {
                if tag == "ROLLBACK" && self.transaction == Transaction::Failed {
                    self.transaction = Transaction::Open;
                }
                tag
            }
            Command::Set(name, value, local) => {
                self.set(&name, &value, local)?;
                "SET"
            }
            Command::Reset(name) => {
                self.settings.reset(name.as_deref());
                if let Some(lasting) = &mut self.lasting {
                    lasting.after.reset(name.as_deref());
                }
                "RESET"
            }
            Command::Deallocate(name) => {
                match name {
                    None => self.statements.clear(),
                    Some(name) => drop(self.take(&name)?),
                }
                "DEALLOCATE"
            }
            Command::Close(name) => {
                match name {
                    None => self.portals.clear(),
                    Some(name) => drop(self.portals.remove(&name)),
                }
                "CLOSE CURSOR"
            }
            Command::Discard => {
                self.statements.clear();
                self.portals.clear();
                self.settings.reset(None);
                self.lasting = None;
                "DISCARD"
            }
            Command::Show(_) => "SHOW",
            Command::Statement | Command::Copy(_) | Command::Declare(_) | Command::Fetch(..) => {
                return Ok(());
            }
        };
        match answer {
            Some(batch) => {
                let rows = Rows::new(columns(batch.schema_ref()), portal.formats.clone())?;
                stage = Stage::Open(Box::new(Cursor::ready(batch, rows, tag)));
            }
            None => self.replies.complete(tag),
        }
        portal.stage = stage;
        Ok(())
    }

    /// Gives a setting a value: until the end of a transaction, or until its failure.
    fn set(&mut self, name: &str, value: &str, local: bool) -> Result<(), Refusal> {
        if local && self.transaction == Transaction::None {
            let note = "SET LOCAL means something in a transaction alone";
            self.replies.notice(Severity::Warning, note);
            return Ok(());
        }
        match self.settings.set(name, value)? {
            Done::Kept => {}
            Done::Reported(name, value) => self.replies.setting(name, &value),
            Done::Without(note) => self.replies.notice(Severity::Warning, note),
        }
        if let (Some(lasting), false) = (&mut self.lasting, local) {
            lasting.after.set(name, value)?;
        }
        Ok(())
    }

    /// The end of a transaction, after which settings are as it left or found them.
    fn end_transaction(&mut self, well: bool) {
        self.transaction = Transaction::None;
        let Some(Lasting { before, after }) = self.lasting.take() else { return };
        let settings = if well { after } else { before };
        for (name, value) in settings.reported() {
            if self.settings.get(name) != Some(value) {
                self.replies.setting(name, value);
            }
        }
        self.settings = settings;
    }

    /// Makes a table or a view, or takes one away.
    async fn change(&mut self, portal: &mut Portal, session: &Session) -> Result<(), End> {
        if !portal.values.is_empty() {
            return Err(Refusal::new(
                "0A000",
                "a statement that changes something has no parameters",
            )
            .into());
        }
        let Some(change) = session.change(&portal.sql).await? else {
            // CREATE INDEX and its like: the engine says what there is.
            return Err(match session.describe(&portal.sql).await {
                Err(error) => error.into(),
                Ok(_) => Refusal::new("0A000", "this statement is not supported").into(),
            });
        };
        let kind = match &change {
            Change::CreateTable(_) => "SELECT",
            Change::DropTable(_) => "DROP TABLE",
            Change::CreateView(_) => "CREATE VIEW",
            Change::DropView(_) => "DROP VIEW",
        };
        let query = self.begin(session);
        let changes = self.door.changes.clone();
        let done = changes.change(session, &query, change);
        let done = while_there(&self.gone.clone(), Some(&query), done).await?;
        let done = done.inspect_err(|_| query.stop(Stop::Abandoned))?;
        self.replies.notice(Severity::Notice, &done.note);
        match done.rows {
            Some(rows) => self.replies.complete(&format!("{kind} {rows}")),
            None => self.replies.complete(kind),
        }
        portal.stage = Stage::Done;
        Ok(())
    }
}

fn no_portal(name: &str) -> Refusal {
    Refusal::new(
        "34000",
        format!("there is no portal {name:?}; portals end with the transaction, or with Sync"),
    )
}
