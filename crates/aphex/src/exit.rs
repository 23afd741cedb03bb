//! Exit codes, as documented in `docs/exit-codes.md`.

/// Anything that has no code of its own.
pub(crate) const FAILURE: u8 = 1;
/// The command line is not as it should be; what clap refuses has it too.
pub(crate) const USAGE: u8 = 2;
/// `aphex trigger test`: the event is not wanted.
pub(crate) const NOT_WANTED: u8 = 3;
/// The object asked for does not exist.
pub(crate) const NOT_FOUND: u8 = 4;
/// The server understood and refuses: not allowed, or not valid.
pub(crate) const REFUSED: u8 = 5;
/// The server cannot be reached.
pub(crate) const UNREACHABLE: u8 = 6;
/// Waiting took longer than the caller allowed.
pub(crate) const TIMED_OUT: u8 = 7;
/// Everything asked for is done.
pub(crate) const DONE: u8 = 0;
/// `aphex plan`: something would change. `aphex trigger backtest`: something would be decided otherwise.
pub(crate) const CHANGES: u8 = 2;

/// An error that asks for one of these codes.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Coded {
    pub(crate) code: u8,
    pub(crate) message: String,
}

/// The code for an error: its own when it has one, else by what the server said.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    // The code of a context goes before that of its causes.
    if let Some(coded) = error.downcast_ref::<Coded>() {
        return coded.code;
    }
    for cause in error.chain() {
        if let Some(coded) = cause.downcast_ref::<Coded>() {
            return coded.code;
        }
        if let Some(error) = cause.downcast_ref::<kube::Error>() {
            return match error {
                kube::Error::Api(status) if status.code == 404 => NOT_FOUND,
                kube::Error::Api(status) if matches!(status.code, 401 | 403 | 409 | 422 | 400) => REFUSED,
                kube::Error::Auth(_) => REFUSED,
                kube::Error::HyperError(_) | kube::Error::Service(_) => UNREACHABLE,
                _ => FAILURE,
            };
        }
    }
    FAILURE
}
