//! How long a request may take (`WithRequestDeadline` in k8s.io/apiserver/pkg/endpoints/filters).

use std::time::Duration;

use super::Query;
use crate::status::Status;

/// What a request may take when it does not say, or asks for more.
const MOST: Duration = Duration::from_mins(1);

/// The time that a request may take; it can ask for less than the usual.
pub fn of(query: &Query) -> Result<Duration, Status> {
    let Some(text) = query.get("timeout").filter(|text| !text.is_empty()) else { return Ok(MOST) };
    let Some(nanoseconds) = aphex_cel::parse_duration(text) else {
        let why = format!("invalid timeout specified in the request URL - time: {}", fault(text));
        return Err(Status::bad_request(why));
    };
    let wanted = u64::try_from(nanoseconds).map_or(Duration::ZERO, Duration::from_nanos);
    Ok(if wanted.is_zero() { MOST } else { wanted.min(MOST) })
}

/// The answer to a request that took longer.
pub fn exceeded() -> Status {
    let why = "request did not complete within requested timeout - context deadline exceeded";
    Status::timeout(why)
}

/// What Go says is wrong with a duration.
fn fault(text: &str) -> String {
    let digits = text.trim_start_matches(['-', '+']);
    let number = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let unit: String = digits[number..].chars().take_while(|c| !c.is_ascii_digit() && *c != '.').collect();
    match (number, unit.as_str()) {
        (0, _) => format!("invalid duration {text:?}"),
        (_, "") => format!("missing unit in duration {text:?}"),
        (_, unit) => format!("unknown unit {unit:?} in duration {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Duration, String> {
        of(&Query::parse(Some(&format!("timeout={text}")))).map_err(|status| status.message.clone())
    }

    #[test]
    fn a_request_may_ask_for_less_time_and_not_for_more() {
        assert_eq!(told(""), Ok(MOST));
        assert_eq!(told("0s"), Ok(MOST));
        assert_eq!(told("3m"), Ok(MOST));
        assert_eq!(told("1500ms"), Ok(Duration::from_millis(1500)));
    }

    #[test]
    fn what_is_no_duration_is_refused_in_gos_words() {
        let wrong = |text: &str| told(text).unwrap_err();
        assert!(wrong("invalid").ends_with("time: invalid duration \"invalid\""));
        assert!(wrong("10").ends_with("time: missing unit in duration \"10\""));
        assert!(wrong("10y").ends_with("time: unknown unit \"y\" in duration \"10y\""));
    }
}
