//! Fixtures for tests: an embedded API server on port 0, waiting helpers, real engines
