//! `aphex user` and `aphex group`, as typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Which issuer to speak to.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// Data folder of the issuer, or of `aphex up` [default: $XDG_DATA_HOME/aphex or ~/.local/share/aphex]
    #[arg(long, global = true, value_name = "DIR", env = "APHEX_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the issuer [default: what the data folder says]
    #[arg(long, global = true, value_name = "URL", env = "APHEX_ISSUER")]
    pub(crate) issuer: Option<String>,
    /// File with a bearer token of a service account [default: the data folder's own]
    #[arg(long, global = true, value_name = "FILE", env = "APHEX_ISSUER_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file with the authority of the issuer's certificate
    #[arg(long, global = true, value_name = "FILE", env = "APHEX_ISSUER_CA")]
    pub(crate) issuer_ca: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Users {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) verb: UserVerb,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UserVerb {
    /// Everybody, or those who match
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  aphex user list\n  aphex user list --group admins -o json\n  aphex user list --watch"
    )]
    List {
        /// Only members of this group
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        /// Only those whose name, username or address has this in it
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Go on and show each that changes, until Ctrl-C
        #[arg(short = 'w', long)]
        watch: bool,
    },
    /// One user
    #[command(after_help = "Examples:\n  aphex user get ada -o yaml\n  aphex user get ada --watch")]
    Get {
        /// Username or e-mail address
        user: String,
        /// Go on and show each change, until Ctrl-C
        #[arg(short = 'w', long)]
        watch: bool,
    },
    /// Create a user; the password is asked for, or read from standard input
    #[command(
        after_help = "Examples:\n  aphex user add ada --email ada@example.com --group platform-engineering\n  aphex user add grace --email grace@example.com < password.txt\n  aphex user add backup --service-account --scope users:read\n\nA service account has no password: its bearer token is printed, this once (with -o json, as .token)."
    )]
    Add(AddUser),
    /// Set a new password; sessions of before end
    #[command(after_help = "Examples:\n  aphex user passwd ada\n  aphex user passwd ada < password.txt")]
    Passwd {
        /// Username or e-mail address
        user: String,
    },
    /// Let a user log in no more; sessions end
    #[command(after_help = "Example:\n  aphex user disable ada")]
    Disable {
        /// Username or e-mail address
        user: String,
    },
    /// Let a disabled user log in again
    #[command(after_help = "Example:\n  aphex user enable ada")]
    Enable {
        /// Username or e-mail address
        user: String,
    },
    /// Delete a user for good, with its tokens
    #[command(after_help = "Example:\n  aphex user delete ada --yes")]
    Delete {
        /// Username or e-mail address
        user: String,
        /// Do not ask
        #[arg(short = 'y', long)]
        yes: bool,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct AddUser {
    /// Name to log in with
    pub(crate) username: String,
    /// E-mail address: the user's name on the engine
    #[arg(long, value_name = "ADDRESS", required_unless_present = "service_account")]
    pub(crate) email: Option<String>,
    /// Name to show [default: the username]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Group to be in; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Set no password yet; `aphex user passwd` does later
    #[arg(long, conflicts_with = "service_account")]
    pub(crate) no_password: bool,
    /// A program: it has a bearer token and no password
    #[arg(long, conflicts_with = "email")]
    pub(crate) service_account: bool,
    /// What the program's token may do, such as users:read; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", requires = "service_account")]
    pub(crate) scopes: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Groups {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) verb: GroupVerb,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum GroupVerb {
    /// All groups and who is in them
    #[command(visible_alias = "ls", after_help = "Examples:\n  aphex group list\n  aphex group list --watch")]
    List {
        /// Go on and show each that changes, until Ctrl-C
        #[arg(short = 'w', long)]
        watch: bool,
    },
    /// One group and who is in it
    #[command(after_help = "Examples:\n  aphex group get admins\n  aphex group get admins --watch")]
    Get {
        /// Its name
        group: String,
        /// Go on and show each change, until Ctrl-C
        #[arg(short = 'w', long)]
        watch: bool,
    },
    /// Create a group
    #[command(after_help = "Example:\n  aphex group add payments")]
    Add {
        /// Its name, as tokens carry it
        group: String,
    },
    /// Delete a group; its members stay users
    #[command(after_help = "Example:\n  aphex group delete payments --yes")]
    Delete {
        /// Its name
        group: String,
        /// Do not ask
        #[arg(short = 'y', long)]
        yes: bool,
    },
    /// Take users into a group
    #[command(after_help = "Example:\n  aphex group add-member platform-engineering ada grace")]
    AddMember {
        /// The group
        group: String,
        /// Usernames or e-mail addresses
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Take users out of a group
    #[command(after_help = "Example:\n  aphex group remove-member platform-engineering ada")]
    RemoveMember {
        /// The group
        group: String,
        /// Usernames or e-mail addresses
        #[arg(required = true)]
        users: Vec<String>,
    },
}
