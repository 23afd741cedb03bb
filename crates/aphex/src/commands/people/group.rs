//! `aphex group`.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Interface, cell, show};
use crate::ask;
use crate::cli::{Global, GroupVerb, Groups};
use crate::output::{Table, say};

pub(crate) async fn run(global: &Global, arguments: Groups) -> anyhow::Result<()> {
    let interface = Interface::at(&arguments.place)?;
    match arguments.verb {
        GroupVerb::List => list(global, &interface).await,
        GroupVerb::Add { group } => {
            interface.send(Method::POST, "core/groups/", Some(&json!({ "name": group }))).await?;
            say(&format!("{group} created"));
            Ok(())
        }
        GroupVerb::Delete { group, yes } => {
            let group = interface.group(&group).await?;
            ask::consent(&format!("Delete group {}?", cell(&group["name"])), yes)?;
            interface.send(Method::DELETE, &path(&group), None).await?;
            say(&format!("{} deleted", cell(&group["name"])));
            Ok(())
        }
        GroupVerb::AddMember { group, users } => {
            set_members(&interface, &group, &users, "add_user", "added to").await
        }
        GroupVerb::RemoveMember { group, users } => {
            set_members(&interface, &group, &users, "remove_user", "removed from").await
        }
    }
}

async fn set_members(
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
    for user in found {
        let address = format!("{}{verb}/", path(&group));
        interface.send(Method::POST, &address, Some(&json!({ "pk": user["pk"] }))).await?;
        say(&format!("{} {told} {}", cell(&user["username"]), cell(&group["name"])));
    }
    Ok(())
}

async fn list(global: &Global, interface: &Interface) -> anyhow::Result<()> {
    let groups = interface.list("core/groups/", &[("ordering", "name")]).await?;
    let users = interface.list("core/users/", &[]).await?;
    let members = |group: &Value| {
        let pks = group["users"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = users.iter().filter(|user| pks.contains(&user["pk"]));
        named.map(|user| cell(&user["username"])).collect::<Vec<_>>().join(",")
    };
    show(&global.output, "group", &groups, false, |wide| {
        let mut table = Table::new(if wide { &["NAME", "MEMBERS", "PK"] } else { &["NAME", "MEMBERS"] });
        for group in &groups {
            let mut row = vec![cell(&group["name"]), members(group)];
            if wide {
                row.push(cell(&group["pk"]));
            }
            table.row(row);
        }
        table
    })
}

fn path(group: &Value) -> String {
    format!("core/groups/{}/", cell(&group["pk"]))
}
