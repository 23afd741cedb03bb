//! `aphex user`.

use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::list::{Row, View};
use super::{Interface, cell, changed, coded, name, password};
use crate::ask;
use crate::cli::{AddUser, Format, Global, UserVerb, Users};
use crate::exit;
use crate::output::{self, Tone, note, say};

const NOUN: &str = "user";
const HEAD: [&str; 8] = ["USERNAME", "EMAIL", "STATE", "GROUPS", "LAST LOGIN", "NAME", "TYPE", "UID"];
/// Columns that are shown without `-o wide`.
const USUAL: usize = 5;

pub(crate) async fn run(global: &Global, arguments: Users) -> anyhow::Result<()> {
    let interface = Interface::at(&arguments.place)?;
    let format = &global.output;
    match arguments.verb {
        UserVerb::List { group, search, watch } => {
            list(format, &interface, group.as_deref(), search.as_deref(), watch).await
        }
        UserVerb::Get { user, watch } => get(format, &interface, &user, watch).await,
        UserVerb::Add(arguments) if arguments.service_account => {
            add_account(format, &interface, &arguments).await
        }
        UserVerb::Add(arguments) => add(format, &interface, &arguments).await,
        UserVerb::Passwd { user } => {
            let user = interface.user(&user).await?;
            let password = password::read(name(&user))?;
            let user = set_password(&interface, &user, &password).await?;
            changed(format, NOUN, &user, "has a new password; sessions of before have ended")
        }
        UserVerb::Disable { user } => set_active(format, &interface, &user, false).await,
        UserVerb::Enable { user } => set_active(format, &interface, &user, true).await,
        UserVerb::Delete { user, yes } => {
            let user = interface.user(&user).await?;
            ask::consent(&format!("Delete user {} and its tokens?", name(&user)), yes)?;
            interface.send(Method::DELETE, &path(&user), None).await?;
            changed(format, NOUN, &user, "deleted")
        }
    }
}

fn columns(format: &Format) -> usize {
    if *format == Format::Wide { HEAD.len() } else { USUAL }
}

fn view(format: &Format) -> View<'_> {
    View { format, noun: NOUN, head: &HEAD[..columns(format)] }
}

async fn list(
    format: &Format,
    interface: &Interface,
    group: Option<&str>,
    search: Option<&str>,
    watch: bool,
) -> anyhow::Result<()> {
    let mut filters = vec![("ordering", "username")];
    let group = match group {
        Some(group) => Some(cell(&interface.group(group).await?["name"])),
        None => None,
    };
    filters.extend(group.as_deref().map(|group| ("groups_by_name", group)));
    filters.extend(search.map(|text| ("search", text)));
    let look = async || Ok(rows(interface.list("core/users/", &filters).await?, columns(format)));
    if watch { view(format).watch(look).await } else { view(format).print(look().await?, false) }
}

async fn get(format: &Format, interface: &Interface, wanted: &str, watch: bool) -> anyhow::Result<()> {
    let user = interface.user(wanted).await?;
    if !watch {
        return view(format).print(rows(vec![user], columns(format)), true);
    }
    // By its key: it is the same user under another name.
    let path = path(&user);
    let look = async || {
        let found = interface.find(&path).await?;
        Ok(rows(found.into_iter().collect(), columns(format)))
    };
    view(format).watch(look).await
}

async fn add(format: &Format, interface: &Interface, arguments: &AddUser) -> anyhow::Result<()> {
    let username = &arguments.username;
    let password = if arguments.no_password { None } else { Some(password::read(username)?) };
    let body = json!({
        "username": username,
        "name": arguments.name.as_deref().unwrap_or(username),
        "email": arguments.email,
        "groups": arguments.groups,
    });
    let mut user = interface.send(Method::POST, "core/users/", Some(&body)).await?;
    if let Some(password) = password {
        user = match set_password(interface, &user, &password).await {
            Ok(user) => user,
            Err(refused) => {
                interface.send(Method::DELETE, &path(&user), None).await?;
                return Err(refused.context(format!("{username} was not created")));
            }
        };
    }
    changed(format, NOUN, &user, "created")?;
    if arguments.no_password {
        note(&format!(
            "Nobody can log in as {username} yet: `aphex user passwd {username}` sets a password."
        ));
    }
    Ok(())
}

async fn add_account(format: &Format, interface: &Interface, arguments: &AddUser) -> anyhow::Result<()> {
    if *format == Format::Name {
        let message =
            "-o name would lose the bearer token, which is shown this once: leave it out, or take -o json";
        return Err(coded(exit::USAGE, message.to_owned()));
    }
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
    // Showing the token is what the command is for.
    output::answer(format, &account, &arguments.username, || {
        note(&format!("{} created; its bearer token, shown this once:", arguments.username));
        say(&cell(&account["token"]));
    })
}

async fn set_active(
    format: &Format,
    interface: &Interface,
    wanted: &str,
    active: bool,
) -> anyhow::Result<()> {
    let user = interface.user(wanted).await?;
    let user = interface.send(Method::PATCH, &path(&user), Some(&json!({ "is_active": active }))).await?;
    changed(format, NOUN, &user, if active { "enabled" } else { "disabled" })
}

/// Gives the user as it is then.
async fn set_password(interface: &Interface, user: &Value, password: &SecretString) -> anyhow::Result<Value> {
    if user["type"] == "service_account" {
        let message =
            format!("{} is a service account: it has bearer tokens and no password", cell(&user["username"]));
        return Err(coded(exit::REFUSED, message));
    }
    let body = json!({ "password": password.expose_secret() });
    interface.send(Method::POST, &format!("{}set_password/", path(user)), Some(&body)).await?;
    interface.send(Method::GET, &path(user), None).await
}

fn path(user: &Value) -> String {
    format!("core/users/{}/", user["pk"])
}

fn rows(users: Vec<Value>, columns: usize) -> Vec<Row> {
    // Ages are for people; how long ago is asked once for all rows.
    let now = Timestamp::now();
    let rows = users.into_iter().map(|user| {
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
        let mut cells = vec![
            cell(&user["username"]),
            cell(&user["email"]),
            state.to_owned(),
            cell(&user["groups"]),
            login,
            cell(&user["name"]),
            cell(&user["type"]),
            cell(&user["uid"]),
        ];
        cells.truncate(columns);
        Row { object: user, cells, toned: Tone::of_word(state).map(|tone| (2, tone)) }
    });
    rows.collect()
}
