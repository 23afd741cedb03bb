//! `aphex delivery list|get|watch|replay`.

mod explain;
mod fate;
mod filter;
mod replay;

use aphex_api::delivery::Delivery;
use aphex_gateway::deliveries::{Payload, UnpackError, fetch_payload};
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Client, ResourceExt as _};
use serde_json::Value;

pub(super) use explain::triggers as explain_triggers;
pub(super) use filter::Filter;

use super::look::{self, Query, Shown, age, name, text};
use crate::cli::{DeliveryVerb, Filters, Format, GetDelivery, Global, ListDeliveries, Look, Within};
use crate::output::{self, say_lines};
use crate::{connect, exit};

const SHOWN: Shown = Shown {
    noun: "delivery",
    command: "delivery",
    head: &["NAME", "EVENT", "REPOSITORY", "REF", "VERDICT", "CREATED", "AGE", "NAMESPACE", "MESSAGE"],
    wide: 2,
    row: |object, now| {
        let verdict = match text(object, "/status/verdict") {
            none if none.is_empty() => text(object, "/status/phase"),
            verdict => verdict,
        };
        vec![
            name(object).to_owned(),
            text(object, "/spec/event"),
            text(object, "/spec/repository"),
            text(object, "/spec/ref"),
            verdict,
            created(object),
            age(object, now),
            text(object, "/metadata/namespace"),
            text(object, "/status/message"),
        ]
    },
    namespace: None,
    goes_with_it: "",
};

/// `namespace/name` of what a delivery created, and whether it waits, gave way to a newer run or was withdrawn.
fn created(object: &Value) -> String {
    let all = object.pointer("/status/created").and_then(Value::as_array);
    let names = all.into_iter().flatten().map(|one| {
        let decided = match text(one, "/concurrency/verdict").as_str() {
            "Waiting" => " (waiting)",
            "Superseded" => " (superseded)",
            "Withdrawn" => " (withdrawn)",
            _ => "",
        };
        format!("{}/{}{decided}", text(one, "/namespace"), text(one, "/name"))
    });
    names.collect::<Vec<_>>().join(",")
}

pub(crate) async fn run(global: &Global, verb: DeliveryVerb) -> anyhow::Result<()> {
    match verb {
        DeliveryVerb::List(ListDeliveries { filters, watch }) => list(global, filters, watch).await,
        DeliveryVerb::Watch(filters) => list(global, filters, true).await,
        DeliveryVerb::Get(arguments) => get(global, arguments).await,
        DeliveryVerb::Replay(arguments) => replay::run(global, arguments).await,
    }
}

async fn list(global: &Global, filters: Filters, watch: bool) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let filter = Filter::of(&filters, jiff::Timestamp::now())?;
    let query = Query {
        within: Within { selector: filter.selector(filters.within.selector.as_deref()), ..filters.within },
        watch,
        wanted: &|object| filter.wants(object),
        order: |object| (text(object, "/spec/receivedTime"), name(object).to_owned()),
    };
    look::list_some(global, &client, &ApiResource::erase::<Delivery>(&()), query, &SHOWN).await
}

async fn get(global: &Global, arguments: GetDelivery) -> anyhow::Result<()> {
    let GetDelivery { named, payload } = arguments;
    if payload && !global.output.is_for_people() {
        let message =
            "--payload prints what was received, byte by byte: leave -o out, or --payload".to_owned();
        return Err(exit::Coded { code: exit::USAGE, message }.into());
    }
    if named.watch || !(payload || global.output == Format::Table) {
        return look::run::<Delivery>(global, Look::Get(named), &SHOWN).await;
    }
    let client = connect::client(global).await?;
    let delivery = find(&client, &named.name, named.namespace.as_deref()).await?;
    if payload {
        output::print_bytes(&payload_of(&client, &delivery).await?.raw);
    } else {
        say_lines(&explain::delivery(&delivery, &fate::fates(&client, &delivery).await));
    }
    Ok(())
}

/// What was received; who may not see it is told where it is.
async fn payload_of(client: &Client, delivery: &Delivery) -> anyhow::Result<Payload> {
    let error = match fetch_payload(client, delivery).await {
        Ok(payload) => return Ok(payload),
        Err(error) => error,
    };
    let (name, place) = (delivery.name_any(), delivery.namespace().unwrap_or_default());
    let UnpackError::Refused { namespace, .. } = &error else {
        let message = format!("the payload of delivery {place}/{name} cannot be read");
        return Err(anyhow::Error::new(error).context(message));
    };
    let message = format!(
        "the payload of delivery {place}/{name} is too large for one object, so it is kept in Secrets of namespace {namespace}, \
         and you may not read them: `aphex delivery get {name} -n {place}` shows all else, `aphex delivery replay {name} -n {place}` \
         decides it again, and members of the group platform-admins may read it"
    );
    Err(exit::Coded { code: exit::REFUSED, message }.into())
}

/// One delivery by name, wherever it is.
async fn find(client: &Client, name: &str, namespace: Option<&str>) -> anyhow::Result<Delivery> {
    let resource = ApiResource::erase::<Delivery>(&());
    let found: DynamicObject = look::must_find(client, &resource, name, namespace, &SHOWN).await?;
    Ok(found.try_parse()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_list_says_which_runs_wait_or_gave_way() {
        let run = |name: &str, concurrency: Value| json!({ "kind": "PipelineRun", "namespace": "web", "name": name, "concurrency": concurrency });
        let delivery = json!({ "status": { "created": [
            run("a", json!({ "verdict": "Waiting" })),
            run("b", json!({ "verdict": "Superseded", "supersededBy": "c" })),
            run("c", json!({ "verdict": "Released" })),
            run("d", Value::Null),
            run("e", json!({ "verdict": "Withdrawn" })),
        ] } });
        let expected = "web/a (waiting),web/b (superseded),web/c,web/d,web/e (withdrawn)";
        assert_eq!(created(&delivery), expected);
    }
}
