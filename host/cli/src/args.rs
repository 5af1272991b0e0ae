//! What can be said on the command line. Parsed fully before anything is done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sandboxer_model::{
    id::{HostName, ProfileName, ProjectName, SandboxName},
    profile::parse_profile_name,
    sandbox::{Actor, State},
};

/// Sandboxes by profile: isolated places for risky work, made by confined adapters, never lost track of.
#[derive(Debug, Parser)]
#[command(name = "sandboxer", version, max_term_width = 110, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What holds for every verb.
#[derive(Debug, Args, Clone)]
pub(crate) struct Global {
    /// How to print results: for people or as JSON with a stable shape [env: SANDBOXER_OUTPUT]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) output: Option<OutputFormat>,
    /// Print ids only, and no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Say more on standard error: once for causes, twice for debugging
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Where the store, the key and kept components lie [env: SANDBOXER_DATA_DIR] [default: the XDG data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where config.toml and connections.toml lie [env: SANDBOXER_CONFIG_DIR] [default: the XDG configuration directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OutputFormat {
    /// Tables and sentences.
    Human,
    /// One JSON document, or one a line where a verb follows.
    Json,
}

/// One verb each.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a sandbox and wait until it is ready
    Create(Create),
    /// Show one sandbox
    Get(OneSandbox),
    /// List sandboxes, newest first
    #[command(visible_alias = "ls")]
    List(List),
    /// Wait until a sandbox is ready or destroyed; takes over from a worker that died
    Wait(Wait),
    /// Run a program in a sandbox; its streams and exit status pass through
    Exec(Exec),
    /// Open a shell in a sandbox
    Shell(Shell),
    /// Copy files into or out of a sandbox
    Cp(Cp),
    /// Show what a sandbox's programs logged
    Logs(Logs),
    /// Show the story of a sandbox, or of all
    Events(Events),
    /// Remove sandboxes; done only when nothing is left
    #[command(visible_alias = "rm")]
    Destroy(Destroy),
    /// Destroy a sandbox and create it anew
    Recreate(OneSandbox),
    /// Profiles: the recipes for sandboxes
    #[command(subcommand)]
    Profiles(Profiles),
    /// Extensions: the adapters, and what they could ever do
    #[command(subcommand)]
    Extension(Extension),
    /// Placement hosts
    #[command(subcommand)]
    Hosts(Hosts),
    /// Look at a placement host
    #[command(subcommand)]
    Inspect(Inspect),
    /// The ledger: what was done under which grant
    #[command(subcommand)]
    Audit(Audit),
    /// Check everything that a first run needs
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Compile a component read from standard input; the process that sandboxer starts for it under limits
    #[command(hide = true)]
    CompileComponent,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The profile
    #[arg(long, short, default_value = "profile.sandbox-canary", value_parser = profile_name, value_name = "PROFILE")]
    pub(crate) profile: ProfileName,
    /// An input of the profile; may be given several times
    #[arg(long, short, value_parser = key_value, value_name = "NAME=VALUE")]
    pub(crate) input: Vec<(String, String)>,
    /// What to call the sandbox
    #[arg(long, short)]
    pub(crate) name: Option<SandboxName>,
    /// Who asks: adm, agt or atm [env: SANDBOXER_ACTOR]
    #[arg(long)]
    pub(crate) actor: Option<Actor>,
    /// Whose it is [env: SANDBOXER_PROJECT]
    #[arg(long)]
    pub(crate) project: Option<ProjectName>,
    /// A label; may be given several times
    #[arg(long, short, value_parser = key_value, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<(String, String)>,
    /// The placement host [env: SANDBOXER_HOST]
    #[arg(long)]
    pub(crate) host: Option<HostName>,
}

#[derive(Debug, Args)]
pub(crate) struct OneSandbox {
    /// An id, a unique prefix of one, or a name
    pub(crate) sandbox: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Destroyed ones too
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Only of this project
    #[arg(long)]
    pub(crate) project: Option<ProjectName>,
    /// Only in this state; may be given several times
    #[arg(long)]
    pub(crate) state: Vec<State>,
    /// Only of this profile
    #[arg(long, value_parser = profile_name)]
    pub(crate) profile: Option<ProfileName>,
    /// Only on this host
    #[arg(long)]
    pub(crate) host: Option<HostName>,
    /// Only with this label; may be given several times
    #[arg(long, short, value_parser = key_value, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<(String, String)>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// The next page: only those older than this one
    #[arg(long, value_name = "SANDBOX")]
    pub(crate) before: Option<String>,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    Ready,
    Destroyed,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// An id, a unique prefix of one, or a name
    pub(crate) sandbox: String,
    /// What to wait for
    #[arg(long = "for", default_value = "ready")]
    pub(crate) goal: Goal,
    /// At most so many seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// A variable for the program; may be given several times
    #[arg(long, short, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(crate) env: Vec<String>,
    /// The directory that it starts in, relative to the workspace or absolute
    #[arg(long, short = 'd', value_name = "DIR", allow_hyphen_values = true)]
    pub(crate) cwd: Option<String>,
    /// Give it a terminal (the default when standard input and output are one)
    #[arg(long, short, overrides_with = "no_tty")]
    pub(crate) tty: bool,
    /// Give it no terminal
    #[arg(long, short = 'T')]
    pub(crate) no_tty: bool,
    /// An id, a unique prefix of one, or a name
    pub(crate) sandbox: String,
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    pub(crate) argv: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// An id, a unique prefix of one, or a name
    pub(crate) sandbox: String,
    /// The shell
    #[arg(long, default_value = "bash")]
    pub(crate) shell: String,
}

#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// From: a path here, or SANDBOX:PATH
    pub(crate) source: String,
    /// To: SANDBOX:PATH, or a path here
    pub(crate) target: String,
    /// With a directory of this machine: files that .gitignore excludes too
    #[arg(long)]
    pub(crate) ignored: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// An id, a unique prefix of one, or a name
    pub(crate) sandbox: String,
    /// Go on as more is written
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// An id, a unique prefix of one, or a name; all sandboxes when absent
    pub(crate) sandbox: Option<String>,
    /// Go on as more happens
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only those after this sequence
    #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
    pub(crate) after: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// Ids, unique prefixes or names
    #[arg(required = true)]
    pub(crate) sandboxes: Vec<String>,
    /// Who asks: adm, agt or atm [env: SANDBOXER_ACTOR]
    #[arg(long)]
    pub(crate) actor: Option<Actor>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profiles {
    /// List the profiles
    List,
    /// Show one with its inputs and grants
    Show {
        /// Which
        #[arg(value_parser = profile_name)]
        profile: ProfileName,
    },
    /// Check a profile, by name or in a file, or all bundled ones
    Lint {
        /// A name or a file; all when absent
        profile: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Extension {
    /// List the extensions
    List,
    /// Show what an extension could ever do, without running it
    Inspect {
        /// A name, or a component file
        extension: String,
        /// The literal scripts and the fixed wrapper too
        #[arg(long)]
        full: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hosts {
    /// Declare a host, with its key
    Add(HostAdd),
    /// List the hosts
    List,
    /// Connect to hosts and say whether they can be used; all when none is named
    Check {
        /// Which
        hosts: Vec<HostName>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct HostAdd {
    /// The name to give it
    pub(crate) name: HostName,
    /// Its address [default: the name, as OpenSSH's configuration resolves it]
    #[arg(long)]
    pub(crate) address: Option<String>,
    /// Its port
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// The user there
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The fingerprint of its key, SHA256:…; without it, known_hosts decides
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The private key to log in with
    #[arg(long, value_name = "FILE")]
    pub(crate) identity_file: Option<PathBuf>,
    /// The directory for sandboxes there
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Inspect {
    /// What a host is and has, and our sandboxes on it
    Host {
        /// Which; the default host when absent
        host: Option<HostName>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Print a sandbox's ledger
    Ledger(OneSandbox),
    /// Verify ledgers from their first entry to their signed head; all when none is named
    Verify {
        /// Which
        sandboxes: Vec<String>,
    },
}

fn profile_name(text: &str) -> Result<ProfileName, sandboxer_model::id::InvalidId> {
    parse_profile_name(text)
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("it must be NAME=VALUE".to_owned()),
    }
}
