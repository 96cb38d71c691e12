//! Table functions over files and scalar functions for science.
