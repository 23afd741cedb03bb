//! One way to print an error: the message, then each cause, on one line.

use std::error::Error;
use std::fmt::Write as _;

/// The error and its sources, joined by `: `; a cause that repeats its parent's text is left out.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut previous = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
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
}
