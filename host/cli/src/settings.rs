//! Settings: flags over `SANDBOXER_*` variables over `config.toml` over defaults. Unknown keys in the file are refused.

use std::path::{Path, PathBuf};

use sandboxer_model::{
    Error, ErrorCode, Result,
    id::{HostName, ProjectName},
    sandbox::Actor,
};
use serde::Deserialize;

use crate::args::{Global, OutputFormat};

/// What was settled for this run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) config_dir: PathBuf,
    pub(crate) cache_dir: PathBuf,
    pub(crate) output: OutputFormat,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    pub(crate) default_host: HostName,
    pub(crate) project: ProjectName,
    pub(crate) actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ConfigFile {
    data_dir: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    output: Option<OutputFormat>,
    host: Option<HostName>,
    project: Option<ProjectName>,
    actor: Option<Actor>,
}

impl Settings {
    /// Settles everything, reading `config.toml` when it is there.
    pub(crate) fn load(global: &Global) -> Result<Self> {
        let config_dir = match global.config_dir.clone().or_else(|| var("SANDBOXER_CONFIG_DIR").map(PathBuf::from)) {
            Some(dir) => dir,
            None => xdg("XDG_CONFIG_HOME", ".config")?,
        };
        let file = read_file(&config_dir.join("config.toml"))?;
        let data_dir =
            match global.data_dir.clone().or_else(|| var("SANDBOXER_DATA_DIR").map(PathBuf::from)).or(file.data_dir) {
                Some(dir) => dir,
                None => xdg("XDG_DATA_HOME", ".local/share")?,
            };
        let cache_dir = match var("SANDBOXER_CACHE_DIR").map(PathBuf::from).or(file.cache_dir) {
            Some(dir) => dir,
            None => xdg("XDG_CACHE_HOME", ".cache")?,
        };
        Ok(Self {
            data_dir: absolute(data_dir)?,
            config_dir: absolute(config_dir)?,
            cache_dir: absolute(cache_dir)?,
            output: global.output.or(output_variable()?).or(file.output).unwrap_or(OutputFormat::Human),
            quiet: global.quiet,
            verbose: global.verbose,
            default_host: from_env("SANDBOXER_HOST")?.or(file.host).unwrap_or_else(HostName::local),
            project: match from_env("SANDBOXER_PROJECT")?.or(file.project) {
                Some(project) => project,
                None => parsed("default", "the default project")?,
            },
            actor: from_env("SANDBOXER_ACTOR")?.or(file.actor).unwrap_or(Actor::Agent),
        })
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.data_dir.join("store.db")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.data_dir.join("installation.key")
    }

    pub(crate) fn components(&self) -> PathBuf {
        self.data_dir.join("components")
    }

    pub(crate) fn compiled(&self) -> PathBuf {
        self.cache_dir.join("compiled")
    }

    pub(crate) fn connections(&self) -> PathBuf {
        self.config_dir.join("connections.toml")
    }
}

/// An empty variable is not a value.
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn output_variable() -> Result<Option<OutputFormat>> {
    match var("SANDBOXER_OUTPUT").as_deref() {
        None => Ok(None),
        Some("human") => Ok(Some(OutputFormat::Human)),
        Some("json") => Ok(Some(OutputFormat::Json)),
        Some(_) => Err(Error::new(ErrorCode::ConfigInvalid, "SANDBOXER_OUTPUT must be human or json")
            .hint("set it to one of the two, or give --output to any command, `sandboxer list` for example")),
    }
}

fn xdg(variable: &str, fallback: &str) -> Result<PathBuf> {
    // The base directory specification: a relative path in these variables is to be ignored.
    if let Some(dir) = var(variable).map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Ok(dir.join("sandboxer"));
    }
    match var("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) {
        Some(home) => Ok(home.join(fallback).join("sandboxer")),
        None => Err(Error::new(ErrorCode::ConfigInvalid, format!("neither {variable} nor HOME is set to an absolute path"))
            .hint("set HOME, or SANDBOXER_DATA_DIR, SANDBOXER_CONFIG_DIR and SANDBOXER_CACHE_DIR; `sandboxer doctor` then checks them")),
    }
}

fn absolute(dir: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&dir).map_err(|error| {
        Error::new(ErrorCode::ConfigInvalid, format!("`{}` cannot be used as a directory", dir.display()))
            .because(error)
    })
}

fn from_env<T>(name: &str) -> Result<Option<T>>
where
    T: std::str::FromStr<Err = sandboxer_model::id::InvalidId>,
{
    var(name).map(|text| parsed(&text, name)).transpose()
}

fn parsed<T>(text: &str, place: &str) -> Result<T>
where
    T: std::str::FromStr<Err = sandboxer_model::id::InvalidId>,
{
    text.parse().map_err(|error| Error::new(ErrorCode::ConfigInvalid, format!("{place}: {error}")).because(error))
}

fn read_file(path: &Path) -> Result<ConfigFile> {
    let invalid =
        |why: String| Error::new(ErrorCode::ConfigInvalid, format!("{} cannot be used: {why}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| invalid(error.to_string().trim().to_owned()).because(error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ConfigFile::default()),
        Err(error) => Err(invalid(error.to_string()).because(error)),
    }
}
