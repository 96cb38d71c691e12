//! Table providers: files in place and Delta.
