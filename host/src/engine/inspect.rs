//! What a rule's file is, told from its outermost sections, before anything is compiled.

use wasmparser::{BinaryReaderError, Parser, Payload};

use crate::engine::component::LoadError;

/// The interface that a rule exports, without its version.
const GUEST: &str = "firebell:rule/guest";
/// Interfaces of 0.1 that a rule may import.
const IMPORTS: [&str; 4] =
    ["firebell:rule/log", "firebell:rule/types", "firebell:rule/state", "firebell:rule/tables"];
/// What the custom section of a core module that carries its interface begins with.
const COMPONENT_TYPE: &str = "component-type";
/// What every WebAssembly file begins with.
const MAGIC: &[u8] = b"\0asm";

/// What kind of WebAssembly a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Component,
    CoreModule,
}

/// Looks at a file's outermost sections.
///
/// # Errors
///
/// It is no rule for this host.
pub(super) fn inspect(bytes: &[u8]) -> Result<Kind, LoadError> {
    if bytes.is_empty() {
        return Err(LoadError::Empty);
    }
    if bytes.len() < 8 && (MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC)) {
        return Err(LoadError::Truncated { bytes: bytes.len() });
    }
    if !bytes.starts_with(MAGIC) {
        return Err(LoadError::NotWasm { what: describe_start(bytes) });
    }
    if Parser::is_component(bytes) {
        let (imports, exports) = outermost(bytes)?;
        check_component(imports, exports)?;
        Ok(Kind::Component)
    } else if Parser::is_core_wasm(bytes) {
        check_module(bytes)?;
        Ok(Kind::CoreModule)
    } else {
        let what = format!("WebAssembly of an unknown version ({:02x?})", &bytes[4..8]);
        Err(LoadError::NotWasm { what })
    }
}

/// Says in words what something that is not WebAssembly seems to be.
fn describe_start(bytes: &[u8]) -> String {
    let text = bytes.trim_ascii_start();
    if bytes.starts_with(b"\x7fELF") {
        "compiled machine code, which is never loaded from outside; put the .wasm here".into()
    } else if text.starts_with(b"(") {
        "WebAssembly text; assemble it: `wasm-tools parse IN.wat -o OUT.wasm`".into()
    } else if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"PK") {
        "a packed archive; unpack it".into()
    } else {
        let start = &bytes[..bytes.len().min(16)];
        format!("it begins with `{}`", start.escape_ascii())
    }
}

/// Names of the imports and exports of a component.
fn outermost(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), LoadError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    let bad = |error: BinaryReaderError| broken(&error, bytes.len());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(bad)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(bad)?.name.full_name().into_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(bad)?.name.full_name().into_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn check_component(imports: Vec<String>, exports: Vec<String>) -> Result<(), LoadError> {
    // First the version: all else that may be wrong follows from it.
    for name in imports.iter().chain(&exports) {
        if let Some((interface, version)) = name.split_once('@')
            && interface.starts_with("firebell:rule/")
            && !is_ours(version)
        {
            return Err(LoadError::OtherContract { name: name.clone() });
        }
    }
    let interface = |name: &str| name.split_once('@').map_or(name, |(name, _)| name).to_owned();
    // An interface that a later 0.1.x added: ours by name, but not known here.
    let newer = |name: &&String| {
        name.starts_with("firebell:rule/") && !IMPORTS.contains(&interface(name).as_str())
    };
    if let Some(name) = imports.iter().find(newer) {
        return Err(LoadError::NewerInterface { name: name.clone() });
    }
    let foreign: Vec<String> =
        imports.into_iter().filter(|name| !name.starts_with("firebell:rule/")).collect();
    if !foreign.is_empty() {
        return Err(LoadError::foreign(foreign));
    }
    if !exports.iter().any(|name| interface(name) == GUEST) {
        return Err(LoadError::WrongWorld { exports });
    }
    Ok(())
}

/// Whether `version` is one that this host can serve: 0.1.x.
fn is_ours(version: &str) -> bool {
    version.starts_with("0.1.") && !version.contains('-')
}

fn check_module(bytes: &[u8]) -> Result<(), LoadError> {
    let mut has_interface = false;
    let mut foreign = Vec::new();
    let bad = |error: BinaryReaderError| broken(&error, bytes.len());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(bad)? {
            Payload::CustomSection(section) => {
                has_interface |= section.name().starts_with(COMPONENT_TYPE);
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let module = import.map_err(bad)?.module;
                    if !is_known(module) && !foreign.iter().any(|known| known == module) {
                        foreign.push(module.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    if !foreign.is_empty() {
        return Err(LoadError::foreign(foreign));
    }
    if has_interface { Ok(()) } else { Err(LoadError::NoInterface) }
}

/// Whether a core module that becomes a rule may import from `module`: our interfaces, or what the
/// canonical ABI names (`[export]…`, `$root`, `cm32p2…`), which the wrapping looks at.
fn is_known(module: &str) -> bool {
    module.contains("firebell:rule/") || module.starts_with(['[', '$']) || module == "cm32p2"
}

fn broken(error: &BinaryReaderError, bytes: usize) -> LoadError {
    // The parser says so when a section is longer than what is left.
    if error.message().contains("unexpected end") {
        LoadError::Truncated { bytes }
    } else {
        LoadError::Invalid { detail: error.to_string() }
    }
}
