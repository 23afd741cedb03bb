//! Server-side apply, strategic merge patch and managed fields over a schema
