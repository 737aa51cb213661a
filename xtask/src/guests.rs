//! Rules compiled to components: those that ship (`plugins/`) and those that tests need
//! (`tests/guests`).
//!
//! [`build`] leaves `target/guests/NAME.wasm`, a component, and `NAME.core.wasm`, the core module
//! that it was made of; a host takes either. The shipped ones are also committed, under
//! `plugins/components`, since the binary embeds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use wit_component::ComponentEncoder;

use crate::project::{self, cargo};

/// What guests are compiled to.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The Cargo profile that they are compiled with.
const PROFILE: &str = "rule";

/// The package whose examples are the test guests.
const TEST_GUESTS: &str = "firebell-guests";

/// Guests that are no components and can't become any: their `NAME.wasm` is the core module.
const CORE_ONLY: [&str; 2] = ["foreign-env", "no-interface"];

/// A compiled guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its name: of the package that ships, or of the test guest.
    pub name: String,
    /// Whether it ships.
    pub ships: bool,
    /// The component, `target/guests/NAME.wasm`.
    pub component: PathBuf,
    /// The core module, `target/guests/NAME.core.wasm`.
    pub core: PathBuf,
}

/// The folder with all built guests.
pub fn folder() -> PathBuf {
    project::target().join("guests")
}

/// The folder with the committed components of the rules that ship.
pub fn shipped_folder() -> PathBuf {
    project::root().join("plugins/components")
}

/// Builds all guests. Files that did not change are left alone, so that a host that watches them
/// sees nothing.
///
/// # Errors
///
/// The target can't be had, or a guest does not build.
pub fn build() -> Result<Vec<Guest>> {
    // Tests of one program ask at the same time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    add_target()?;
    let found = find()?;
    ensure!(found.iter().any(|guest| guest.ships), "no package under plugins/ is a cdylib");
    let mut build = cargo();
    build.args(["build", "--quiet", "--profile", PROFILE, "--target", TARGET]);
    build.args(["--package", TEST_GUESTS, "--examples", "--lib"]);
    for guest in found.iter().filter(|guest| guest.ships) {
        build.args(["--package", &guest.name]);
    }
    // Says all flags at once: RUSTFLAGS of the caller would switch off .cargo/config.toml's.
    build.env("CARGO_ENCODED_RUSTFLAGS", rust_flags()?.join("\u{1f}")).env_remove("RUSTFLAGS");
    project::run(&mut build)?;

    let built = project::target().join(TARGET).join(PROFILE);
    fs::create_dir_all(folder()).with_context(|| format!("can't make {}", folder().display()))?;
    for guest in &found {
        let file = format!("{}.wasm", guest.name.replace('-', "_"));
        let built = if guest.ships { built.join(file) } else { built.join("examples").join(file) };
        let core = fs::read(&built).with_context(|| format!("can't read {}", built.display()))?;
        let component = if CORE_ONLY.contains(&guest.name.as_str()) {
            core.clone()
        } else {
            encode(&core).with_context(|| format!("{} makes no component", built.display()))?
        };
        write_if_new(&guest.core, &core)?;
        write_if_new(&guest.component, &component)?;
    }
    Ok(found)
}

/// Copies the built components of the rules that ship to [`shipped_folder`]; the names of those
/// that changed.
///
/// # Errors
///
/// They do not build, import what they must not, or can't be written.
pub fn update_shipped() -> Result<Vec<String>> {
    fs::create_dir_all(shipped_folder())?;
    let mut changed = vec![];
    for guest in build()?.into_iter().filter(|guest| guest.ships) {
        let component = fs::read(&guest.component)?;
        let foreign: Vec<String> =
            imports(&component)?.into_iter().filter(|name| !is_ours(name)).collect();
        ensure!(foreign.is_empty(), "{} imports {}", guest.name, foreign.join(", "));
        if write_if_new(&shipped_folder().join(format!("{}.wasm", guest.name)), &component)? {
            changed.push(guest.name);
        }
    }
    Ok(changed)
}

/// A component from a core module that carries its interface.
///
/// # Errors
///
/// It carries none, or imports what its interface does not say.
pub fn encode(core: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(core)?.encode()
}

/// The names of a component's imports.
///
/// # Errors
///
/// The bytes are no component.
pub fn imports(component: &[u8]) -> Result<Vec<String>> {
    let mut names = vec![];
    let mut depth = 0_u32;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload? {
            wasmparser::Payload::ModuleSection { .. }
            | wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
            wasmparser::Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    names.push(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Whether a component of ours may import this.
pub fn is_ours(import: &str) -> bool {
    import.starts_with("firebell:rule/")
}

/// Adds the guests' target where rustup keeps the toolchain; elsewhere it has to be there.
///
/// # Errors
///
/// It is not there and can't be added.
pub fn add_target() -> Result<()> {
    let sysroot = sysroot()?;
    if Path::new(&sysroot).join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!(
            "`rustup target add {TARGET}` failed: rules are compiled to {TARGET}; run it where \
             the network can be reached"
        ),
        Err(_) => bail!(
            "the toolchain in {sysroot} has no {TARGET}, which rules are compiled to, and there \
             is no rustup to add it: install your distribution's package with Rust's standard \
             library for {TARGET}"
        ),
    }
}

fn sysroot() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "sysroot"])
        .current_dir(project::root())
        .output()
        .with_context(|| format!("can't start {}", rustc.display()))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The flags that guests are compiled with: a small stack, and no path of this machine in what
/// comes out.
fn rust_flags() -> Result<Vec<String>> {
    let mut flags = vec!["-Clink-arg=-zstack-size=65536".to_owned()];
    let mut forget = |path: &Path| {
        flags.push(format!("--remap-path-prefix={}/=", path.display()));
    };
    forget(&project::root().canonicalize()?);
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        // The place where Cargo keeps it when nobody says otherwise.
        std::env::home_dir().map(|home| home.join(".cargo"))
    });
    let sources = home.map(|home| home.join("registry/src"));
    if let Some(registries) = sources.and_then(|sources| fs::read_dir(sources).ok()) {
        let mut registries: Vec<PathBuf> = registries.flatten().map(|dir| dir.path()).collect();
        registries.sort();
        registries.iter().for_each(|registry| forget(registry));
    }
    Ok(flags)
}

/// All guests of the workspace, by what Cargo knows of it.
fn find() -> Result<Vec<Guest>> {
    let output =
        cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_cdylib = |target: &Value| list(&target["crate_types"]).contains(&"cdylib".into());
    let mut guests = vec![];
    for package in list(&metadata["packages"]) {
        let name = package["name"].as_str().unwrap_or_default();
        let ships = name != TEST_GUESTS;
        for target in list(&package["targets"]).iter().filter(|target| is_cdylib(target)) {
            let name = if ships { name } else { target["name"].as_str().unwrap_or_default() };
            guests.push(Guest {
                name: name.to_owned(),
                ships,
                component: folder().join(format!("{name}.wasm")),
                core: folder().join(format!("{name}.core.wasm")),
            });
        }
    }
    Ok(guests)
}

/// Writes a file whole or not at all, if its content is new; whether it was.
fn write_if_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("can't write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_import_only_what_the_contract_has_but_for_the_one_that_is_there_to_be_refused() {
        let guests = build().unwrap();
        assert!(guests.iter().filter(|guest| guest.ships).count() >= 2);
        for guest in guests.iter().filter(|guest| !CORE_ONLY.contains(&guest.name.as_str())) {
            let bytes = fs::read(&guest.component).unwrap();
            let foreign: Vec<String> =
                imports(&bytes).unwrap().into_iter().filter(|name| !is_ours(name)).collect();
            let expected: &[&str] = match guest.name.as_str() {
                "foreign-imports" => &["wasi:clocks/wall-clock@0.2.6"],
                _ => &[],
            };
            assert_eq!(foreign, expected, "{}", guest.name);
        }
    }

    #[test]
    fn rules_import_only_what_they_use() {
        let keeps = |names: &[String], interface: &str| {
            names.iter().any(|name| name.starts_with(&format!("firebell:rule/{interface}@")))
        };
        for guest in build().unwrap() {
            let imports = imports(&fs::read(&guest.component).unwrap()).unwrap();
            let (state, tables) = match guest.name.as_str() {
                "invalid-user" | "notify-relay" | "v1" => (false, false),
                "invalid-login-burst" | "heartbeat" | "first-seen" | "canary" | "kv" => {
                    (true, false)
                }
                "table-join" => (false, true),
                _ => continue,
            };
            assert_eq!(keeps(&imports, "state"), state, "{}: {imports:?}", guest.name);
            assert_eq!(keeps(&imports, "tables"), tables, "{}: {imports:?}", guest.name);
        }
    }

    #[test]
    fn no_path_of_this_machine_is_in_a_component_that_ships() {
        let home = std::env::home_dir().unwrap();
        for guest in build().unwrap().iter().filter(|guest| guest.ships) {
            let bytes = fs::read(&guest.component).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(&*home.to_string_lossy()), "{}", guest.name);
            assert!(!text.contains("index.crates.io"), "{}", guest.name);
        }
    }
}
