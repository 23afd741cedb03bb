//! How many files, connections among them, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for everything that is not a connection: the engine's own connections, files, databases.
const OTHERS: usize = 256;

/// Asks the system for as many as this process may have, and tells how many that are.
///
/// Shells and service managers give 1,024 at first, for the sake of programs that use `select(2)`.
pub fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Whoever may not raise it goes on with what there is.
    let _ = setrlimit(Resource::Nofile, wanted);
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|current| usize::try_from(current).ok()).unwrap_or(usize::MAX)
}

/// So many connections as wanted, or as many as the files of this process allow; says so when they are fewer.
pub fn connections(wanted: usize) -> usize {
    let files = raise();
    let possible = files.saturating_sub(OTHERS).max(1);
    if possible < wanted {
        tracing::warn!(
            files,
            connections = possible,
            "fewer connections than asked for: raise the limit of open files (ulimit -n) of this process"
        );
    }
    wanted.min(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_allowed_and_bounds_connections() {
        let files = raise();
        assert_eq!(raise(), files);
        let maximum =
            getrlimit(Resource::Nofile).maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
        assert_eq!(files, maximum);
        assert_eq!(connections(1), 1);
        assert_eq!(connections(usize::MAX), files.saturating_sub(OTHERS).max(1));
    }
}
