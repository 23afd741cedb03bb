//! A Kubernetes API server in one library: generic registry over the store; knows none of our kinds
