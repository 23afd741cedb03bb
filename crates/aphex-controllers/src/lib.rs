//! Desired state for tenants: Organization and RepoBinding controllers
