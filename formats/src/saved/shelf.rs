//! Rows of many files as Arrow, and files opened from them.

use super::reader::SavedReader;
use super::{Entry, FileDescription};
use crate::contents::Contents;
use crate::error::FormatError;
use crate::hdf5::Hdf5Reader;
use crate::netcdf3::NetCdf3Reader;
use crate::reader::{OpenOptions, Reader};
use crate::source::ByteSource;
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, LargeBinaryBuilder, ListArray,
    ListBuilder, PrimitiveBuilder, RecordBatch, StringArray, StringDictionaryBuilder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Int32Type, Schema, SchemaRef, UInt32Type, UInt64Type,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Texts that repeat.
fn repeating() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn schema() -> SchemaRef {
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    Arc::new(Schema::new(vec![
        Field::new("file", repeating(), false),
        Field::new("path", repeating(), false),
        Field::new("description", repeating(), false),
        Field::new("chunk_places", list(DataType::UInt64), true),
        Field::new("chunk_offsets", list(DataType::UInt64), false),
        Field::new("chunk_sizes", list(DataType::UInt64), false),
        Field::new("chunk_masks", list(DataType::UInt32), true),
        Field::new("values", DataType::LargeBinary, true),
    ]))
}

/// The rows of files, each under its key.
///
/// # Errors
/// If Arrow refuses them.
pub fn to_batch(files: &[(String, Vec<Entry>)]) -> Result<RecordBatch, FormatError> {
    let mut keys = StringDictionaryBuilder::<Int32Type>::new();
    let mut paths = StringDictionaryBuilder::<Int32Type>::new();
    let mut descriptions = StringDictionaryBuilder::<Int32Type>::new();
    let mut places = ListBuilder::new(PrimitiveBuilder::<UInt64Type>::new());
    let mut offsets = ListBuilder::new(PrimitiveBuilder::<UInt64Type>::new());
    let mut sizes = ListBuilder::new(PrimitiveBuilder::<UInt64Type>::new());
    let mut masks = ListBuilder::new(PrimitiveBuilder::<UInt32Type>::new());
    let mut values = LargeBinaryBuilder::new();
    for (key, entries) in files {
        for entry in entries {
            keys.append(key)?;
            paths.append(&entry.path)?;
            descriptions.append(&entry.description)?;
            add(&mut places, entry.places.as_deref());
            add(&mut offsets, Some(&entry.offsets));
            add(&mut sizes, Some(&entry.sizes));
            add(&mut masks, entry.masks.as_deref());
            values.append_option(entry.values.as_deref());
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys.finish()),
        Arc::new(paths.finish()),
        Arc::new(descriptions.finish()),
        Arc::new(places.finish()),
        Arc::new(offsets.finish()),
        Arc::new(sizes.finish()),
        Arc::new(masks.finish()),
        Arc::new(values.finish()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn add<T: ArrowPrimitiveType>(
    list: &mut ListBuilder<PrimitiveBuilder<T>>,
    own: Option<&[T::Native]>,
) {
    list.values().append_slice(own.unwrap_or_default());
    list.append(own.is_some());
}

/// Files whose metadata are known, by key.
#[derive(Debug)]
pub struct Shelf {
    files: HashMap<String, Range<usize>>,
    paths: Texts,
    descriptions: Texts,
    places: ListArray,
    offsets: ListArray,
    sizes: ListArray,
    masks: ListArray,
    values: arrow::array::LargeBinaryArray,
    /// Contents by the descriptions of all rows of a file: they are the same where these are.
    contents: Mutex<HashMap<Vec<i32>, Arc<Contents>>>,
}

/// A column of texts that repeat.
#[derive(Debug)]
struct Texts {
    keys: Int32Array,
    texts: StringArray,
}

impl Texts {
    fn of(column: &ArrayRef) -> Option<Self> {
        let column: &DictionaryArray<Int32Type> = column.as_dictionary_opt()?;
        let texts = column.values().as_string_opt::<i32>()?.clone();
        let whole = column.keys().iter().all(|key| {
            key.and_then(|key| usize::try_from(key).ok()).is_some_and(|key| key < texts.len())
        });
        whole.then(|| Self { keys: column.keys().clone(), texts })
    }

    fn get(&self, row: usize) -> &str {
        let key = self.keys.values().get(row).and_then(|key| usize::try_from(*key).ok());
        key.filter(|key| *key < self.texts.len()).map_or("", |key| self.texts.value(key))
    }
}

impl Shelf {
    /// The files of rows as [`to_batch`] makes them; `None` if these are no such rows. That they are
    /// as they were written is for the caller to know: a checksum tells.
    pub fn new(batches: &[RecordBatch]) -> Option<Self> {
        let batch = concat_batches(&schema(), batches).ok()?;
        let column = |name: &str| {
            let (index, field) = schema().column_with_name(name).map(|(i, f)| (i, f.clone()))?;
            let column = batch.columns().get(index)?;
            (column.data_type() == field.data_type()).then(|| Arc::clone(column))
        };
        let keys = Texts::of(&column("file")?)?;
        let mut files: HashMap<String, Range<usize>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let key = keys.get(row);
            match files.get_mut(key) {
                Some(rows) if rows.end == row => rows.end = row.checked_add(1)?,
                Some(_) => return None,
                None => {
                    files.insert(key.to_owned(), row..row.checked_add(1)?);
                }
            }
        }
        Some(Self {
            files,
            paths: Texts::of(&column("path")?)?,
            descriptions: Texts::of(&column("description")?)?,
            places: column("chunk_places")?.as_list_opt()?.clone(),
            offsets: column("chunk_offsets")?.as_list_opt()?.clone(),
            sizes: column("chunk_sizes")?.as_list_opt()?.clone(),
            masks: column("chunk_masks")?.as_list_opt()?.clone(),
            values: column("values")?.as_binary_opt::<i64>()?.clone(),
            contents: Mutex::default(),
        })
    }

    /// A reader of the file with this key, which asks nothing of `source` until values are read that
    /// are not kept. `None` if the file is not here, or its rows cannot be understood.
    pub fn reader(
        self: &Arc<Self>,
        key: &str,
        source: Arc<dyn ByteSource>,
        options: &OpenOptions,
    ) -> Option<Arc<dyn Reader>> {
        let rows = self.files.get(key)?.clone();
        let kind: Vec<i32> = self.descriptions.keys.values().get(rows.clone())?.to_vec();
        let known =
            self.contents.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned();
        let contents = if let Some(known) = known {
            known
        } else {
            let opened = self.open(rows.clone(), Arc::clone(&source), options)?;
            let contents = Arc::new(opened.contents().clone());
            let mut all = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(kind).or_insert(contents))
        };
        let options = options.clone();
        Some(Arc::new(SavedReader::new(Arc::clone(self), rows, source, options, contents)))
    }

    /// The reader of a file's format, made of its rows.
    pub(super) fn open(
        &self,
        rows: Range<usize>,
        source: Arc<dyn ByteSource>,
        options: &OpenOptions,
    ) -> Option<Arc<dyn Reader>> {
        let entries = self.entries(rows);
        let (file, arrays) = entries.split_first()?;
        match FileDescription::parse(&file.description)? {
            FileDescription::Hdf5(metadata) => {
                let index = metadata.index(file, arrays)?;
                Some(Arc::new(Hdf5Reader::of_index(source, index, options).ok()?))
            }
            FileDescription::NetCdf3(metadata) => {
                let reader: NetCdf3Reader = metadata.reader(source)?;
                Some(Arc::new(reader))
            }
        }
    }

    /// The row of a variable.
    pub(super) fn row_of(&self, rows: Range<usize>, path: &str) -> Option<usize> {
        rows.into_iter().find(|row| self.paths.get(*row) == path)
    }

    /// The kept values of a row.
    pub(super) fn values(&self, row: usize) -> Option<&[u8]> {
        (row < self.values.len() && self.values.is_valid(row)).then(|| self.values.value(row))
    }

    /// Rows as they were given.
    pub(super) fn entries(&self, rows: Range<usize>) -> Vec<Entry> {
        rows.map(|row| Entry {
            path: self.paths.get(row).to_owned(),
            description: self.descriptions.get(row).to_owned(),
            places: list::<UInt64Type>(&self.places, row),
            offsets: list::<UInt64Type>(&self.offsets, row).unwrap_or_default(),
            sizes: list::<UInt64Type>(&self.sizes, row).unwrap_or_default(),
            masks: list::<UInt32Type>(&self.masks, row),
            values: self.values(row).map(<[u8]>::to_vec),
        })
        .collect()
    }
}

fn list<T: ArrowPrimitiveType>(lists: &ListArray, row: usize) -> Option<Vec<T::Native>> {
    if row >= lists.len() || lists.is_null(row) {
        return None;
    }
    Some(lists.value(row).as_primitive_opt::<T>()?.values().to_vec())
}
