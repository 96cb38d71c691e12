//! The Flight door from outside: SQL and streams, with an engine and a server in this process.

#[cfg(test)]
mod sql;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod support;
