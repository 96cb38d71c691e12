//! Policies: Cedar texts, checked against one schema, and what they decide.
//!
//! The presets are embedded; `policies/*.cedar` of a home come on top, and may permit and forbid
//! whatever the schema speaks of. All are validated strictly when the catalog opens: a policy that
//! does not validate stops the node, because nobody could say what it would do.

mod names;
mod resource;
mod rights;

pub(crate) use resource::{Resource, assurance, own_exposure};
pub(crate) use rights::Rights;
pub use rights::subject;

use crate::CatalogError;
use crate::decision::Action;
use crate::model::Dataset;
use crate::obligation::Obligation;
use cedar_policy::{
    ActionConstraint, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    Policy, PolicyId, PolicySet, Request, Schema, ValidationMode, Validator,
};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

const SCHEMA: &str = include_str!("schema.cedarschema");
const PRESETS: &str = include_str!("presets.cedar");
/// Name of the folder of a home with the lab's own policies.
const FOLDER: &str = "policies";

/// Most datasets that are kept as Cedar has them.
const KEPT: usize = 4096;

/// The policies of a node.
pub(crate) struct Policies {
    authorizer: Authorizer,
    person: EntityTypeName,
    dataset: EntityTypeName,
    actions: BTreeMap<Action, Asked>,
    /// Datasets as Cedar has them, which takes longer to make than to decide about.
    entities: Mutex<BTreeMap<Resource, Entity>>,
    /// Datasets that a policy names, as `lab.name`.
    named: BTreeSet<String>,
    /// People that a policy of the lab names.
    people: names::Names,
    fingerprint: String,
    /// Whether a policy of the lab itself asks for something.
    lab_owes: bool,
    /// Whether a policy of the lab speaks of the time.
    heeds_time: bool,
}

/// An action, and what the policies say of it.
struct Asked {
    action: EntityUid,
    /// The policies that may speak of this action: Cedar works through all it is given.
    policies: PolicySet,
    /// What those that ask for something ask for.
    obligations: BTreeMap<PolicyId, BTreeSet<Obligation>>,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// What the policies say to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    /// The policies that decided: those that permit, or those that forbid; none if none permits.
    pub(crate) policies: BTreeSet<String>,
    pub(crate) obligations: BTreeSet<Obligation>,
}

/// A failure of the policies themselves. It is never an answer that allows.
pub(crate) fn failed(problem: impl std::fmt::Display) -> CatalogError {
    CatalogError::Policy(problem.to_string())
}

impl Policies {
    /// The presets and what a home's `policies/` adds.
    pub(crate) fn load(home: &Path) -> Result<Self, CatalogError> {
        let mut texts = vec![("presets".to_owned(), PRESETS.to_owned())];
        let folder = home.join(FOLDER);
        let wrong = |error: std::io::Error| failed(format!("{}: {error}", folder.display()));
        let mut files = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            listed => listed
                .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
                .map_err(wrong)?,
        };
        files.retain(|path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "cedar"));
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| failed(format!("{}: {error}", file.display())))?;
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            texts.push((name.unwrap_or_default(), text));
        }
        Self::of(&texts)
    }

    /// Policies of these texts, each with the name that its policies are known by.
    pub(crate) fn of(texts: &[(String, String)]) -> Result<Self, CatalogError> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(failed)?;
        let mut set = PolicySet::new();
        let (mut named, mut people) = (BTreeSet::new(), names::Names::default());
        let (mut lab_owes, mut heeds_time) = (false, false);
        let mut hash = blake3::Hasher::new();
        hash.update(resource::VERSION);
        for (name, text) in texts {
            heeds_time |= name != "presets" && text.contains("context.now");
            hash.update(name.as_bytes()).update(b"\0").update(text.as_bytes()).update(b"\0");
            let parsed = PolicySet::from_str(text)
                .map_err(|error| failed(format!("the policies {name}: {error}")))?;
            if parsed.templates().next().is_some() {
                return Err(failed(format!("the policies {name}: templates are not linked here")));
            }
            for policy in parsed.policies() {
                let own =
                    policy.annotation("id").map_or_else(|| policy.id().to_string(), str::to_owned);
                let id = if name == "presets" { own } else { format!("{name}/{own}") };
                for literal in policy.entity_literals() {
                    if literal.type_name().to_string() == "Dataset" {
                        named.insert(literal.id().unescaped().to_owned());
                    }
                }
                if name != "presets" {
                    people.add(policy);
                }
                let owed = known_obligations(policy);
                let owed = owed.map_err(|problem| failed(format!("{id}: {problem}")))?;
                lab_owes |= name != "presets" && !owed.is_empty();
                set.add(policy.new_id(PolicyId::new(&id)))
                    .map_err(|error| failed(format!("two policies are called {id}: {error}")))?;
            }
        }
        let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
        let problems: Vec<String> = result.validation_errors().map(ToString::to_string).collect();
        if !problems.is_empty() {
            return Err(failed(problems.join("; ")));
        }
        let name = |text: &str| EntityTypeName::from_str(text).map_err(failed);
        let action = name("Action")?;
        let mut actions = BTreeMap::new();
        for one in Action::ALL {
            let id = EntityId::new(one.as_str());
            let action = EntityUid::from_type_name_and_id(action.clone(), id);
            actions.insert(one, Asked::new(action, &set)?);
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            person: name("Person")?,
            dataset: name("Dataset")?,
            actions,
            entities: Mutex::default(),
            named,
            people,
            fingerprint: hash.finalize().to_hex().to_string(),
            lab_owes,
            heeds_time,
        })
    }

    /// Whether a policy of the lab itself asks for something before data leave.
    pub(crate) fn lab_owes(&self) -> bool {
        self.lab_owes
    }

    /// Whether a policy of the lab itself may decide otherwise at another time.
    pub(crate) fn heeds_time(&self) -> bool {
        self.heeds_time
    }

    /// Whether a policy of the lab itself names a person of this name.
    pub(crate) fn name_person(&self, name: &str) -> bool {
        self.people.speak_of(name)
    }

    /// Changes when the texts do.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A dataset as these policies see it.
    pub(crate) fn resource(&self, dataset: &Dataset) -> Resource {
        Resource::new(dataset, |key| self.named.contains(key))
    }

    /// A principal before a dataset at a moment: what may be asked about.
    pub(crate) fn case(
        &self,
        rights: &Rights,
        resource: &Resource,
        now: DateTime<Utc>,
    ) -> Result<Case<'_>, CatalogError> {
        let uid = |kind: &EntityTypeName, id: &str| {
            EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
        };
        let person = rights.entity(|id| uid(&self.person, id))?;
        let kept = self.entities.lock().unwrap_or_else(PoisonError::into_inner);
        let dataset = kept.get(resource).cloned();
        drop(kept);
        let dataset = if let Some(kept) = dataset {
            kept
        } else {
            let what = uid(&self.dataset, &resource.key);
            let made = Entity::new(what, resource.attributes()?, HashSet::new()).map_err(failed)?;
            let mut kept = self.entities.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert(resource.clone(), made.clone());
            made
        };
        let (who, what) = (person.uid(), dataset.uid());
        let entities = Entities::from_entities([person, dataset], None).map_err(failed)?;
        let now = resource::moment(now.timestamp_millis())?;
        let context = Context::from_pairs([("now".to_owned(), now)]).map_err(failed)?;
        Ok(Case { policies: self, who, what, entities, context })
    }
}

/// A principal before a dataset at a moment.
pub(crate) struct Case<'a> {
    policies: &'a Policies,
    who: EntityUid,
    what: EntityUid,
    entities: Entities,
    context: Context,
}

impl Case<'_> {
    /// What the policies say to one question. A policy that fails while it is asked makes the answer
    /// a refusal: Cedar would leave it out, and leaving out one that forbids would allow.
    pub(crate) fn ask(&self, action: Action) -> Result<Verdict, CatalogError> {
        let Policies { actions, authorizer, .. } = self.policies;
        let asked =
            actions.get(&action).ok_or_else(|| failed(format!("no action {}", action.as_str())))?;
        let (who, what) = (self.who.clone(), self.what.clone());
        let request = Request::new(who, asked.action.clone(), what, self.context.clone(), None)
            .map_err(failed)?;
        let answer = authorizer.is_authorized(&request, &asked.policies, &self.entities);
        let diagnostics = answer.diagnostics();
        if let Some(error) = diagnostics.errors().next() {
            return Err(failed(error));
        }
        let policies: BTreeSet<String> = diagnostics.reason().map(ToString::to_string).collect();
        let allowed = answer.decision() == cedar_policy::Decision::Allow;
        let mut obligations = BTreeSet::new();
        // Every permit that applies allows by itself: where one of them asks for nothing, nothing is
        // owed; where all ask for something, all of it is.
        let mut free = false;
        for id in diagnostics.reason() {
            match asked.obligations.get(id) {
                Some(owed) => obligations.extend(owed.iter().cloned()),
                None => free = true,
            }
        }
        if free || !allowed {
            obligations.clear();
        }
        Ok(Verdict { allowed, policies, obligations })
    }
}

impl Asked {
    fn new(action: EntityUid, all: &PolicySet) -> Result<Self, CatalogError> {
        let (mut policies, mut obligations) = (PolicySet::new(), BTreeMap::new());
        for policy in all.policies() {
            let speaks = match policy.action_constraint() {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(one) => one == action,
                ActionConstraint::In(some) => some.contains(&action),
            };
            if !speaks {
                continue;
            }
            let owed = known_obligations(policy).map_err(failed)?;
            if !owed.is_empty() {
                obligations.insert(policy.id().clone(), owed);
            }
            policies.add(policy.clone()).map_err(failed)?;
        }
        Ok(Self { action, policies, obligations })
    }
}

/// What a policy asks for in its annotation `@obligation("…; …")`. What is not known is an error, and
/// so is asking for something where nothing is allowed.
fn known_obligations(policy: &Policy) -> Result<BTreeSet<Obligation>, String> {
    // A misspelt obligation would be none.
    let mut annotations = policy.annotations();
    if let Some((other, _)) = annotations.find(|(name, _)| !["id", "obligation"].contains(name)) {
        return Err(format!("the annotation @{other} is not known: there are @id and @obligation"));
    }
    let Some(text) = policy.annotation("obligation") else { return Ok(BTreeSet::new()) };
    if policy.effect() == cedar_policy::Effect::Forbid {
        return Err("an obligation stands on a permit; a forbid allows nothing".to_owned());
    }
    let owed: BTreeSet<Obligation> =
        text.split(';').map(|one| Obligation::from_str(one.trim())).collect::<Result<_, _>>()?;
    Ok(owed)
}
