//! `cargo xtask rules`: the components of the rules that ship, as their sources build them.

use std::fs;

use anyhow::{Result, ensure};

use crate::guests::{build, shipped_folder, update_shipped};

/// What the caller chose.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Change nothing; fail when a committed component is not what its source builds.
    #[arg(long)]
    check: bool,
}

/// Builds the components and updates, or compares, the committed ones.
///
/// # Errors
///
/// They do not build, or differ where that was to be checked.
pub fn rules(arguments: &Arguments) -> Result<()> {
    if arguments.check {
        let stale = stale()?;
        ensure!(stale.is_empty(), "{} differ: run `cargo xtask rules`", stale.join(", "));
        return Ok(());
    }
    for name in update_shipped()? {
        println!("updated {name}.wasm");
    }
    Ok(())
}

/// The names of the rules whose committed component is another one than their source builds.
fn stale() -> Result<Vec<String>> {
    let mut stale = vec![];
    for guest in build()?.into_iter().filter(|guest| guest.ships) {
        let committed = fs::read(shipped_folder().join(format!("{}.wasm", guest.name)));
        if committed.ok() != Some(fs::read(&guest.component)?) {
            stale.push(guest.name);
        }
    }
    Ok(stale)
}
