//! One thread of an aggregate: blocks in, groups with their sums out.

use super::compile::{Compiled, From, Input, is_harmless};
use super::groups::Groups;
use super::keys::Keys;
use super::moments::{Cells, Channel};
use super::slots::Slots;
use crate::error::QueryError;
use crate::provider::row_bytes;
use crate::provider::work::{Piece, Work};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use std::cell::OnceCell;
use std::sync::Arc;
use tarn_formats::table::Coordinates;

/// What all workers of an aggregate share.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) compiled: Compiled,
    /// The keys of each part; none for a part of which nothing is read.
    pub(super) keys: Arc<[Option<Keys>]>,
    /// The key columns as they come out; no fields without GROUP BY.
    pub(super) key_fields: SchemaRef,
}

impl Job {
    /// Bytes that a row of the columns that are read takes in Arrow.
    pub(super) fn row_bytes(&self) -> u64 {
        let schema = self.work.table.schema();
        let columns = self.compiled.columns.iter();
        row_bytes(columns.filter_map(|column| schema.fields().get(*column)))
    }
}

/// One worker's share.
pub(super) struct Worker {
    groups: Groups,
    channels: Vec<Box<dyn Channel>>,
    others: Vec<Box<dyn GroupsAccumulator>>,
}

impl Worker {
    pub(super) fn new(job: &Job) -> Result<Self> {
        let Compiled { inputs, others, schema, .. } = &job.compiled;
        let groups = Groups::new(&job.key_fields)?;
        let known = groups.len();
        Ok(Self {
            groups,
            channels: inputs.iter().map(Input::channel).collect::<Result<_>>()?,
            others: others.iter().map(|o| o.accumulator(schema, known)).collect::<Result<_>>()?,
        })
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let channels = self.channels.iter().map(|channel| channel.bytes());
        let others = self.others.iter().map(|other| other.size());
        channels.chain(others).fold(self.groups.bytes(), usize::saturating_add)
    }

    /// Adds the rows of a piece.
    pub(super) fn add(&mut self, job: &Job, piece: &Piece, shared: &Coordinates) -> Result<()> {
        let compiled = &job.compiled;
        let missing = || internal_datafusion_err!("a table has no part {}", piece.part);
        let part = job.work.table.parts().get(piece.part).ok_or_else(missing)?;
        let keys = job.keys.get(piece.part).and_then(Option::as_ref).ok_or_else(missing)?;
        let batch =
            part.read_block(&piece.block, &compiled.columns, shared).map_err(QueryError::Format)?;
        job.work.learn(piece, &compiled.columns, batch.columns());
        let batch = with_hoisted(batch, compiled, piece, shared)?;
        let rows = Rows::of(&batch, &compiled.predicates)?;
        if rows.kept.as_ref().is_some_and(|kept| kept.count_set_bits() == 0) {
            return Ok(());
        }

        let shape = piece.block.shape().into_iter().map(usize::try_from);
        let shape: Vec<usize> = shape.collect::<Result<_, _>>().map_err(|_| {
            exec_datafusion_err!("{}: a block has more cells than memory", part.location())
        })?;
        let slots = Slots::new(&shape, &keys.grouped(&piece.block)?);
        // Without a predicate every slot has cells.
        let counts = rows.kept.as_ref().map(|kept| Cells::of_slots(Some(kept), &slots));
        let present = |slot: usize| {
            counts.as_ref().is_none_or(|counts| counts.get(slot).is_some_and(|count| *count > 0))
        };
        let groups = self.groups.of(piece.part, keys, slots.combinations(), present)?;
        let total = self.groups.len();

        for (input, channel) in compiled.inputs.iter().zip(&mut self.channels) {
            let own = rows.under(input.filter.as_ref())?;
            let rows = own.as_ref().unwrap_or(&rows);
            let kept = rows.kept.clone();
            let values = match &input.values {
                Some(values) => Some(rows.evaluate(values)?),
                None => None,
            };
            let nulls = values.as_ref().and_then(arrow::array::Array::logical_nulls);
            let valid = match (nulls.filter(|nulls| nulls.null_count() > 0), kept) {
                (None, kept) => kept,
                (Some(nulls), None) => Some(nulls.into_inner()),
                (Some(nulls), Some(kept)) => Some(nulls.inner() & &kept),
            };
            channel.update(values.as_ref(), valid.as_ref(), &slots, &groups, total)?;
        }
        if self.others.is_empty() {
            return Ok(());
        }
        let of_rows: Vec<usize> = slots
            .of_cells()
            .into_iter()
            .map(|slot| groups.get(slot).copied().unwrap_or(0))
            .collect();
        for (other, accumulator) in compiled.others.iter().zip(&mut self.others) {
            let own = rows.under(other.filter.as_ref())?;
            let rows = own.as_ref().unwrap_or(&rows);
            let kept = rows.kept.clone().map(|kept| BooleanArray::new(kept, None));
            let arguments = other.arguments.iter().map(|argument| rows.evaluate(argument));
            let arguments = arguments.collect::<Result<Vec<_>>>()?;
            accumulator.update_batch(&arguments, &of_rows, kept.as_ref(), total)?;
        }
        Ok(())
    }

    /// Takes what another worker has.
    pub(super) fn merge(&mut self, mut other: Self) -> Result<()> {
        let groups = other.groups.take()?;
        let groups = self.groups.merge(&groups)?;
        let total = self.groups.len();
        for (own, other) in self.channels.iter_mut().zip(other.channels) {
            own.merge(other, &groups, total)?;
        }
        for (own, other) in self.others.iter_mut().zip(&mut other.others) {
            own.merge_batch(&other.state(EmitTo::All)?, &groups, total)?;
        }
        Ok(())
    }

    /// One row a group.
    pub(super) fn finish(mut self, job: &Job, schema: &SchemaRef) -> Result<RecordBatch> {
        let total = self.groups.len();
        let mut columns = self.groups.take()?;
        let mut others: Vec<ArrayRef> = Vec::with_capacity(self.others.len());
        for accumulator in &mut self.others {
            others.push(accumulator.evaluate(EmitTo::All)?);
        }
        for (from, data_type) in &job.compiled.outputs {
            columns.push(match from {
                From::Channel(place, output) => self
                    .channels
                    .get(*place)
                    .ok_or_else(|| internal_datafusion_err!("an aggregate has no channel"))?
                    .output(*output, total, data_type)?,
                From::Other(place) => others
                    .get(*place)
                    .cloned()
                    .ok_or_else(|| internal_datafusion_err!("an aggregate has no accumulator"))?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

/// The columns that were read, and those that come from axes.
fn with_hoisted(
    batch: RecordBatch,
    compiled: &Compiled,
    piece: &Piece,
    shared: &Coordinates,
) -> Result<RecordBatch> {
    if compiled.hoisted.is_empty() {
        return Ok(batch);
    }
    let mut columns = batch.columns().to_vec();
    for hoisted in compiled.hoisted.iter() {
        columns.push(hoisted.read(piece.part, &piece.block, shared)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&compiled.schema), columns, &options)?)
}

/// The rows of a block, and which of them satisfy the predicates.
struct Rows<'a> {
    batch: &'a RecordBatch,
    kept: Option<BooleanBuffer>,
    /// The kept rows alone, and for each row its place among them: for expressions that must not
    /// see the others, because they could fail there.
    alone: OnceCell<(RecordBatch, UInt64Array)>,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch, predicates: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        let mut rows = Self { batch, kept: None, alone: OnceCell::new() };
        for predicate in predicates {
            rows = rows.satisfying(predicate)?;
        }
        Ok(rows)
    }

    /// The kept rows that satisfy an aggregate's own condition, if it has one.
    fn under(&self, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Option<Self>> {
        filter.map(|filter| self.satisfying(filter)).transpose()
    }

    fn satisfying(&self, condition: &Arc<dyn PhysicalExpr>) -> Result<Self> {
        let holds = self.holds(condition)?;
        let kept = match &self.kept {
            Some(kept) => kept & &holds,
            None => holds,
        };
        Ok(Self { batch: self.batch, kept: Some(kept), alone: OnceCell::new() })
    }

    /// Where a condition holds; NULL is no.
    fn holds(&self, condition: &Arc<dyn PhysicalExpr>) -> Result<BooleanBuffer> {
        let values = self.evaluate(condition)?;
        let values = values
            .as_boolean_opt()
            .ok_or_else(|| internal_datafusion_err!("a condition is no truth value"))?;
        Ok(match values.nulls() {
            Some(nulls) => values.values() & nulls.inner(),
            None => values.values().clone(),
        })
    }

    /// The value of an expression in every row; NULL in those that are not kept, if it could fail
    /// there.
    fn evaluate(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<ArrayRef> {
        let schema: &Schema = self.batch.schema_ref();
        let Some(kept) = &self.kept else {
            return expr.evaluate(self.batch)?.into_array(self.batch.num_rows());
        };
        if is_harmless(expr, schema) {
            return expr.evaluate(self.batch)?.into_array(self.batch.num_rows());
        }
        if self.alone.get().is_none() {
            let alone = filter_record_batch(self.batch, &BooleanArray::new(kept.clone(), None))?;
            let mut next = 0_u64;
            let places = kept.iter().map(|kept| {
                kept.then(|| {
                    next += 1;
                    next - 1
                })
            });
            let places: UInt64Array = places.collect();
            // It was empty above.
            let _ = self.alone.set((alone, places));
        }
        let (alone, places) = self
            .alone
            .get()
            .ok_or_else(|| internal_datafusion_err!("rows that were kept are gone"))?;
        let values = expr.evaluate(alone)?.into_array(alone.num_rows())?;
        Ok(take(&values, places, None)?)
    }
}

impl Job {
    /// Most groups that there can be.
    pub(super) fn groups(&self) -> u64 {
        let combinations = self.keys.iter().flatten().map(Keys::combinations);
        combinations.fold(0, u64::saturating_add)
    }
}
