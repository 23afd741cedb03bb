//! Who is asking and may they: certificates, tokens, RBAC; no HTTP, no storage
