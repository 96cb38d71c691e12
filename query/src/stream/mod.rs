//! Training streams: pinned, ordered, resumable.
