//! Flight SQL and streams on one port.
