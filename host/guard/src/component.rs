//! Static inspection of a component: what is read from the bytes, before anything is compiled or run.
//!
//! Only a parser looks at the bytes. Asking the engine instead would mean compiling them first, which is the expensive
//! and the dangerous part; and a compiled component no longer says what it imports. The engine that runs the component
//! later is configured for the same features, so that what passes here is what runs there.

mod outline;
#[cfg(test)]
mod tests;

use sandboxer_model::id::Digest;
use sha2::{Digest as _, Sha256};
use wasmparser::{
    BinaryReaderError, Parser, Validator, WasmFeatures, component_types::ComponentEntityType, types::TypesRef,
};

use self::outline::Outline;
pub use self::outline::Part;

/// The largest component, in bytes. A bundled guest has about 100 KB.
pub const MAX_SIZE: usize = 8 << 20;
/// The largest manifest, in bytes.
pub const MAX_MANIFEST: usize = 64 << 10;
/// How deeply modules and components may nest: a component holds its modules and, per exported interface, a small
/// component that holds nothing.
pub const MAX_NESTING: usize = 4;
/// The custom section that holds the manifest.
pub const MANIFEST_SECTION: &str = "sandboxer:manifest";

const PACKAGE: &str = "sandboxer:extension";
const VERSION: &str = "0.1.0";
/// The newest patch of WASI 0.2 whose interfaces the runtime links.
const WASI_PATCH: u64 = 12;

/// The interfaces of WASI that may be imported. What is not here is refused by name and never stubbed.
const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// A capability that a component may import: one interface of `sandboxer:extension`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Prepared commands on the placement host.
    Ssh,
    /// The adapter's own notes.
    State,
    /// Steps and log lines.
    Progress,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ssh, Self::State, Self::Progress];

    /// Its name, as in the manifest and in the WIT package.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::State => "state",
            Self::Progress => "progress",
        }
    }

    /// Everything that can be imported from it.
    fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Ssh => &["open", "[method]session.run", "[method]session.start", "[method]job.poll"],
            Self::State => &["get", "set"],
            Self::Progress => &["step", "log"],
        }
    }
}

/// What a manifest declares, as far as imports go. Notes and progress reach nothing outside and need no declaration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Declared {
    /// Whether the manifest has an `[ssh.*]` section.
    pub ssh: bool,
}

impl Declared {
    fn allows(self, capability: Capability) -> bool {
        match capability {
            Capability::Ssh => self.ssh,
            Capability::State | Capability::Progress => true,
        }
    }
}

/// One imported interface and what is imported from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// `sandboxer:extension/ssh@0.1.0`.
    pub interface: String,
    /// The functions, as the component names them: `open`, `[method]session.run`.
    pub functions: Vec<String>,
}

impl Import {
    /// The capability that this import is, unless it is WASI or the vocabulary of types.
    #[must_use]
    pub fn capability(&self) -> Option<Capability> {
        match classify(&self.interface) {
            Some(Interface::Capability(capability)) => Some(capability),
            Some(Interface::Types | Interface::Wasi) | None => None,
        }
    }
}

/// What was read from a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: usize,
    /// What it imports, in its own order.
    pub imports: Vec<Import>,
    /// The names of what it exports, in its own order.
    pub exports: Vec<String>,
    /// The manifest that is embedded in it, unparsed.
    pub manifest: String,
}

impl Component {
    /// Whether it exports this interface of the package: `access`.
    #[must_use]
    pub fn exports_interface(&self, interface: &str) -> bool {
        self.exports.contains(&format!("{PACKAGE}/{interface}@{VERSION}"))
    }
}

/// Why a component is refused. Nothing of it was compiled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ComponentRefused {
    /// It is too large.
    #[error("it has {size} bytes; at most {MAX_SIZE} are accepted")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// It is a core module, or something else.
    #[error("it is not a WebAssembly component")]
    NotAComponent,
    /// It does not parse, does not validate, or uses a feature that is switched off.
    #[error("it is not a valid component: {}", one_line(.0.message()))]
    Invalid(#[source] BinaryReaderError),
    /// Modules and components in it are nested too deeply.
    #[error("its modules and components nest more than {MAX_NESTING} levels deep")]
    TooDeep,
    /// There is too much of something in it.
    #[error("it has more than {} {part}", part.limit())]
    TooMany {
        /// Of what.
        part: Part,
    },
    /// It imports something that no manifest can declare.
    #[error("it imports `{name}`, which sandboxer does not offer")]
    UnknownImport {
        /// What, as the component names it.
        name: String,
    },
    /// It imports a capability that its manifest does not declare.
    #[error("it imports `{interface}`, which its manifest does not declare")]
    Undeclared {
        /// Which.
        interface: String,
    },
    /// It does not export what every adapter does.
    #[error("it does not export `{interface}`")]
    MissingExport {
        /// What.
        interface: String,
    },
    /// It uses asynchronous functions, threads or another part of the component model that is switched off.
    #[error("it uses {what}, which is switched off")]
    SwitchedOff {
        /// What.
        what: &'static str,
    },
    /// No manifest is embedded in it.
    #[error("no manifest is embedded in it: the custom section `{MANIFEST_SECTION}` is missing")]
    NoManifest,
    /// More than one manifest is embedded in it.
    #[error("more than one manifest is embedded in it")]
    SecondManifest,
    /// Its manifest is too large.
    #[error("its manifest has {size} bytes; at most {MAX_MANIFEST} are accepted")]
    LargeManifest {
        /// The manifest's size.
        size: usize,
    },
    /// Its manifest is not text.
    #[error("its manifest is not valid UTF-8")]
    ManifestNotText,
}

/// Reads a component without compiling it.
///
/// # Errors
/// [`ComponentRefused`] when it is not one that could ever run here.
pub fn inspect(bytes: &[u8]) -> Result<Component, ComponentRefused> {
    if bytes.len() > MAX_SIZE {
        return Err(ComponentRefused::TooLarge { size: bytes.len() });
    }
    if !Parser::is_component(bytes) {
        return Err(ComponentRefused::NotAComponent);
    }
    let outline = Outline::read(bytes)?;
    let manifest = manifest(&outline)?;
    let types = Validator::new_with_features(features()).validate_all(bytes).map_err(ComponentRefused::Invalid)?;
    let imports = outline.imports.iter().map(|import| admit(import, types.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let component = Component { digest: digest(bytes), size: bytes.len(), imports, exports: outline.exports, manifest };
    if component.exports_interface("lifecycle") {
        Ok(component)
    } else {
        Err(ComponentRefused::MissingExport { interface: format!("{PACKAGE}/lifecycle@{VERSION}") })
    }
}

/// Refuses a component that imports a capability which its manifest does not declare.
///
/// # Errors
/// [`ComponentRefused::Undeclared`].
pub fn check_imports(component: &Component, declared: Declared) -> Result<(), ComponentRefused> {
    let undeclared = |import: &&Import| import.capability().is_some_and(|capability| !declared.allows(capability));
    match component.imports.iter().find(undeclared) {
        Some(import) => Err(ComponentRefused::Undeclared { interface: import.interface.clone() }),
        None => Ok(()),
    }
}

/// The digest of a component's bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

/// What Rust's compiler emits for `wasm32-wasip2`, and nothing more. Above all no threads, no garbage collector, no
/// exceptions, no 64-bit memories and no asynchronous components.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::FLOATS
        | WasmFeatures::COMPONENT_MODEL
}

/// What may be imported.
enum Interface {
    Capability(Capability),
    /// The vocabulary: types without functions.
    Types,
    Wasi,
}

fn classify(name: &str) -> Option<Interface> {
    let (path, version) = name.split_once('@')?;
    if let Some(interface) = path.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/')) {
        let capability = Capability::ALL.into_iter().find(|capability| capability.as_str() == interface);
        let found = capability.map(Interface::Capability).or((interface == "types").then_some(Interface::Types));
        return found.filter(|_| version == VERSION);
    }
    let patch = version.strip_prefix("0.2.")?.parse::<u64>().ok()?;
    (WASI.contains(&path) && patch <= WASI_PATCH).then_some(Interface::Wasi)
}

/// The import, when all of it is on the lists.
fn admit(name: &str, types: TypesRef<'_>) -> Result<Import, ComponentRefused> {
    let refused = |name: String| ComponentRefused::UnknownImport { name };
    let interface = classify(name).ok_or_else(|| refused(name.to_owned()))?;
    let item = types.component_item_for_import(name).map(|item| item.ty);
    let Some(ComponentEntityType::Instance(instance)) = item else { return Err(refused(name.to_owned())) };
    let Some(instance) = types.get(instance) else { return Err(refused(name.to_owned())) };
    let mut functions = Vec::new();
    for (function, item) in &instance.exports {
        match item.ty {
            ComponentEntityType::Func(_) => functions.push(function.clone()),
            ComponentEntityType::Type { .. } => {}
            ComponentEntityType::Module(_)
            | ComponentEntityType::Value(_)
            | ComponentEntityType::Instance(_)
            | ComponentEntityType::Component(_) => return Err(refused(format!("{name}#{function}"))),
        }
    }
    let listed = |function: &String| match interface {
        Interface::Capability(capability) => capability.functions().contains(&function.as_str()),
        Interface::Types => false,
        // The runtime links these interfaces whole, and links nothing that they do not define.
        Interface::Wasi => true,
    };
    match functions.iter().find(|function| !listed(function)) {
        Some(function) => Err(refused(format!("{name}#{function}"))),
        None => Ok(Import { interface: name.to_owned(), functions }),
    }
}

fn manifest(outline: &Outline<'_>) -> Result<String, ComponentRefused> {
    let [manifest] = outline.manifests.as_slice() else {
        let missing = outline.manifests.is_empty();
        return Err(if missing { ComponentRefused::NoManifest } else { ComponentRefused::SecondManifest });
    };
    if manifest.len() > MAX_MANIFEST {
        return Err(ComponentRefused::LargeManifest { size: manifest.len() });
    }
    String::from_utf8(manifest.to_vec()).map_err(|_| ComponentRefused::ManifestNotText)
}

/// The parser's message on one line and without control characters: parts of it come from the component.
fn one_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}
