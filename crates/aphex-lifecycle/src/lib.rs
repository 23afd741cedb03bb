//! The housekeeping controllers of a cluster: namespaces, garbage collection, service accounts
