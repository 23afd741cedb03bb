//! How much a status may say. It lies in one object with the payload, and texts of payloads get into it: as parameters, and as
//! what the engine quotes when it refuses something.

use aphex_api::delivery::{DeliveryStatus, TriggerResult, TriggerVerdict};

/// The longest text of a status, in bytes; the definition of Delivery allows its condition eight times as much.
const TEXT: usize = 4 * 1024;
/// What triggers may say together. The payload has at most 900 KiB of the 1.5 MiB that etcd takes.
const TOGETHER: usize = 256 * 1024;
/// The longest text where that is not enough, or the engine takes no more.
const SHORT: usize = 256;
/// What a text ends with that was cut.
const CUT: &str = "…";

/// Cuts a text to so many bytes, and says so.
pub(in crate::deliveries) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
}

/// Cuts what a status says to what an object has room for.
pub(super) fn message(text: &mut String) {
    cut(text, TEXT);
}

/// The same for what triggers say.
pub(super) fn triggers(triggers: &mut [TriggerResult]) {
    let mut together = 0;
    for trigger in &mut *triggers {
        for text in texts(trigger) {
            cut(text, TEXT);
            together += text.len();
        }
    }
    if together > TOGETHER {
        triggers.iter_mut().for_each(shorten);
    }
}

/// All texts of a trigger's result that may be long.
fn texts(trigger: &mut TriggerResult) -> impl Iterator<Item = &mut String> {
    let asked = trigger.interceptors.iter_mut().flat_map(|asked| {
        let said = [Some(&mut asked.message), asked.expression.as_mut()];
        said.into_iter().flatten().chain(asked.values.values_mut())
    });
    std::iter::once(&mut trigger.message).chain(asked).chain(trigger.params.values_mut())
}

/// Leaves what has to be known to try it again, and why it went as it did.
fn shorten(trigger: &mut TriggerResult) {
    cut(&mut trigger.message, SHORT);
    trigger.interceptors.clear();
    trigger.params.clear();
}

/// The least that a status has to say: the verdict, what was created, and what failed. For an engine that took no more.
pub(in crate::deliveries) fn least(mut status: DeliveryStatus) -> DeliveryStatus {
    cut(&mut status.message, SHORT);
    for condition in &mut status.conditions {
        cut(&mut condition.message, SHORT);
    }
    status
        .triggers
        .retain(|trigger| trigger.verdict != TriggerVerdict::NotWanted || !trigger.created.is_empty());
    status.triggers.iter_mut().for_each(shorten);
    status
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aphex_api::delivery::{InterceptorResult, InterceptorVerdict};

    use super::*;

    fn trigger(verdict: TriggerVerdict, param: &str) -> TriggerResult {
        TriggerResult {
            name: "t".into(),
            namespace: "org-acme".into(),
            group: None,
            verdict,
            message: "because".into(),
            interceptors: vec![InterceptorResult {
                name: "cel".into(),
                verdict: InterceptorVerdict::Passed,
                message: String::new(),
                expression: Some("e".repeat(TEXT + 1)),
                values: BTreeMap::from([("body".into(), "v".repeat(TEXT + 1))]),
            }],
            params: BTreeMap::from([("p".into(), param.into())]),
            created: Vec::new(),
        }
    }

    #[test]
    fn a_long_text_is_cut_where_a_letter_ends() {
        for (text, most, expected) in
            [("short", 5, "short"), ("longer", 5, "lo…"), ("烈烈烈", 8, "烈…"), ("烈烈烈", 9, "烈烈烈")]
        {
            let mut text = text.to_owned();
            cut(&mut text, most);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn what_triggers_say_fits_an_object_however_many_there_are() {
        let mut few = vec![trigger(TriggerVerdict::Created, &"p".repeat(1 << 20))];
        triggers(&mut few);
        let said = |trigger: &mut TriggerResult| texts(trigger).map(|text| text.len()).collect::<Vec<_>>();
        assert_eq!(said(&mut few[0]), [7, 0, TEXT, TEXT, TEXT]);
        let mut many = vec![trigger(TriggerVerdict::Failed, &"p".repeat(TEXT)); 100];
        triggers(&mut many);
        assert_eq!(said(&mut many[99]), [7]);
        assert!(serde_json::to_string(&many).unwrap().len() < TOGETHER);
    }

    #[test]
    fn the_least_is_what_was_made_and_what_failed() {
        use TriggerVerdict::{Created, Failed, NotWanted};
        let status = least(DeliveryStatus {
            message: "m".repeat(TEXT),
            triggers: [Created, NotWanted, Failed].map(|verdict| trigger(verdict, "p")).into(),
            ..DeliveryStatus::default()
        });
        let verdicts: Vec<_> = status.triggers.iter().map(|trigger| trigger.verdict).collect();
        assert_eq!((verdicts, status.message.len()), (vec![Created, Failed], SHORT));
        assert!(
            status
                .triggers
                .iter()
                .all(|trigger| trigger.params.is_empty() && trigger.interceptors.is_empty())
        );
    }
}
