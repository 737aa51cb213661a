//! Compiles components and loads rules, each content once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::files::{Files, WantedRule};
use crate::engine::{Component, Engine};
use crate::limits::Limits;
use crate::rules::Rule;
use crate::rules::definition::{At, ComponentSource};
use crate::rules::finding::Finding;
use crate::rules::load::{Defaults, Version, did_you_mean, load};
use crate::shipped::{self, SHIPPED};

/// A component's bytes, compiled.
#[derive(Debug, Clone)]
pub(super) struct Artifact {
    /// SHA-256 of the bytes.
    digest: [u8; 32],
    version: Version,
    /// The compiled component, or why it is none.
    pub(super) compiled: Result<Component, Finding>,
}

/// Why a rule has no component.
#[derive(Debug, thiserror::Error)]
enum ComponentError {
    #[error("there is no component `{file}` in the rules folder{cure}")]
    Missing { file: String, cure: String },
    #[error("no component of the name `{name}` ships with firebell{cure}")]
    NotShipped { name: String, cure: String },
}

/// Makes rules of definitions.
#[derive(Debug)]
pub(super) struct Loader {
    engine: Engine,
    defaults: Defaults,
    builtins: HashMap<&'static str, Artifact>,
    /// Versions that were refused and why: they are not tried again with every change of the folder.
    refused: BTreeMap<Arc<str>, (String, Vec<Finding>)>,
}

impl Loader {
    pub(super) fn new(engine: Engine, defaults: Defaults) -> Self {
        Self { engine, defaults, builtins: HashMap::new(), refused: BTreeMap::new() }
    }

    /// The limits of rules that set none.
    pub(super) fn limits(&self) -> &Limits {
        &self.defaults.limits
    }

    /// Compiles a component, unless one of `known` has the same bytes.
    pub(super) fn compile<'a>(
        &self,
        bytes: &[u8],
        known: impl IntoIterator<Item = &'a Artifact>,
    ) -> Artifact {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        match known.into_iter().find(|known| known.digest == digest) {
            Some(known) => known.clone(),
            None => Artifact {
                digest,
                version: Version::of_component(bytes),
                compiled: self.engine.compile(bytes).map_err(Finding::new),
            },
        }
    }

    /// A rule in the version that its files stand for; `old`, the one that runs, if that is it.
    ///
    /// No finding in an error means that the component is bad, which is told of its own file.
    pub(super) fn load(
        &mut self,
        wanted: &WantedRule,
        files: &Files,
        old: Option<&Arc<Rule>>,
    ) -> Result<Arc<Rule>, Vec<Finding>> {
        let At { line, value: source } = &wanted.definition.component;
        let finding = |error| vec![Finding { line: *line, ..Finding::new(error) }];
        let artifact = match source {
            ComponentSource::File(file) => match files.component(file) {
                Some(Ok(artifact)) => artifact.clone(),
                Some(Err(())) => return Err(vec![]),
                None => return Err(finding(missing(file, line.is_none(), files))),
            },
            ComponentSource::Builtin(name) => match self.builtin(name) {
                Some(artifact) => artifact,
                None => return Err(finding(not_shipped(name))),
            },
        };
        let component = artifact.compiled.map_err(|finding| vec![finding])?;
        let version = artifact.version.with_toml(&wanted.toml);
        if let Some(old) = old.filter(|old| old.version == version) {
            return Ok(Arc::clone(old));
        }
        if let Some((_, findings)) = self.refused.get(&wanted.name).filter(|(v, _)| *v == version) {
            return Err(findings.clone());
        }
        let loaded =
            load(&wanted.name, version.clone(), &component, &wanted.definition, &self.defaults);
        match loaded {
            Ok(rule) => {
                self.refused.remove(&wanted.name);
                Ok(Arc::new(rule))
            }
            Err(findings) => {
                self.refused.insert(Arc::clone(&wanted.name), (version, findings.clone()));
                Err(findings)
            }
        }
    }

    /// Forgets what was refused of rules that have no files any more.
    pub(super) fn forget_all_but(&mut self, names: &BTreeSet<Arc<str>>) {
        self.refused.retain(|name, _| names.contains(name));
    }

    fn builtin(&mut self, name: &str) -> Option<Artifact> {
        let shipped = shipped::find(name)?;
        if let Some(artifact) = self.builtins.get(shipped.name) {
            return Some(artifact.clone());
        }
        let artifact = self.compile(shipped.component, None);
        self.builtins.insert(shipped.name, artifact.clone());
        Some(artifact)
    }
}

fn missing(file: &str, is_default: bool, files: &Files) -> ComponentError {
    let cure = if is_default {
        "; put it there, or say which one this rule is made of, such as `component = \
         \"builtin:invalid-user\"`"
            .to_owned()
    } else {
        did_you_mean(file, files.components())
    };
    ComponentError::Missing { file: file.to_owned(), cure }
}

fn not_shipped(name: &str) -> ComponentError {
    let cure = did_you_mean(name, SHIPPED.iter().map(|shipped| shipped.name));
    ComponentError::NotShipped { name: name.to_owned(), cure }
}
