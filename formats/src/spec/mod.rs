//! SPEC scan logs.
