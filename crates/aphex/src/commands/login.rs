//! `aphex login`: a login at the issuer, and a kubeconfig whose context uses it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cli::{Global, Login, Plugin};
use crate::kubeconfig::{Draft, Files, Mode, Step, Yaml};
use crate::output::{self, note, say};
use crate::session::provider::{Identity, Provider, Tokens};
use crate::session::vault::{Session, Vault};
use crate::session::{CLIENT, KUBERNETES_CLIENT, LOCAL_ISSUER, browser, device, paste};
use crate::{exit, local};

use Step::{Key, Named};

/// Name of cluster, user and context, as in the seed.
pub(crate) const NAME: &str = "aphex";

/// An API server as kubeconfigs name it.
struct Cluster {
    server: String,
    /// Base64 of PEM.
    ca_data: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: Login) -> anyhow::Result<()> {
    let files = Files::of_user(global.kubeconfig.as_deref())?;
    // Before anybody goes to a browser: is there something to log in to?
    let cluster = cluster(&files, &arguments)?;
    let plugin = arguments.with.unwrap_or_else(installed);
    let known = known(&files)?;
    let named = |given: &Option<String>, flag| given.clone().or_else(|| flag_of(&known, flag));
    let issuer =
        named(&arguments.provider.issuer, "--oidc-issuer-url").unwrap_or_else(|| LOCAL_ISSUER.to_owned());
    let issuer = issuer.trim_end_matches('/').to_owned();
    let usual = if plugin == Plugin::Kubelogin { KUBERNETES_CLIENT } else { CLIENT };
    // The client of the other plugin is none for this one.
    let kept = flag_of(&known, "--oidc-client-id").filter(|_| runs(&known) == Some(plugin));
    let client_id = arguments.provider.client_id.clone().or(kept).unwrap_or_else(|| usual.to_owned());
    let authority =
        arguments.provider.certificate_authority.as_deref().map(std::fs::canonicalize).transpose();
    let authority = authority.context("the file of --certificate-authority cannot be used")?;
    let entry = Entry { plugin, issuer: &issuer, client_id: &client_id, authority: authority.as_deref() };
    match plugin {
        Plugin::Kubelogin => {
            kubelogin(&entry, arguments.no_browser).await?;
            let written = write(&files, cluster.as_ref(), &entry, arguments.use_context)?;
            Made { issuer: &issuer, identity: None, written }.tell(global, &client_id, arguments.use_context)
        }
        Plugin::Aphex => {
            let provider = Provider::discover(&issuer, &client_id, authority.as_deref()).await?;
            let audience = audience(&arguments, &client_id);
            let provider = provider.for_audience(audience.clone());
            let tokens = tokens(&provider, &arguments).await;
            let tokens = tokens.map_err(|error| explained(error, &client_id, audience.as_deref()))?;
            let identity = provider.verify(&tokens, None).await?;
            let vault = Vault::of_user()?;
            let held = vault.lock(&provider.issuer, &client_id).await?;
            vault.save(&Session::new(&provider, tokens, &identity, authority.clone()))?;
            drop(held);
            let entry = Entry { issuer: &provider.issuer, ..entry };
            let written = write(&files, cluster.as_ref(), &entry, arguments.use_context)?;
            let made = Made { issuer: &provider.issuer, identity: Some(identity), written };
            made.tell(global, &client_id, arguments.use_context)
        }
    }
}

/// What a login left.
struct Made<'a> {
    issuer: &'a str,
    /// Unknown where another program logged in.
    identity: Option<Identity>,
    /// The kubeconfig with the context.
    written: PathBuf,
}

impl Made<'_> {
    fn tell(&self, global: &Global, client_id: &str, used: bool) -> anyhow::Result<()> {
        let document = json!({
            "issuer": self.issuer, "client": client_id,
            "username": self.identity.as_ref().map(|identity| &identity.name),
            "groups": self.identity.as_ref().map(|identity| &identity.groups),
            "kubeconfig": self.written, "context": NAME, "current": used,
        });
        output::answer(&global.output, &document, NAME, || self.tell_people(used))
    }

    fn tell_people(&self, used: bool) {
        let issuer = self.issuer;
        match &self.identity {
            None => say(&format!("Logged in at {issuer} with kubectl oidc-login.")),
            Some(Identity { name, groups, .. }) => {
                let groups = if groups.is_empty() { "none".to_owned() } else { groups.join(", ") };
                say(&format!("Logged in at {issuer} as {name} (groups: {groups})."));
            }
        }
        note(&format!("{} has the context {NAME}.", self.written.display()));
        if !used {
            note(&format!(
                "Use it with `kubectl --context {NAME}`, or make it the current one: kubectl config use-context {NAME}"
            ));
        }
    }
}

/// The client that the Kubernetes API knows: on the platform's clusters `kubernetes`, which trusts `aphex`.
fn audience(arguments: &Login, client_id: &str) -> Option<String> {
    match &arguments.audience {
        Some(audience) => Some(audience.clone()).filter(|audience| !audience.is_empty()),
        None => (client_id == CLIENT).then(|| KUBERNETES_CLIENT.to_owned()),
    }
}

/// What to do where the issuer does not let one client ask for another's tokens.
fn explained(error: anyhow::Error, client_id: &str, audience: Option<&str>) -> anyhow::Error {
    let refused = aphex_runtime::errors::chain(error.as_ref()).contains("invalid_scope");
    let Some(audience) = audience.filter(|_| refused) else { return error };
    let message = format!(
        "the issuer lets client {client_id} ask for no tokens that client {audience} takes: have {audience} trust {client_id} \
         there (trustedPeers), or log in with --audience '' or --client-id {audience}"
    );
    error.context(exit::Coded { code: exit::REFUSED, message })
}

async fn tokens(provider: &Provider, arguments: &Login) -> anyhow::Result<Tokens> {
    let patience = Duration::from_secs(arguments.timeout);
    if !arguments.no_browser && !browser::is_headless() {
        return browser::login(provider, patience).await;
    }
    if let Some(tokens) = device::login(provider, patience).await? {
        return Ok(tokens);
    }
    paste::login(provider).await
}

/// The API server to log in to; nothing when the kubeconfig has it already.
fn cluster(files: &Files, arguments: &Login) -> anyhow::Result<Option<Cluster>> {
    let local = || Files::of_user(Some(&local::default_data_dir()?.join(local::KUBECONFIG)));
    if let Some(server) = &arguments.server {
        let url = url::Url::parse(server).ok().filter(|url| url.scheme() == "https" && url.has_host());
        if url.is_none() {
            let message = format!("--server {server:?} must be an https:// URL");
            return Err(exit::Coded { code: exit::USAGE, message }.into());
        }
        let ca_data = match &arguments.server_ca {
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Some(STANDARD.encode(pem))
            }
            // An address that is known already keeps the authority that is known for it.
            None => [files.clone(), local()?].iter().find_map(|files| {
                let (path, found) = files.holding("clusters", NAME).ok()??;
                let known = of_entry(&found, path).ok().flatten()?;
                (known.server == *server).then_some(known.ca_data)?
            }),
        };
        return Ok(Some(Cluster { server: server.clone(), ca_data }));
    }
    if files.holding("clusters", NAME)?.is_some() {
        return Ok(None);
    }
    if let Some((path, found)) = local()?.holding("clusters", NAME)? {
        return of_entry(&found, path);
    }
    if let Some(context) = files.current_context()?
        && let Some((_, context)) = files.holding("contexts", &context)?
        && let Some(name) = context["context"]["cluster"].as_str()
        && let Some((path, found)) = files.holding("clusters", name)?
    {
        return of_entry(&found, path);
    }
    let message = "no cluster to log in to: give the address of its API with --server, or start one on this machine with `aphex up`";
    Err(exit::Coded { code: exit::USAGE, message: message.to_owned() }.into())
}

/// What a kubeconfig's entry says; a file it names lies beside the kubeconfig.
fn of_entry(entry: &Value, kubeconfig: &Path) -> anyhow::Result<Option<Cluster>> {
    let cluster = &entry["cluster"];
    let Some(server) = cluster["server"].as_str() else { return Ok(None) };
    let mut ca_data = cluster["certificate-authority-data"].as_str().map(str::to_owned);
    if let (None, Some(file)) = (&ca_data, cluster["certificate-authority"].as_str()) {
        let path = kubeconfig.parent().unwrap_or(Path::new(".")).join(file);
        let pem = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ca_data = Some(STANDARD.encode(pem));
    }
    Ok(Some(Cluster { server: server.to_owned(), ca_data }))
}

/// The arguments of the plugin that the kubeconfig's user aphex runs now, after its command.
fn known(files: &Files) -> anyhow::Result<Vec<String>> {
    let Some((_, entry)) = files.holding("users", NAME)? else { return Ok(Vec::new()) };
    let arguments = entry["user"]["exec"]["args"].as_array().into_iter().flatten();
    Ok(arguments.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn flag_of(arguments: &[String], flag: &str) -> Option<String> {
    arguments.iter().find_map(|argument| Some(argument.strip_prefix(flag)?.strip_prefix('=')?.to_owned()))
}

/// Which plugin these arguments are for.
fn runs(arguments: &[String]) -> Option<Plugin> {
    match arguments.first().map(String::as_str) {
        Some("oidc-login") => Some(Plugin::Kubelogin),
        Some("token") => Some(Plugin::Aphex),
        _ => None,
    }
}

/// kubelogin where kubectl would find it, else this program.
fn installed() -> Plugin {
    let there = |name: &str| in_path(name).is_some();
    if there("kubectl") && there("kubectl-oidc_login") { Plugin::Kubelogin } else { Plugin::Aphex }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What kubelogin asks for besides `openid`: who it is, the groups, and leave to renew the login.
const EXTRA_SCOPES: [&str; 4] = ["email", "profile", "groups", "offline_access"];

/// What the kubeconfig's user is to run.
struct Entry<'a> {
    plugin: Plugin,
    issuer: &'a str,
    client_id: &'a str,
    authority: Option<&'a Path>,
}

impl Entry<'_> {
    fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--oidc-issuer-url={}", self.issuer),
            format!("--oidc-client-id={}", self.client_id),
        ];
        if self.plugin == Plugin::Kubelogin {
            // By itself it asks for `openid` alone, and gets a token without the claims that make a user of it.
            flags.extend(EXTRA_SCOPES.iter().map(|scope| format!("--oidc-extra-scope={scope}")));
        }
        flags.extend(self.authority.map(|path| format!("--certificate-authority={}", path.display())));
        flags
    }

    /// The user as in the seed, or the same with this program.
    fn user(&self) -> anyhow::Result<Yaml> {
        let list = |first: &[&str]| {
            let words = first.iter().map(|word| (*word).to_owned()).chain(self.flags());
            Yaml::List(words.map(Yaml::text).collect())
        };
        let exec = match self.plugin {
            Plugin::Kubelogin => Yaml::map([
                ("apiVersion", Yaml::text("client.authentication.k8s.io/v1beta1")),
                ("command", Yaml::text("kubectl")),
                ("args", list(&["oidc-login", "get-token"])),
            ]),
            Plugin::Aphex => Yaml::map([
                ("apiVersion", Yaml::text("client.authentication.k8s.io/v1")),
                ("command", Yaml::text(own_command()?)),
                ("args", list(&["token"])),
                // It asks nobody anything.
                ("interactiveMode", Yaml::text("Never")),
            ]),
        };
        Ok(Yaml::map([("exec", exec)]))
    }
}

/// This program by name where a shell would find it so, else by path.
fn own_command() -> anyhow::Result<String> {
    let own = std::env::current_exe().context("the path of this program is not known")?;
    let found = in_path("aphex").and_then(|path| std::fs::canonicalize(path).ok());
    if found.is_some() && found == std::fs::canonicalize(&own).ok() {
        return Ok("aphex".to_owned());
    }
    own.into_os_string().into_string().map_err(|_| anyhow::anyhow!("the path of this program is no text"))
}

/// Puts cluster, user and context into the files that have them, or shall; gives the context's file.
fn write(
    files: &Files,
    cluster: Option<&Cluster>,
    entry: &Entry<'_>,
    use_context: bool,
) -> anyhow::Result<PathBuf> {
    if let Some(cluster) = cluster {
        change(&files.home_of("clusters", NAME)?, |draft| {
            draft.set_cluster(NAME, &cluster.server, cluster.ca_data.as_deref())
        })?;
    }
    let user = entry.user()?;
    change(&files.home_of("users", NAME)?, |draft| {
        draft.set(&[Key("users"), Named(NAME), Key("user")], &user)
    })?;
    let context = files.home_of("contexts", NAME)?;
    change(&context, |draft| draft.set_context(NAME, NAME, NAME))?;
    if use_context {
        change(files.for_current(), |draft| draft.set(&[Key("current-context")], &Yaml::text(NAME)))?;
    }
    Ok(context)
}

fn change(path: &Path, change: impl FnOnce(&mut Draft) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut draft = Draft::open(path)?;
    change(&mut draft).with_context(|| format!("cannot change {}", path.display()))?;
    draft.write(path, Mode::Kept)
}

/// Lets kubelogin log in now, as kubectl will call it; what it prints is a token.
async fn kubelogin(entry: &Entry<'_>, no_browser: bool) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new("kubectl");
    command.args(["oidc-login", "get-token"]).args(entry.flags());
    if no_browser {
        command.arg("--grant-type=device-code");
    }
    command.stdout(std::process::Stdio::null());
    let status = command
        .status()
        .await
        .context("cannot run kubectl oidc-login: is it installed? --with aphex needs no plugin")?;
    anyhow::ensure!(status.success(), "kubectl oidc-login did not log in ({status}); what it said is above");
    Ok(())
}
