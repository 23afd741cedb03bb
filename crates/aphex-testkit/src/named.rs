//! Real clusters that tests are told to run on instead of the embedded engine.
//!
//! A test that takes back what it made waits some seconds for each namespace (kube-controller-manager lets five pass before
//! it begins to empty one), so several clusters get a suite done in a part of the time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The environment variable that names their kubeconfigs, with a `:` between two, as `PATH` does.
const VARIABLE: &str = "APHEX_TEST_KUBECONFIG";

static ALL: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let named = std::env::var_os(VARIABLE).unwrap_or_default();
    std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect()
});
/// Those that no test has for itself, and how many they are.
static FREE: LazyLock<(Mutex<Vec<&'static Path>>, Semaphore)> =
    LazyLock::new(|| (Mutex::new(ALL.iter().map(PathBuf::as_path).collect()), Semaphore::new(ALL.len())));
/// The next one that is shared.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// One of them.
pub(crate) struct Named {
    kubeconfig: &'static Path,
    _turn: Option<Turn>,
}

/// A test has it for itself until this is dropped.
struct Turn {
    kubeconfig: &'static Path,
    // Given back after the body of `drop`, so that whoever is let in finds the cluster.
    _permit: SemaphorePermit<'static>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        FREE.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.kubeconfig);
    }
}

/// One that others may use at the same time; `None` where tests run on the embedded engine.
pub(crate) fn any() -> Option<Named> {
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    let kubeconfig = ALL.get(turn.checked_rem(ALL.len())?)?;
    Some(Named { kubeconfig, _turn: None })
}

/// One that no other caller of this has at the same time; `None` where tests run on the embedded engine.
pub(crate) async fn alone() -> anyhow::Result<Option<Named>> {
    if ALL.is_empty() {
        return Ok(None);
    }
    let permit = FREE.1.acquire().await?;
    let taken = FREE.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
    Ok(taken.map(|kubeconfig| Named { kubeconfig, _turn: Some(Turn { kubeconfig, _permit: permit }) }))
}

impl Named {
    pub(crate) fn kubeconfig(&self) -> &Path {
        self.kubeconfig
    }

    /// An administrator's access.
    pub(crate) async fn config(&self) -> anyhow::Result<kube::Config> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig)?;
        Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }
}
