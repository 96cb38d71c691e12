//! What the functions of one statement hold, and whether it goes on.
//!
//! Operators ask the pool of a query for memory; functions take theirs at once and ask nobody. So each large answer of
//! a function is held against the query until it is dropped, and the function ends where its query is stopped.

use crate::engine::Query;
use crate::error::QueryError;
use arrow::array::{Array, ArrayRef};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{Result, config_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Answers below this are not held: there are as many as there are calls in a statement, which has a bound.
const SMALL: usize = 256 << 10;

/// The query that functions work for. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    query: Query,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug)]
struct Held {
    arrays: Vec<(Weak<dyn Array>, usize)>,
    /// Bytes of constants, which stay with the plan.
    constants: usize,
    reservation: MemoryReservation,
}

impl Held {
    fn take(&mut self) -> Result<()> {
        self.arrays.retain(|(array, _)| array.strong_count() > 0);
        let arrays = self.arrays.iter().map(|(_, size)| *size).fold(0, usize::saturating_add);
        self.reservation.try_resize(arrays.saturating_add(self.constants))
    }
}

impl Work {
    /// The work of a query, in the memory of its pool.
    pub(crate) fn new(query: Query, pool: &Arc<dyn MemoryPool>) -> Self {
        let reservation = MemoryConsumer::new("functions").register(pool);
        let held = Held { arrays: Vec::new(), constants: 0, reservation };
        Self { query, held: Arc::new(Mutex::new(held)) }
    }

    /// The work that a call is part of; none where no query runs.
    pub(super) fn of(options: &ConfigOptions) -> Option<&Self> {
        options.extensions.get::<Self>()
    }

    /// Fails where the query was stopped.
    pub(super) fn goes_on(&self) -> Result<()> {
        match self.query.stopped() {
            Some(why) => Err(QueryError::Stopped(why).into()),
            None => Ok(()),
        }
    }

    /// Holds an answer until it is dropped. Fails where all that is held is more than the query may have.
    pub(super) fn hold(&self, array: &ArrayRef) -> Result<()> {
        let size = array.get_array_memory_size();
        if size < SMALL {
            return Ok(());
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.arrays.push((Arc::downgrade(array), size));
        held.take()
    }

    /// Holds a constant for as long as the statement is there.
    pub(super) fn hold_constant(&self, size: usize) -> Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.constants = held.constants.saturating_add(size);
        held.take()
    }
}

/// It goes with the settings of a statement, which is what functions are given; nobody sets it by its name.
impl ConfigExtension for Work {
    const PREFIX: &'static str = "tarn_work";
}

impl ExtensionOptions for Work {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        config_err!("there is no setting {key}")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        vec![]
    }
}
