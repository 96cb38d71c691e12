//! SQL over other labs: fragments that travel to the owner of the data.
