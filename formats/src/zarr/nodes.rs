//! The groups and arrays of a store: by its consolidated metadata, or by walking through it.

use super::json::Json;
use crate::contents::Unreadable;
use crate::error::FormatError;
use crate::keys::{KeySource, Span, is_key};
use std::collections::BTreeMap;

/// Most bytes of a document of metadata.
const MOST_BYTES: u64 = 32 << 20;
/// Most groups and arrays.
const MOST_NODES: usize = 100_000;
/// Most groups inside each other.
const DEEPEST: usize = 32;
/// Documents that are asked for at once.
const AT_ONCE: usize = 1024;

const ZARR_JSON: &str = "zarr.json";
const ZMETADATA: &str = ".zmetadata";
const ZGROUP: &str = ".zgroup";
const ZARRAY: &str = ".zarray";
const ZATTRS: &str = ".zattrs";

/// The documents of one group or array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Of version 2: `.zgroup` or `.zarray`, and `.zattrs`.
    Two { array: Option<Json>, attributes: Option<Json> },
    /// Of version 3: `zarr.json`.
    Three(Json),
}

impl Node {
    fn is_group(&self) -> bool {
        match self {
            Self::Two { array, .. } => array.is_none(),
            Self::Three(metadata) => is_group(metadata),
        }
    }
}

/// Whether a document of version 3 describes a group.
pub(crate) fn is_group(metadata: &Json) -> bool {
    metadata.get("node_type").and_then(Json::text) == Some("group")
}

/// What is in a store, by key; the root has the empty key.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) version: u8,
    pub(crate) by_key: BTreeMap<String, Node>,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// Reads the metadata of a store.
///
/// # Errors
/// [`FormatError::UnknownFormat`] if this is no Zarr store; [`FormatError::Corrupt`] for metadata of
/// the root that cannot be read; [`FormatError::Options`] where they are not consolidated and keys
/// cannot be listed.
pub(crate) fn nodes(keys: &dyn KeySource) -> Result<Nodes, FormatError> {
    let location = keys.location();
    let documents = read(keys, &[ZARR_JSON, ZMETADATA, ZARRAY, ZGROUP, ZATTRS].map(str::to_owned))?;
    let mut documents = documents.into_iter();
    let mut next = |name: &str| match documents.next().flatten() {
        Some(Err(problem)) => Err(FormatError::corrupt(location, name, problem)),
        Some(Ok(document)) => Ok(Some(document)),
        None => Ok(None),
    };
    let root = next(ZARR_JSON)?;
    if let Some(root) = root {
        let mut found = Nodes { version: 3, by_key: BTreeMap::new(), unreadable: vec![] };
        let consolidated = root.get("consolidated_metadata").and_then(|all| all.get("metadata"));
        let members = consolidated.and_then(Json::members).map(<[_]>::to_vec);
        let walks = is_group(&root) && members.is_none();
        found.insert(String::new(), Node::Three(root));
        for (key, metadata) in members.unwrap_or_default() {
            found.insert(key, Node::Three(metadata));
        }
        found.within(location)?;
        return if walks { found.walk(keys) } else { Ok(found) };
    }
    let mut found = Nodes { version: 2, by_key: BTreeMap::new(), unreadable: vec![] };
    let (consolidated, array, group) = (next(ZMETADATA)?, next(ZARRAY)?, next(ZGROUP)?);
    let attributes = next(ZATTRS)?;
    if let Some(consolidated) = consolidated {
        let members = consolidated.get("metadata").and_then(Json::members);
        let members = members
            .ok_or_else(|| FormatError::corrupt(location, ZMETADATA, "it holds no metadata"))?;
        found.consolidated(members);
        found.within(location)?;
        return Ok(found);
    }
    let is_array = array.is_some();
    if !is_array && group.is_none() {
        return Err(FormatError::UnknownFormat {
            location: location.to_owned(),
            found: "a folder without the metadata of a Zarr store".to_owned(),
        });
    }
    found.insert(String::new(), Node::Two { array, attributes });
    if is_array { Ok(found) } else { found.walk(keys) }
}

/// The documents under some keys; the inner error says what is wrong with one.
fn read(
    keys: &dyn KeySource,
    wanted: &[String],
) -> Result<Vec<Option<Result<Json, String>>>, FormatError> {
    let wanted: Vec<_> = wanted.iter().map(|key| (key.clone(), Span::Whole(MOST_BYTES))).collect();
    let read = keys.read(&wanted)?;
    Ok(read.into_iter().map(|bytes| bytes.map(|bytes| Json::parse(&bytes))).collect())
}

impl Nodes {
    fn insert(&mut self, key: String, node: Node) {
        if key.is_empty() || is_key(&key) {
            self.by_key.insert(key, node);
        } else {
            let reason = "a name that leads out of the store".to_owned();
            self.unreadable.push(Unreadable { path: format!("/{key}"), reason });
        }
    }

    fn within(&self, location: &str) -> Result<(), FormatError> {
        if self.by_key.len() <= MOST_NODES {
            return Ok(());
        }
        let problem = format!("more than {MOST_NODES} groups and arrays");
        Err(FormatError::corrupt(location, "the metadata", problem))
    }

    /// The members of `.zmetadata`: documents by key.
    fn consolidated(&mut self, members: &[(String, Json)]) {
        let document = |key: &str, name: &str| {
            let key = if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
            members.iter().rev().find(|(own, _)| *own == key).map(|(_, value)| value.clone())
        };
        let attributes: BTreeMap<&str, &Json> =
            members.iter().filter_map(|(key, value)| Some((of(key, ZATTRS)?, value))).collect();
        for (key, value) in members {
            let (node, array) = match (of(key, ZARRAY), of(key, ZGROUP)) {
                (Some(node), _) => (node, Some(value.clone())),
                (None, Some(node)) => (node, None),
                (None, None) => continue,
            };
            let attributes = attributes.get(node).map(|value| (*value).clone());
            self.insert(node.to_owned(), Node::Two { array, attributes });
        }
        if !self.by_key.contains_key("") {
            let attributes = document("", ZATTRS);
            self.insert(String::new(), Node::Two { array: None, attributes });
        }
    }

    /// Goes through the groups, one level after the other.
    fn walk(mut self, keys: &dyn KeySource) -> Result<Self, FormatError> {
        let location = keys.location();
        let mut groups = vec![String::new()];
        for _ in 0..DEEPEST {
            let mut children = Vec::new();
            for group in &groups {
                let names = keys.folders(group)?.ok_or_else(|| FormatError::Options {
                    location: location.to_owned(),
                    problem: "the metadata of this Zarr store are not consolidated, and its keys \
                              cannot be listed here; consolidate them \
                              (zarr.consolidate_metadata) or give the path of an array"
                        .to_owned(),
                })?;
                for name in names {
                    let key = if group.is_empty() { name } else { format!("{group}/{name}") };
                    children.push(key);
                }
                if children.len() > MOST_NODES {
                    let problem = format!("more than {MOST_NODES} groups and arrays");
                    return Err(FormatError::corrupt(location, "the metadata", problem));
                }
            }
            groups.clear();
            for some in children.chunks(AT_ONCE) {
                for (key, node) in some.iter().zip(self.children(keys, some)?) {
                    let Some(node) = node else { continue };
                    if node.is_group() {
                        groups.push(key.clone());
                    }
                    self.insert(key.clone(), node);
                }
            }
            self.within(location)?;
            if groups.is_empty() {
                return Ok(self);
            }
        }
        let reason = format!("more than {DEEPEST} groups inside each other");
        let paths = groups
            .into_iter()
            .map(|key| Unreadable { path: format!("/{key}"), reason: reason.clone() });
        self.unreadable.extend(paths);
        Ok(self)
    }

    /// The groups and arrays at some keys.
    fn children(
        &mut self,
        keys: &dyn KeySource,
        some: &[String],
    ) -> Result<Vec<Option<Node>>, FormatError> {
        let names: &[&str] =
            if self.version == 3 { &[ZARR_JSON] } else { &[ZARRAY, ZGROUP, ZATTRS] };
        let wanted: Vec<String> = some
            .iter()
            .flat_map(|key| names.iter().map(move |name| format!("{key}/{name}")))
            .collect();
        let mut documents = read(keys, &wanted)?.into_iter();
        let mut nodes = Vec::with_capacity(some.len());
        for key in some {
            let mut problem = None;
            let mut next = || match documents.next().flatten() {
                Some(Ok(document)) => Some(document),
                Some(Err(wrong)) => {
                    problem = Some(format!("its metadata: {wrong}"));
                    None
                }
                None => None,
            };
            let node = if self.version == 3 {
                next().map(Node::Three)
            } else {
                let (array, group, attributes) = (next(), next(), next());
                (array.is_some() || group.is_some()).then_some(Node::Two { array, attributes })
            };
            match problem {
                Some(reason) => {
                    self.unreadable.push(Unreadable { path: format!("/{key}"), reason });
                    nodes.push(None);
                }
                None => nodes.push(node),
            }
        }
        Ok(nodes)
    }
}

/// The group or array whose document `name` has this key.
fn of<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    let node = key.strip_suffix(name)?;
    if node.is_empty() { Some(node) } else { node.strip_suffix('/') }
}
