//! The first pass over a component: sizes, numbers and names. It is linear in the bytes, whatever they say, and runs
//! before the validator, whose work grows with what the numbers multiply to.

use std::{collections::BTreeMap, fmt};

use wasmparser::{CanonicalFunction, ComponentExternName, ComponentTypeRef, Encoding, Parser, Payload};

use super::{ComponentRefused, MANIFEST_SECTION, MAX_NESTING, features};

/// A part of a component that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Sections of any kind.
    Section,
    /// Core modules and components inside it.
    Nested,
    /// Type definitions.
    Type,
    /// Imports, also from one part of it to another.
    Import,
    /// Exports, also from one part of it to another.
    Export,
    /// Function bodies.
    Function,
    /// Instances, aliases and canonical functions.
    Link,
    /// Memories, tables, globals and tags.
    Store,
    /// Element and data segments.
    Segment,
}

impl Part {
    /// How many of it there may be. About ten times what a guest of 2 MB has.
    #[must_use]
    pub fn limit(self) -> u64 {
        match self {
            Self::Nested => 64,
            Self::Section | Self::Store => 1_000,
            Self::Import | Self::Export => 2_000,
            Self::Type | Self::Link => 5_000,
            Self::Segment => 10_000,
            Self::Function => 20_000,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Section => "sections",
            Self::Nested => "nested modules and components",
            Self::Type => "types",
            Self::Import => "imports",
            Self::Export => "exports",
            Self::Function => "functions",
            Self::Link => "instances, aliases and canonical functions",
            Self::Store => "memories, tables and globals",
            Self::Segment => "data and element segments",
        })
    }
}

/// The first pass: sizes, numbers and names, before the validator spends time on what is inside.
#[derive(Default)]
pub(super) struct Outline<'a> {
    depth: usize,
    counts: BTreeMap<Part, u64>,
    /// What the outermost component imports.
    pub(super) imports: Vec<String>,
    /// What the outermost component exports.
    pub(super) exports: Vec<String>,
    /// The embedded manifests, wherever they are.
    pub(super) manifests: Vec<&'a [u8]>,
}

impl<'a> Outline<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ComponentRefused> {
        let mut outline = Self::default();
        let mut parser = Parser::new(0);
        parser.set_features(features());
        for payload in parser.parse_all(bytes) {
            outline.note(&payload.map_err(ComponentRefused::Invalid)?)?;
        }
        Ok(outline)
    }

    fn count(&mut self, part: Part, more: u32) -> Result<(), ComponentRefused> {
        let count = self.counts.entry(part).or_default();
        *count += u64::from(more);
        if *count > part.limit() { Err(ComponentRefused::TooMany { part }) } else { Ok(()) }
    }

    fn note(&mut self, payload: &Payload<'a>) -> Result<(), ComponentRefused> {
        if !matches!(payload, Payload::CodeSectionEntry(_) | Payload::Version { .. } | Payload::End(_)) {
            self.count(Part::Section, 1)?;
        }
        match payload {
            Payload::Version { encoding, .. } => {
                if self.depth == 0 && *encoding != Encoding::Component {
                    return Err(ComponentRefused::NotAComponent);
                }
                Ok(())
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.depth += 1;
                if self.depth > MAX_NESTING {
                    return Err(ComponentRefused::TooDeep);
                }
                self.count(Part::Nested, 1)
            }
            Payload::CustomSection(section) => {
                if section.name() == MANIFEST_SECTION {
                    self.manifests.push(section.data());
                }
                Ok(())
            }
            Payload::ComponentImportSection(section) => {
                self.count(Part::Import, section.count())?;
                for import in section.clone() {
                    let import = import.map_err(ComponentRefused::Invalid)?;
                    self.import(import.name, import.ty)?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                self.count(Part::Export, section.count())?;
                for export in section.clone() {
                    let name = export.map_err(ComponentRefused::Invalid)?.name;
                    if self.depth == 0 {
                        self.exports.push(name.name.to_owned());
                    }
                }
                Ok(())
            }
            Payload::ComponentCanonicalSection(section) => {
                self.count(Part::Link, section.count())?;
                for function in section.clone() {
                    canonical(&function.map_err(ComponentRefused::Invalid)?)?;
                }
                Ok(())
            }
            Payload::TypeSection(section) => self.count(Part::Type, section.count()),
            Payload::CoreTypeSection(section) => self.count(Part::Type, section.count()),
            Payload::ComponentTypeSection(section) => self.count(Part::Type, section.count()),
            Payload::ImportSection(section) => self.count(Part::Import, section.count()),
            Payload::ExportSection(section) => self.count(Part::Export, section.count()),
            Payload::FunctionSection(section) => self.count(Part::Function, section.count()),
            Payload::TableSection(section) => self.count(Part::Store, section.count()),
            Payload::MemorySection(section) => self.count(Part::Store, section.count()),
            Payload::TagSection(section) => self.count(Part::Store, section.count()),
            Payload::GlobalSection(section) => self.count(Part::Store, section.count()),
            Payload::ElementSection(section) => self.count(Part::Segment, section.count()),
            Payload::DataSection(section) => self.count(Part::Segment, section.count()),
            Payload::DataCountSection { count, .. } => {
                if u64::from(*count) > Part::Segment.limit() {
                    return Err(ComponentRefused::TooMany { part: Part::Segment });
                }
                Ok(())
            }
            Payload::InstanceSection(section) => self.count(Part::Link, section.count()),
            Payload::ComponentInstanceSection(section) => self.count(Part::Link, section.count()),
            Payload::ComponentAliasSection(section) => self.count(Part::Link, section.count()),
            Payload::ComponentStartSection { .. } => {
                Err(ComponentRefused::SwitchedOff { what: "a start function of the component" })
            }
            Payload::StartSection { .. }
            | Payload::CodeSectionStart { .. }
            | Payload::CodeSectionEntry(_)
            | Payload::UnknownSection { .. } => Ok(()),
            // The enum is open; a section that this parser's next version knows is none that a guest needs.
            _ => Err(ComponentRefused::SwitchedOff { what: "an unknown section" }),
        }
    }

    /// An import of the outermost component. What nested ones import is given to them by the outermost.
    fn import(&mut self, name: ComponentExternName<'_>, ty: ComponentTypeRef) -> Result<(), ComponentRefused> {
        if self.depth > 0 {
            return Ok(());
        }
        let plain = name.implements.is_none() && name.external_id.is_none() && name.version_suffix.is_none();
        if !plain || !matches!(ty, ComponentTypeRef::Instance(_)) {
            return Err(ComponentRefused::UnknownImport { name: name.name.to_owned() });
        }
        self.imports.push(name.name.to_owned());
        Ok(())
    }
}

/// Only what a synchronous component needs: lifting, lowering and resources.
fn canonical(function: &CanonicalFunction) -> Result<(), ComponentRefused> {
    if matches!(
        function,
        CanonicalFunction::Lift { .. }
            | CanonicalFunction::Lower { .. }
            | CanonicalFunction::ResourceNew { .. }
            | CanonicalFunction::ResourceDrop { .. }
            | CanonicalFunction::ResourceRep { .. }
    ) {
        Ok(())
    } else {
        Err(ComponentRefused::SwitchedOff { what: "asynchronous functions or threads" })
    }
}
