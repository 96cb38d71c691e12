//! Cursors of SQL: `DECLARE`, `FETCH`, `CLOSE`. Each is a portal with its name.

use super::command::Command;
use super::connection::{Connection, End, Transaction};
use super::failure::Refusal;
use super::portal::{Portal, Stage};
use super::types::{Column, Format};
use super::write::Rows;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

fn no_cursor(name: &str) -> Refusal {
    let problem = format!("there is no cursor {name:?}; cursors end with their transaction");
    Refusal::new("34000", problem)
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Connection<S> {
    /// Makes a cursor of a portal with its values.
    pub(super) async fn declare(&mut self, portal: &mut Portal, name: String) -> Result<(), End> {
        if self.transaction == Transaction::None {
            let problem = "a cursor lives in a transaction: BEGIN first";
            return Err(Refusal::new("25P01", problem).into());
        }
        if self.portals.contains_key(&name) {
            let problem = format!("there is a cursor {name:?} already; CLOSE it first");
            return Err(Refusal::new("42P03", problem).into());
        }
        self.check_room(portal.bytes)?;
        let mut cursor = Portal {
            command: Command::Statement,
            sql: Arc::clone(&portal.sql),
            change: false,
            known: Arc::clone(&portal.known),
            intervals: portal.intervals.clone(),
            values: portal.values.clone(),
            bytes: portal.bytes,
            formats: Vec::new(),
            told: None,
            stage: Stage::Bound,
        };
        let session = self.session(cursor.intervals.clone()).await?;
        self.plan(&mut cursor, &session).await?;
        if let Stage::Planned(planned) = &cursor.stage {
            cursor.told = Some(cursor.columns(&planned.0.schema()));
        }
        self.portals.insert(name, cursor);
        portal.stage = Stage::Done;
        self.replies.complete("DECLARE CURSOR");
        Ok(())
    }

    /// The columns of a cursor.
    pub(super) fn cursor_columns(&self, name: &str) -> Result<Vec<Column>, Refusal> {
        let cursor = self.portals.get(name).ok_or_else(|| no_cursor(name))?;
        Ok(match &cursor.stage {
            Stage::Open(open) => open.rows.columns().to_vec(),
            _ => cursor.told.clone().ok_or_else(|| no_cursor(name))?,
        })
    }

    /// Sends so many rows of a cursor; 0 for all that are left.
    pub(super) async fn fetch_from(
        &mut self,
        name: &str,
        most: u32,
        formats: &[Format],
    ) -> Result<(), End> {
        self.check_transaction(&Command::Statement)?;
        let rows = Rows::new(self.cursor_columns(name)?, formats.to_vec())?;
        let mut cursor = self.portals.remove(name).ok_or_else(|| no_cursor(name))?;
        self.go_on(&mut cursor).await?;
        let last = self.send_rows(&mut cursor, most, Some(&rows)).await?;
        let sent = match (&last, &cursor.stage) {
            (Some(cursor), _) | (None, Stage::Open(cursor)) => cursor.sent(),
            _ => 0,
        };
        self.portals.insert(name.to_owned(), cursor);
        self.replies.complete(&format!("FETCH {sent}"));
        Ok(())
    }
}
