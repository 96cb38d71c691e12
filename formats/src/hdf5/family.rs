//! The files that a file refers to, and what of them shows up in it through external links.

use super::Hdf5Reader;
use super::index::External;
use super::links::Followed;
use super::{Spot, dimensions, variable_path};
use crate::budget::{self, Budget};
use crate::contents::{Attribute, Unreadable, Variable};
use crate::error::FormatError;
use crate::reader::{OpenOptions, Reader};
use crate::siblings::Unresolved;
use crate::source::ByteSource;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Files that one file leads to, at most.
const MOST: usize = 4096;
/// Files that lead to each other one after another, at most.
const DEEPEST: usize = 8;

/// The files that are opened for the sake of one.
pub(super) struct Family<'a> {
    pub(super) options: &'a OpenOptions,
    /// Those that are open, by location.
    members: RefCell<HashMap<String, Arc<Hdf5Reader>>>,
    /// Those that are being opened, each for the one before it.
    trail: RefCell<Vec<String>>,
}

/// Why there is nothing to be had of another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreached {
    /// There is no such file.
    Missing,
    /// It is the file that refers to it.
    Itself,
    Because(String),
}

impl<'a> Family<'a> {
    pub(super) fn new(options: &'a OpenOptions) -> Self {
        Self { options, members: RefCell::default(), trail: RefCell::default() }
    }

    /// The files that one of the family names.
    pub(super) fn named_in<'f>(&'f self, location: &'f str) -> Named<'f> {
        Named { family: self, location, known: HashMap::new() }
    }

    /// Opens a file that one at `location` calls `name`; fails if reading fails.
    fn open(
        &self,
        location: &str,
        name: &str,
    ) -> Result<Result<Arc<Hdf5Reader>, Unreached>, FormatError> {
        let because = |why: &str| Ok(Err(Unreached::Because(why.to_owned())));
        let Some(resolver) = &self.options.siblings else {
            return because("other files are not opened here");
        };
        let source: Arc<dyn ByteSource> = match resolver.resolve(location, name) {
            Ok(source) => source,
            Err(Unresolved::Missing) => return Ok(Err(Unreached::Missing)),
            Err(refused @ Unresolved::Refused(_)) => return because(&refused.to_string()),
            Err(Unresolved::Source(error)) => return Err(error.into()),
        };
        let own = source.location().to_owned();
        if own == location {
            return Ok(Err(Unreached::Itself));
        }
        if let Some(member) = self.members.borrow().get(&own) {
            return Ok(Ok(Arc::clone(member)));
        }
        let trail = self.trail.borrow().clone();
        if trail.contains(&own) || trail.len() >= DEEPEST {
            return because("files refer to each other in a circle, or in too long a row");
        }
        if self.members.borrow().len() >= MOST {
            return because("too many other files are referred to");
        }
        match Hdf5Reader::open_in(source, self) {
            Ok(reader) => {
                let reader = Arc::new(reader);
                self.members.borrow_mut().insert(own, Arc::clone(&reader));
                Ok(Ok(reader))
            }
            Err(FormatError::Source(error)) => Err(error.into()),
            Err(error) => because(&error.to_string()),
        }
    }

    /// Runs `work` while the file at `location` is being opened.
    pub(super) fn while_opening<R>(&self, location: &str, work: impl FnOnce() -> R) -> R {
        self.trail.borrow_mut().push(location.to_owned());
        let result = work();
        self.trail.borrow_mut().pop();
        result
    }
}

/// The files that one file names, each looked for once.
pub(super) struct Named<'f> {
    family: &'f Family<'f>,
    location: &'f str,
    known: HashMap<String, Result<Arc<Hdf5Reader>, Unreached>>,
}

impl Named<'_> {
    pub(super) fn open(
        &mut self,
        name: &str,
    ) -> Result<Result<Arc<Hdf5Reader>, Unreached>, FormatError> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let opened = self.family.open(self.location, name)?;
        self.known.insert(name.to_owned(), opened.clone());
        Ok(opened)
    }
}

/// What a file shows: its own, and through external links.
pub(super) struct Shown {
    pub(super) variables: Vec<Variable>,
    pub(super) spots: HashMap<String, Spot>,
    pub(super) groups: Vec<(String, Vec<Attribute>)>,
    pub(super) unreadable: Vec<Unreadable>,
}

impl Shown {
    /// Adds what an external link leads to.
    pub(super) fn link(
        &mut self,
        link: &External,
        named: &mut Named<'_>,
        budget: &Budget,
    ) -> Result<(), FormatError> {
        let External { path, file, target } = link;
        let why = match named.open(file)? {
            Ok(reader) if self.add(path, &reader, target, budget)? => return Ok(()),
            Ok(_) => "there is no such object".to_owned(),
            Err(Unreached::Missing) => "there is no such file".to_owned(),
            Err(Unreached::Itself) => "the file refers to itself".to_owned(),
            Err(Unreached::Because(why)) => why,
        };
        let reason = format!("an external link to {target} in {file}: {why}");
        self.unreadable.push(Unreadable { path: path.clone(), reason });
        Ok(())
    }

    /// Adds an object of another file, and what is in it; false if there is none.
    fn add(
        &mut self,
        path: &str,
        reader: &Arc<Hdf5Reader>,
        target: &str,
        budget: &Budget,
    ) -> Result<bool, FormatError> {
        let Some(target) = reader.canonical(target) else { return Ok(false) };
        let prefix = format!("{}/", target.trim_end_matches('/'));
        // The path under which something of the other file shows up here.
        let shown = |other: &str| match other.strip_prefix(&prefix) {
            Some(below) => Some(format!("{path}/{below}")),
            None => (other == target).then(|| path.to_owned()),
        };
        let contents = &reader.contents;
        for variable in &contents.variables {
            let Some(path) = shown(&variable.path) else { continue };
            let bytes = budget::of_attributes(&variable.attributes)
                .saturating_add(budget::of_dimensions(&variable.dimensions))
                .saturating_add(path.len() as u64 * 4);
            budget.take(reader.location(), &path, bytes)?;
            let mut variable = variable.clone();
            let spot = Spot::Other(Arc::clone(reader), variable.path);
            dimensions::variable_name(&path).clone_into(&mut variable.name);
            for dimension in &mut variable.dimensions {
                dimension.coordinate = dimension.coordinate.as_deref().and_then(shown);
            }
            self.spots.insert(path.clone(), spot);
            variable.path = path;
            self.variables.push(variable);
        }
        for (group, attributes) in &contents.groups {
            if let Some(path) = shown(group) {
                budget.take(reader.location(), &path, budget::of_attributes(attributes))?;
                self.groups.push((path, attributes.clone()));
            }
        }
        for unreadable in &contents.unreadable {
            if let Some(path) = shown(&unreadable.path) {
                let bytes = path.len().saturating_add(unreadable.reason.len());
                budget.take(reader.location(), &path, bytes as u64)?;
                self.unreadable.push(Unreadable { path, reason: unreadable.reason.clone() });
            }
        }
        Ok(true)
    }
}

impl Hdf5Reader {
    /// The path under which the object at `path` is listed.
    pub(super) fn canonical(&self, path: &str) -> Option<String> {
        let path = format!("/{}", path.trim_matches('/'));
        let contents = &self.contents;
        let listed = self.spots.contains_key(&path)
            || path == "/"
            || contents.groups.iter().any(|(group, _)| *group == path)
            || contents.unreadable.iter().any(|unreadable| unreadable.path == path);
        if listed {
            return Some(path);
        }
        match self.index.links.follow(self.index.links.root, &path) {
            Followed::Object(address) => {
                self.index.objects.get(&address).map(|path| variable_path(path))
            }
            Followed::External { .. } | Followed::Nothing => None,
        }
    }

    /// The reader and the place in its index of the dataset at `path`.
    pub(super) fn locate(self: &Arc<Self>, path: &str) -> Option<(Arc<Self>, usize)> {
        match self.spots.get(&self.canonical(path)?)? {
            Spot::Own(place) => Some((Arc::clone(self), *place)),
            Spot::Other(reader, path) => reader.locate(path),
        }
    }
}
