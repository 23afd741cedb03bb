//! One way to print an error: the message, then each cause, on one line.

use std::error::Error;
use std::fmt::Write as _;

/// The error and its sources, joined by `: `; a cause that repeats its parent's text is left out.
///
/// What a Kubernetes API answered is told by its message; the rest of the answer repeats that.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    if let Some(answer) = answer(error) {
        return answer.to_owned();
    }
    let mut text = error.to_string();
    let mut previous = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(answer) = answer(cause) {
            let _ = write!(text, ": {answer}");
            break;
        }
        let message = cause.to_string();
        if message != previous && !previous.ends_with(&message) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {message}");
        }
        previous = message;
        source = cause.source();
    }
    text
}

/// The message of a Kubernetes API's answer, if the error is one.
fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(&status.message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read settings")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_the_message_once() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "cannot read settings: disk on fire");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot apply it")]
    struct Refused(#[source] Box<kube::Error>);

    #[test]
    fn what_the_api_answered_is_its_message_alone() {
        let answer = || {
            let status = kube::core::Status::failure("it is \"invalid\"", "Invalid").with_code(422);
            kube::Error::Api(status.boxed())
        };
        assert_eq!(chain(&Refused(Box::new(answer()))), "cannot apply it: it is \"invalid\"");
        assert_eq!(chain(&answer()), "it is \"invalid\"");
    }
}
