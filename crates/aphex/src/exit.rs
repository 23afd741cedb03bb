//! Exit codes, as documented in `docs/exit-codes.md`.

use std::error::Error;

use kube::core::Status;

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
        if let Some(error) = of_server(cause) {
            return match error {
                kube::Error::Api(status) if status.code == 404 => NOT_FOUND,
                kube::Error::Api(status) if matches!(status.code, 401 | 403 | 409 | 422 | 400) => REFUSED,
                kube::Error::Api(status) if is_unknown_field(status) => REFUSED,
                kube::Error::Auth(_) => REFUSED,
                kube::Error::HyperError(_) | kube::Error::Service(_) => UNREACHABLE,
                _ => FAILURE,
            };
        }
    }
    FAILURE
}

/// Whether an apply was refused for a field that the kind does not have; Kubernetes answers that with 500.
pub(crate) fn is_unknown_field(status: &Status) -> bool {
    status.code == 500 && status.message.starts_with("failed to create typed patch object")
}

/// Whether the server says that the user may not do it.
pub(crate) fn is_forbidden(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(of_server);
    causes.any(|error| matches!(error, kube::Error::Api(status) if status.code == 403))
}

/// What the server or the way to it said, where a cause is that; the controllers' errors keep it in a box.
pub(crate) fn of_server<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a kube::Error> {
    cause
        .downcast_ref::<kube::Error>()
        .or_else(|| cause.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref))
}
