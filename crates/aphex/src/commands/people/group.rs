//! `aphex group`.

use reqwest::Method;
use serde_json::{Value, json};

use super::list::{Row, View};
use super::{Interface, cell, changed, name, title};
use crate::ask;
use crate::cli::{Format, Global, GroupVerb, Groups};
use crate::output::{self, say};

const NOUN: &str = "group";

pub(crate) async fn run(global: &Global, arguments: Groups) -> anyhow::Result<()> {
    let interface = Interface::at(&arguments.place)?;
    match arguments.verb {
        GroupVerb::List { watch } => list(&global.output, &interface, watch).await,
        GroupVerb::Get { group, watch } => get(&global.output, &interface, &group, watch).await,
        GroupVerb::Add { group } => {
            let made = interface.send(Method::POST, "core/groups/", Some(&json!({ "name": group }))).await?;
            changed(&global.output, NOUN, &made, "created")
        }
        GroupVerb::Delete { group, yes } => {
            let group = interface.group(&group).await?;
            ask::consent(&format!("Delete group {}?", name(&group)), yes)?;
            interface.send(Method::DELETE, &path(&group), None).await?;
            changed(&global.output, NOUN, &group, "deleted")
        }
        GroupVerb::AddMember { group, users } => {
            set_members(global, &interface, &group, &users, "add_user", "added to").await
        }
        GroupVerb::RemoveMember { group, users } => {
            set_members(global, &interface, &group, &users, "remove_user", "removed from").await
        }
    }
}

async fn set_members(
    global: &Global,
    interface: &Interface,
    group: &str,
    users: &[String],
    verb: &str,
    told: &str,
) -> anyhow::Result<()> {
    let group = interface.group(group).await?;
    let mut found = Vec::new();
    // All names are looked up before the first of them is changed.
    for user in users {
        found.push(interface.user(user).await?);
    }
    for user in &found {
        let address = format!("{}{verb}/", path(&group));
        interface.send(Method::POST, &address, Some(&json!({ "pk": user["pk"] }))).await?;
    }
    let after = interface.send(Method::GET, &path(&group), None).await?;
    output::answer(&global.output, &after, &title(NOUN, &after), || {
        for user in &found {
            say(&format!("{} {told} {}", name(user), name(&after)));
        }
    })
}

async fn list(format: &Format, interface: &Interface, watch: bool) -> anyhow::Result<()> {
    let look = async || {
        let groups = interface.list("core/groups/", &[("ordering", "name")]).await?;
        rows(format, interface, groups).await
    };
    if watch { view(format).watch(look).await } else { view(format).print(look().await?, false) }
}

async fn get(format: &Format, interface: &Interface, wanted: &str, watch: bool) -> anyhow::Result<()> {
    let group = interface.group(wanted).await?;
    if !watch {
        return view(format).print(rows(format, interface, vec![group]).await?, true);
    }
    let path = path(&group);
    let look = async || {
        let found = interface.find(&path).await?;
        rows(format, interface, found.into_iter().collect()).await
    };
    view(format).watch(look).await
}

fn view(format: &Format) -> View<'_> {
    let head: &[&'static str] =
        if *format == Format::Wide { &["NAME", "MEMBERS", "PK"] } else { &["NAME", "MEMBERS"] };
    View { format, noun: NOUN, head }
}

async fn rows(format: &Format, interface: &Interface, groups: Vec<Value>) -> anyhow::Result<Vec<Row>> {
    let users = interface.list("core/users/", &[]).await?;
    let members = |group: &Value| {
        let pks = group["users"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = users.iter().filter(|user| pks.contains(&user["pk"]));
        named.map(|user| cell(&user["username"])).collect::<Vec<_>>().join(",")
    };
    let rows = groups.into_iter().map(|group| {
        let mut cells = vec![cell(&group["name"]), members(&group)];
        if *format == Format::Wide {
            cells.push(cell(&group["pk"]));
        }
        Row { object: group, cells, toned: None }
    });
    Ok(rows.collect())
}

fn path(group: &Value) -> String {
    format!("core/groups/{}/", cell(&group["pk"]))
}
