//! Aggregates as channels, accumulators and the columns that they read.

use super::hoist::{Hoisted, Hoisting};
use super::inline::Inlined;
use super::moments::{Adding, Cells, Channel, Output, channel};
use crate::functions::{GREATEST, LEAST, SUM};
use crate::provider::axis::{columns_of, moved};
use crate::provider::work::Work;
use arrow::array::BooleanArray;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::{GroupsAccumulator, Operator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Aggregates of DataFusion whose answer does not depend on the order of rows, beside those that
/// have channels. They are computed by DataFusion's own accumulators.
const ORDERLESS: [&str; 24] = [
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "max",
    "min",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "sum",
];
const VARIANCES: [&str; 2] = ["var", "var_pop"];

/// What is computed from each batch.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    /// The table's columns that are read.
    pub(super) columns: Vec<usize>,
    /// Expressions that are evaluated on axes instead of in every cell.
    pub(super) hoisted: Arc<[Hoisted]>,
    /// Of the batches: `columns`, then what is hoisted.
    pub(super) schema: SchemaRef,
    /// What rows must satisfy, one after the other. All expressions are over `schema`.
    pub(super) predicates: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) inputs: Vec<Input>,
    pub(super) others: Vec<Other>,
    /// Where the value of each aggregate comes from, and its type.
    pub(super) outputs: Vec<(From, DataType)>,
}

/// What a channel adds up.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// The values; none where cells are only counted.
    pub(super) values: Option<Arc<dyn PhysicalExpr>>,
    data_type: DataType,
    /// The aggregate's own condition.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    adding: Adding,
    extremes: bool,
}

/// An aggregate that DataFusion's accumulator computes.
#[derive(Debug, Clone)]
pub(super) struct Other {
    function: Arc<AggregateFunctionExpr>,
    pub(super) arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
}

/// Where an aggregate's value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Channel(usize, Output),
    Other(usize),
}

impl Input {
    /// An empty channel.
    pub(super) fn channel(&self) -> Result<Box<dyn Channel>> {
        if self.values.is_none() || (self.adding == Adding::No && !self.extremes) {
            return Ok(Box::new(Cells::default()));
        }
        channel(&self.data_type, self.adding, self.extremes)
            .ok_or_else(|| internal_datafusion_err!("there is no channel for {}", self.data_type))
    }
}

impl Other {
    /// An accumulator that knows of `groups` groups; `schema` is that of the batches.
    pub(super) fn accumulator(
        &self,
        schema: &Schema,
        groups: usize,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let mut accumulator = if self.function.groups_accumulator_supported() {
            self.function.create_groups_accumulator()?
        } else {
            let function = Arc::clone(&self.function);
            Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator()))
        };
        let nothing = self
            .arguments
            .iter()
            .map(|argument| Ok(arrow::array::new_empty_array(&argument.data_type(schema)?)));
        // With a condition, because without one an accumulator takes it that every group was seen.
        let none = BooleanArray::new_null(0);
        let nothing = nothing.collect::<Result<Vec<_>>>()?;
        accumulator.update_batch(&nothing, &[], Some(&none), groups)?;
        Ok(accumulator)
    }
}

impl Compiled {
    /// The aggregates over a scan; `None` where one of them cannot be computed below the
    /// broadcast with the same answer.
    pub(super) fn of(
        inlined: &Inlined<'_>,
        aggregates: &[Arc<AggregateFunctionExpr>],
        filters: &[Option<Arc<dyn PhysicalExpr>>],
    ) -> Option<Self> {
        let table = inlined.scan.work().table.schema();
        let mut compiled = Self {
            columns: vec![],
            hoisted: Arc::default(),
            schema: Arc::clone(table),
            predicates: inlined.predicates.clone(),
            inputs: vec![],
            others: vec![],
            outputs: vec![],
        };
        for (place, function) in aggregates.iter().enumerate() {
            let filter = match filters.get(place).and_then(Option::as_ref) {
                Some(filter) => Some(inlined.inline(filter)?),
                None => None,
            };
            compiled.add(inlined, function, filter, table)?;
        }
        compiled.place(inlined.scan.work())?;
        Some(compiled)
    }

    fn add(
        &mut self,
        inlined: &Inlined<'_>,
        function: &Arc<AggregateFunctionExpr>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        table: &Schema,
    ) -> Option<()> {
        let name = function.fun().name();
        if function.is_distinct()
            || !function.order_bys().is_empty()
            || !(ORDERLESS.contains(&name) || VARIANCES.contains(&name))
        {
            return None;
        }
        let arguments = function.expressions();
        let arguments = arguments.iter().map(|argument| inlined.inline(argument));
        let arguments: Vec<Arc<dyn PhysicalExpr>> = arguments.collect::<Option<_>>()?;
        let data_type = function.field().data_type().clone();
        if let [argument] = arguments.as_slice()
            && let Some((input, output)) = simple(function, argument, filter.as_ref(), table)
        {
            let place = self.input(input);
            self.outputs.push((From::Channel(place, output), data_type));
            return Some(());
        }
        self.outputs.push((From::Other(self.others.len()), data_type));
        self.others.push(Other { function: Arc::clone(function), arguments, filter });
        Some(())
    }

    /// The channel for an input: one for all aggregates of the same values.
    fn input(&mut self, input: Input) -> usize {
        let same = |own: &Input| {
            own.values == input.values
                && own.filter == input.filter
                && (own.adding == input.adding
                    || own.adding == Adding::No
                    || input.adding == Adding::No)
        };
        if let Some(place) = self.inputs.iter().position(same)
            && let Some(own) = self.inputs.get_mut(place)
        {
            own.extremes |= input.extremes;
            if own.adding == Adding::No {
                own.adding = input.adding;
            }
            return place;
        }
        self.inputs.push(input);
        self.inputs.len().saturating_sub(1)
    }

    /// Takes out what depends on one axis, collects the columns that are read, and turns all
    /// expressions to them.
    fn place(&mut self, work: &Work) -> Option<()> {
        let table = work.table.schema();
        let mut hoisting = Hoisting::new(work);
        self.each(&mut |expr| {
            *expr = hoisting.hoist(expr).ok()?;
            Some(())
        })?;
        let hoisted = hoisting.finish();
        let first = table.fields().len();
        let mut columns = BTreeSet::new();
        self.each(&mut |expr| {
            columns.extend(columns_of(expr).into_iter().filter(|column| *column < first));
            Some(())
        })?;
        let columns: Vec<usize> = columns.into_iter().collect();
        let place = |column: usize| match column.checked_sub(first) {
            Some(hoisted) => columns.len().checked_add(hoisted),
            None => columns.iter().position(|own| *own == column),
        };
        self.each(&mut |expr| {
            *expr = moved(expr, place).ok()?;
            Some(())
        })?;
        let mut fields: Vec<FieldRef> = table.project(&columns).ok()?.fields().to_vec();
        fields.extend(hoisted.iter().map(|hoisted| Arc::clone(hoisted.field())));
        self.schema = Arc::new(Schema::new(fields));
        self.columns = columns;
        self.hoisted = hoisted.into();
        Some(())
    }

    fn each(
        &mut self,
        visit: &mut dyn FnMut(&mut Arc<dyn PhysicalExpr>) -> Option<()>,
    ) -> Option<()> {
        self.predicates.iter_mut().try_for_each(&mut *visit)?;
        for input in &mut self.inputs {
            input.values.iter_mut().chain(&mut input.filter).try_for_each(&mut *visit)?;
        }
        for other in &mut self.others {
            other.arguments.iter_mut().chain(&mut other.filter).try_for_each(&mut *visit)?;
        }
        Some(())
    }
}

/// The channel of an aggregate of one argument, if it has one.
fn simple(
    function: &AggregateFunctionExpr,
    argument: &Arc<dyn PhysicalExpr>,
    filter: Option<&Arc<dyn PhysicalExpr>>,
    table: &Schema,
) -> Option<(Input, Output)> {
    let fun = function.fun();
    let given = argument.data_type(table).ok()?;
    let result = function.field().data_type().clone();
    let filter = filter.cloned();
    if fun == count_udaf().as_ref() {
        let never_null = argument
            .downcast_ref::<Literal>()
            .map_or_else(
                || argument.nullable(table).ok(),
                |literal| Some(literal.value().is_null()),
            )
            .map(|nullable| !nullable)?;
        let (values, data_type) = if never_null && is_harmless(argument, table) {
            (None, DataType::Null)
        } else {
            let (values, data_type) = uncast(argument, table)?;
            (Some(values), data_type)
        };
        let input = Input { values, data_type, filter, adding: Adding::No, extremes: false };
        return Some((input, Output::Count));
    }
    let (output, adding) = if *fun == **SUM {
        match (&given, &result) {
            (DataType::Float64, DataType::Float64) => (Output::Sum, Adding::Doubles),
            (DataType::Int64, DataType::Int64) | (DataType::UInt64, DataType::UInt64) => {
                (Output::Sum, Adding::Integers)
            }
            _ => return None,
        }
    } else if fun == avg_udaf().as_ref()
        && (&given, &result) == (&DataType::Float64, &DataType::Float64)
    {
        (Output::Average, Adding::Doubles)
    } else if *fun == **LEAST {
        (Output::Least, Adding::No)
    } else if *fun == **GREATEST {
        (Output::Greatest, Adding::No)
    } else {
        return None;
    };
    let (values, data_type) = uncast(argument, table)?;
    channel(&data_type, adding, true)?;
    let extremes = matches!(output, Output::Least | Output::Greatest);
    Some((Input { values: Some(values), data_type, filter, adding, extremes }, output))
}

/// The argument without a cast that keeps every value, its order and NULL, which channels do
/// themselves; and its type.
fn uncast(
    argument: &Arc<dyn PhysicalExpr>,
    table: &Schema,
) -> Option<(Arc<dyn PhysicalExpr>, DataType)> {
    let given = argument.data_type(table).ok()?;
    if let Some(cast) = argument.downcast_ref::<CastExpr>() {
        let inner = cast.expr().data_type(table).ok()?;
        if is_widening(&inner, &given) {
            return Some((Arc::clone(cast.expr()), inner));
        }
    }
    Some((Arc::clone(argument), given))
}

/// Whether a cast never fails, never gives NULL and keeps the order of values. Integers of 64 bits
/// as doubles are rounded, each as a channel rounds it.
fn is_widening(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match to {
        Float64 => from.is_integer() || matches!(from, Float32 | Float64),
        Int64 => matches!(from, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32),
        UInt64 => matches!(from, UInt8 | UInt16 | UInt32 | UInt64),
        _ => false,
    }
}

/// Whether an expression cannot fail and costs little: then it may be evaluated in rows that are
/// not wanted, too.
pub(super) fn is_harmless(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let all = |parts: &[&Arc<dyn PhysicalExpr>]| parts.iter().all(|p| is_harmless(p, schema));
    if expr.downcast_ref::<Column>().is_some() || expr.downcast_ref::<Literal>().is_some() {
        return true;
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let (Ok(from), Ok(to)) = (cast.expr().data_type(schema), expr.data_type(schema)) else {
            return false;
        };
        return is_widening(&from, &to) && all(&[cast.expr()]);
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let float = |expr: &Arc<dyn PhysicalExpr>| {
            expr.data_type(schema).is_ok_and(|data_type| data_type.is_floating())
        };
        let logical = binary.op().is_logic_operator() || is_comparison(*binary.op());
        let arithmetic =
            binary.op().is_numerical_operators() && float(binary.left()) && float(binary.right());
        return (logical || arithmetic) && all(&[binary.left(), binary.right()]);
    }
    if let Some(test) = expr.downcast_ref::<IsNullExpr>() {
        return all(&[test.arg()]);
    }
    if let Some(test) = expr.downcast_ref::<IsNotNullExpr>() {
        return all(&[test.arg()]);
    }
    expr.downcast_ref::<NotExpr>().is_some_and(|not| all(&[not.arg()]))
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}
