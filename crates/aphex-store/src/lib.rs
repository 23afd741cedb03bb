//! Revisioned, durable key-value log with watches: what etcd is to an API server
