//! `aphex user`.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{Interface, cell, coded, password, show};
use crate::ask;
use crate::cli::{AddUser, Global, UserVerb, Users};
use crate::exit;
use crate::output::{self, Table, Tone, note, say};

pub(crate) async fn run(global: &Global, arguments: Users) -> anyhow::Result<()> {
    let interface = Interface::at(&arguments.place)?;
    match arguments.verb {
        UserVerb::List { group, search } => {
            list(global, &interface, group.as_deref(), search.as_deref()).await
        }
        UserVerb::Get { user } => {
            let user = interface.user(&user).await?;
            show(&global.output, "user", std::slice::from_ref(&user), true, |wide| {
                table(std::slice::from_ref(&user), wide)
            })
        }
        UserVerb::Add(arguments) if arguments.service_account => add_account(&interface, &arguments).await,
        UserVerb::Add(arguments) => add(&interface, &arguments).await,
        UserVerb::Passwd { user } => {
            let user = interface.user(&user).await?;
            let username = cell(&user["username"]);
            let password = password::read(&username)?;
            set_password(&interface, &user, &password).await?;
            say(&format!("{username} has a new password; sessions of before have ended"));
            Ok(())
        }
        UserVerb::Disable { user } => set_active(&interface, &user, false).await,
        UserVerb::Enable { user } => set_active(&interface, &user, true).await,
        UserVerb::Delete { user, yes } => {
            let user = interface.user(&user).await?;
            ask::consent(&format!("Delete user {} and its tokens?", cell(&user["username"])), yes)?;
            interface.send(Method::DELETE, &path(&user), None).await?;
            say(&format!("{} deleted", cell(&user["username"])));
            Ok(())
        }
    }
}

async fn list(
    global: &Global,
    interface: &Interface,
    group: Option<&str>,
    search: Option<&str>,
) -> anyhow::Result<()> {
    let mut filters = vec![("ordering", "username")];
    let name = match group {
        Some(group) => Some(cell(&interface.group(group).await?["name"])),
        None => None,
    };
    filters.extend(name.as_deref().map(|name| ("groups_by_name", name)));
    filters.extend(search.map(|text| ("search", text)));
    let users = interface.list("core/users/", &filters).await?;
    if users.is_empty() {
        note("No users found.");
    }
    show(&global.output, "user", &users, false, |wide| table(&users, wide))
}

async fn add(interface: &Interface, arguments: &AddUser) -> anyhow::Result<()> {
    let username = &arguments.username;
    let password = if arguments.no_password { None } else { Some(password::read(username)?) };
    let body = json!({
        "username": username,
        "name": arguments.name.as_deref().unwrap_or(username),
        "email": arguments.email,
        "groups": arguments.groups,
    });
    let user = interface.send(Method::POST, "core/users/", Some(&body)).await?;
    if let Some(password) = password
        && let Err(refused) = set_password(interface, &user, &password).await
    {
        interface.send(Method::DELETE, &path(&user), None).await?;
        return Err(refused.context(format!("{username} was not created")));
    }
    say(&format!("{username} created"));
    if arguments.no_password {
        note(&format!(
            "Nobody can log in as {username} yet: `aphex user passwd {username}` sets a password."
        ));
    }
    Ok(())
}

async fn add_account(interface: &Interface, arguments: &AddUser) -> anyhow::Result<()> {
    let body = json!({ "name": arguments.username, "scopes": arguments.scopes });
    let account = interface.send(Method::POST, "core/users/service_account/", Some(&body)).await?;
    let path = format!("core/users/{}/", account["user_pk"]);
    if !arguments.groups.is_empty() || arguments.name.is_some() {
        let mut change = json!({ "groups": arguments.groups });
        if let Some(name) = &arguments.name {
            change["name"] = json!(name);
        }
        if let Err(refused) = interface.send(Method::PATCH, &path, Some(&change)).await {
            interface.send(Method::DELETE, &path, None).await?;
            return Err(refused.context(format!("{} was not created", arguments.username)));
        }
    }
    note(&format!("{} created; its bearer token, shown this once:", arguments.username));
    // Showing it is what the command is for.
    say(&cell(&account["token"]));
    Ok(())
}

async fn set_active(interface: &Interface, name: &str, active: bool) -> anyhow::Result<()> {
    let user = interface.user(name).await?;
    interface.send(Method::PATCH, &path(&user), Some(&json!({ "is_active": active }))).await?;
    say(&format!("{} {}", cell(&user["username"]), if active { "enabled" } else { "disabled" }));
    Ok(())
}

async fn set_password(interface: &Interface, user: &Value, password: &SecretString) -> anyhow::Result<()> {
    if user["type"] == "service_account" {
        let message =
            format!("{} is a service account: it has bearer tokens and no password", cell(&user["username"]));
        return Err(coded(exit::REFUSED, message));
    }
    let body = json!({ "password": password.expose_secret() });
    interface.send(Method::POST, &format!("{}set_password/", path(user)), Some(&body)).await?;
    Ok(())
}

fn path(user: &Value) -> String {
    format!("core/users/{}/", user["pk"])
}

fn table(users: &[Value], wide: bool) -> Table {
    let mut head = vec!["USERNAME", "EMAIL", "STATE", "GROUPS", "LAST LOGIN"];
    if wide {
        head.extend(["NAME", "TYPE", "UID"]);
    }
    let mut table = Table::new(&head);
    // Ages are for people; how long ago is asked once for all rows.
    let now = Timestamp::now();
    for user in users {
        let state = match (
            user["is_active"] == true,
            user["has_password"] == true,
            user["type"] == "service_account",
        ) {
            (false, ..) => "disabled",
            (true, false, false) => "no password",
            _ => "active",
        };
        let login = cell(&user["last_login"])
            .parse()
            .map_or_else(|_| "never".to_owned(), |at| output::age(Some(at), now));
        let mut row = vec![
            cell(&user["username"]),
            cell(&user["email"]),
            state.to_owned(),
            cell(&user["groups"]),
            login,
        ];
        if wide {
            row.extend([cell(&user["name"]), cell(&user["type"]), cell(&user["uid"])]);
        }
        table.toned_row(row, Tone::of_word(state).map(|tone| (2, tone)));
    }
    table
}
