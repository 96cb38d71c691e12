//! The feed of this lab's records, for each peer what that peer may know, signed.
//!
//! Every change of the catalog is noted in the table `change`, in its own transaction. When a peer asks, the changes
//! since it asked last are decided for it, and what it was told is kept by dataset with a sequence of its own, so that
//! the numbers say nothing about what it may not know. A dataset stands in a feed once, at the place of its last event:
//! whoever reads on from any place has the same records in the end.
//!
//! A peer may know what anybody there may see whole who is not signed in: its node shows what it was told to
//! everyone. What is closed to them, shown in part alone, or held by grants never enters its feed; when something is
//! closed that was told, a tombstone takes its place. Retractions and tombstones are ahead of everything that is told.

mod content;
mod project;
mod serve;
mod statement;
mod tree;

pub use content::{PeerRecord, PeerTable, PeerVersion, PeerWithdrawal};
pub use statement::{PageRequest, Position, RecordsRequest, Signed};
pub use tree::{Tree, TreeRequest};

pub(crate) use content::LARGEST;
pub(crate) use serve::KeptTrees;
pub(crate) use statement::{Event, Kind, Page, hash_of_content, read};
pub(crate) use tree::TreeAnswer;
