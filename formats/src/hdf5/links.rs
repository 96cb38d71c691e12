//! The links of a group, in all of HDF5's ways to store them.

use super::index::Frame;
use hdf5_reader::Hdf5File;
use hdf5_reader::btree_v1::collect_btree_v1_leaves_storage;
use hdf5_reader::btree_v2::{BTreeV2Header, BTreeV2Record, collect_btree_v2_records_storage};
use hdf5_reader::error::{Error, Result};
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::link::{self, LinkMessage, LinkTarget};
use hdf5_reader::messages::link_info::LinkInfoMessage;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::object_header::ObjectHeader;
use hdf5_reader::symbol_table::SymbolTableNode;
use std::collections::HashMap;

/// A named member of a group.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) target: Target,
    order: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Target {
    /// Address of an object header.
    Hard(u64),
    /// Path.
    Soft(String),
    External {
        file: String,
        path: String,
    },
}

/// Names looked up for one path, those of the links it leads through included.
const MAX_STEPS: usize = 256;

/// The links of a file.
#[derive(Debug)]
pub(super) struct Links {
    /// Address of the root group.
    pub(super) root: u64,
    /// The links of each group by name, by its address.
    members: HashMap<u64, Vec<Link>>,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Followed {
    Object(u64),
    /// To a path in another file.
    External {
        file: String,
        path: String,
    },
    Nothing,
}

impl Links {
    /// No links yet of a file with this root.
    pub(super) fn new(root: u64) -> Self {
        Self { root, members: HashMap::new() }
    }

    /// Adds those of a group, which are different by name.
    pub(super) fn add(&mut self, group: u64, mut links: Vec<Link>) {
        links.sort_by(|a, b| a.name.cmp(&b.name));
        self.members.insert(group, links);
    }

    /// Where a path leads, from the group at `from` or from the root.
    pub(super) fn follow(&self, from: u64, path: &str) -> Followed {
        self.walk(from, path, &mut { MAX_STEPS })
    }

    fn walk(&self, from: u64, path: &str, steps: &mut usize) -> Followed {
        let mut at = if path.starts_with('/') { self.root } else { from };
        let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        while let Some(part) = parts.next() {
            let links = self.members.get(&at).map(Vec::as_slice).unwrap_or_default();
            let found = links.binary_search_by(|link| link.name.as_str().cmp(part));
            let Some(link) = found.ok().and_then(|place| links.get(place)) else {
                return Followed::Nothing;
            };
            let Some(left) = steps.checked_sub(1) else { return Followed::Nothing };
            *steps = left;
            at = match &link.target {
                Target::Hard(address) => *address,
                Target::External { file, path } => {
                    return Followed::External {
                        file: file.clone(),
                        path: parts.fold(path.clone(), |path, part| format!("{path}/{part}")),
                    };
                }
                Target::Soft(to) => match self.walk(at, to, steps) {
                    Followed::Object(address) => address,
                    Followed::External { file, path } => {
                        let path = parts.fold(path, |path, part| format!("{path}/{part}"));
                        return Followed::External { file, path };
                    }
                    Followed::Nothing => return Followed::Nothing,
                },
            };
        }
        Followed::Object(at)
    }
}

/// The links of a group in the order of creation, or by name where the file does not keep it.
pub(super) fn links(file: &Hdf5File, header: &ObjectHeader, frame: Frame) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for message in &header.messages {
        match message {
            HdfMessage::SymbolTable(table) => symbol_table(file, table, frame, &mut links)?,
            HdfMessage::Link(message) => links.push(from_message(message.clone())),
            HdfMessage::LinkInfo(info)
                if !Cursor::is_undefined_offset(info.fractal_heap_address, frame.offset_size) =>
            {
                dense(file, info, frame, &mut links)?;
            }
            _ => {}
        }
    }
    if links.iter().all(|link| link.order.is_some()) {
        links.sort_by_key(|link| link.order);
    } else {
        links.sort_by(|a, b| a.name.cmp(&b.name));
    }
    links.dedup_by(|a, b| a.name == b.name);
    Ok(links)
}

fn from_message(message: LinkMessage) -> Link {
    let target = match message.target {
        LinkTarget::Hard { address } => Target::Hard(address),
        LinkTarget::Soft { path } => Target::Soft(path),
        LinkTarget::External { filename, path } => Target::External { file: filename, path },
    };
    Link { name: message.name, target, order: message.creation_order }
}

/// Links of a large group: in a fractal heap, listed by a B-tree of names.
fn dense(
    file: &Hdf5File,
    info: &LinkInfoMessage,
    frame: Frame,
    links: &mut Vec<Link>,
) -> Result<()> {
    let (storage, offset_size, length_size) =
        (file.storage(), frame.offset_size, frame.length_size);
    let heap = FractalHeap::parse_at_storage(
        storage,
        info.fractal_heap_address,
        offset_size,
        length_size,
    )?;
    let tree = BTreeV2Header::parse_at_storage(
        storage,
        info.btree_name_index_address,
        offset_size,
        length_size,
    )?;
    let records = collect_btree_v2_records_storage(
        storage,
        &tree,
        offset_size,
        length_size,
        None,
        &[],
        None,
    )?;
    let mut blocks = FractalHeapDirectBlockCache::default();
    for record in records {
        let BTreeV2Record::LinkNameHash { heap_id, .. } = record else { continue };
        let bytes = heap.get_object_storage_cached(
            &heap_id,
            storage,
            offset_size,
            length_size,
            &mut blocks,
        )?;
        let mut cursor = Cursor::new(&bytes);
        links.push(from_message(link::parse(&mut cursor, offset_size, length_size, bytes.len())?));
    }
    Ok(())
}

/// Links of an old group: a B-tree of symbol table nodes, names in a local heap.
fn symbol_table(
    file: &Hdf5File,
    table: &SymbolTableMessage,
    frame: Frame,
    links: &mut Vec<Link>,
) -> Result<()> {
    let (storage, offset_size, length_size) =
        (file.storage(), frame.offset_size, frame.length_size);
    let heap = LocalHeap::parse_at_storage(storage, table.heap_address, offset_size, length_size)?;
    let length = usize::try_from(heap.data_segment_size)
        .map_err(|_| Error::InvalidData("the local heap is too long".to_owned()))?;
    let names = storage.read_range(heap.data_segment_address, length)?;
    let name = |offset: u64| {
        let bytes = usize::try_from(offset).ok().and_then(|offset| names.get(offset..));
        let end = bytes.and_then(|bytes| bytes.iter().position(|byte| *byte == 0));
        match bytes.zip(end).and_then(|(bytes, end)| bytes.get(..end)) {
            Some(name) => Ok(crate::elements::text(name)),
            None => Err(Error::InvalidData("a name lies outside the local heap".to_owned())),
        }
    };
    let leaves = collect_btree_v1_leaves_storage(
        storage,
        table.btree_address,
        offset_size,
        length_size,
        None,
        &[],
        None,
    )?;
    // Signature, version, reserved, number of entries; each entry has two addresses and 24 bytes.
    let entry = 2 * usize::from(offset_size) + 24;
    for (_, address) in leaves {
        let head = storage.read_range(address, 8)?;
        let count = match head.as_ref() {
            [b'S', b'N', b'O', b'D', _, _, low, high] => u16::from_le_bytes([*low, *high]),
            _ => return Err(Error::InvalidData("a symbol table node has no signature".to_owned())),
        };
        let node = storage.read_range(address, 8 + usize::from(count) * entry)?;
        let node = SymbolTableNode::parse(&mut Cursor::new(&node), offset_size, length_size)?;
        for entry in node.entries {
            let target = match (entry.cache_type, entry.scratch) {
                (2, [a, b, c, d, ..]) => {
                    Target::Soft(name(u32::from_le_bytes([a, b, c, d]).into())?)
                }
                _ => Target::Hard(entry.object_header_address),
            };
            links.push(Link { name: name(entry.link_name_offset)?, target, order: None });
        }
    }
    Ok(())
}
