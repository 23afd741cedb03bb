//! The embedded engine to play a session on.

use aphex_testkit::{Access, Cluster};

/// An engine of its own for one session.
pub(crate) async fn embedded() -> anyhow::Result<(Cluster, Access)> {
    let cluster = Cluster::start().await?;
    let access = Access::read(&cluster.serve().await?)?;
    Ok((cluster, access))
}
