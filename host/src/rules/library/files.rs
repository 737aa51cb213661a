//! The contents of the folder's files, and which rules they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::loader::{Artifact, Loader};
use super::problems::Noted;
use crate::limits::Limits;
use crate::rules::RuleSet;
use crate::rules::definition::{ComponentSource, Definition, check_name};
use crate::rules::finding::Finding;
use crate::rules::folder::Snapshot;
use crate::rules::watch::Change;

/// A component with a whole language in it has 20 MB; what is much larger is something else.
const COMPONENT_BYTES_MAX: u64 = 256 << 20;

/// A toml is written by a person.
const TOML_BYTES_MAX: u64 = 1 << 20;

/// A file that was read.
#[derive(Debug)]
enum Content {
    Component(Artifact),
    Toml { text: String, definition: Result<Definition, Vec<Finding>> },
    Unreadable(Finding),
}

/// The components that a toml is about: none of them is a rule by itself.
#[derive(Debug, Default)]
struct Claims {
    /// It says so, or said so when it was good.
    said: BTreeSet<String>,
    /// It is not good, but their names are in it.
    guessed: BTreeSet<String>,
}

/// All files of the folder, by name.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    contents: BTreeMap<String, Content>,
    /// By the toml's name.
    claims: BTreeMap<String, Claims>,
    /// Components of a change that may not be over, by name; until it is taken up.
    ahead: BTreeMap<String, Artifact>,
}

/// A rule that the folder asks for.
#[derive(Debug, Clone)]
pub(super) struct WantedRule {
    pub(super) name: Arc<str>,
    /// The file that makes it a rule.
    pub(super) file: String,
    /// Its toml's text; empty = it is a bare component.
    pub(super) toml: String,
    pub(super) definition: Definition,
}

/// What the folder asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Every rule that has a file, good or bad.
    pub(super) names: BTreeSet<Arc<str>>,
    /// Those whose files can be understood.
    pub(super) rules: Vec<WantedRule>,
    /// What is wrong with the others.
    pub(super) noted: Vec<Noted>,
}

/// Why a file cannot be looked at.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the file cannot be read; let the user who runs firebell read it, or remove it")]
    Io(#[source] io::Error),
    #[error("the file has {bytes} bytes, and at most {max} are read; is it what it should be?")]
    TooLarge { bytes: u64, max: u64 },
    #[error("the file is not text (UTF-8); save it as such")]
    NotText,
}

/// Why a good component is left alone.
#[derive(Debug, thiserror::Error)]
#[error(
    "no rule uses this component: {stem}.toml is the rule `{stem}` and names another one; rename \
     this file, or remove it"
)]
struct Unused {
    stem: String,
}

impl Files {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, contents: BTreeMap::new(), claims: BTreeMap::new(), ahead: BTreeMap::new() }
    }

    /// Compiles those of the files that are components; [`update`](Self::update) has the last word.
    pub(super) fn compile_ahead(&mut self, files: &[&str], loader: &Loader) {
        for name in files.iter().filter(|name| name.ends_with(".wasm")) {
            if let Content::Component(artifact) = self.read(name, loader) {
                self.ahead.insert((*name).to_owned(), artifact);
            }
        }
    }

    /// Reads what is new or changed since `loaded`, and forgets what is gone.
    pub(super) fn update(&mut self, loaded: &Snapshot, change: &Change, loader: &Loader) {
        let files = &change.snapshot.files;
        self.contents.retain(|name, _| files.contains_key(name));
        self.claims.retain(|name, _| files.contains_key(name));
        for (name, stamp) in files {
            let is_known = self.contents.contains_key(name)
                && loaded.files.get(name) == Some(stamp)
                && !change.touched.contains(name);
            if !is_known {
                let content = self.read(name, loader);
                self.contents.insert(name.clone(), content);
            }
        }
        self.ahead.clear();
        self.update_claims();
    }

    /// The component in a file of the folder: `None` = there is no such file, `Err` = it is bad.
    pub(super) fn component(&self, name: &str) -> Option<Result<&Artifact, ()>> {
        match self.contents.get(name)? {
            Content::Component(artifact) if artifact.compiled.is_ok() => Some(Ok(artifact)),
            _ => Some(Err(())),
        }
    }

    /// The names of all components.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> + Clone {
        self.contents.keys().map(String::as_str).filter(|name| name.ends_with(".wasm"))
    }

    /// The rules that the folder asks for; `running` are those of now.
    pub(super) fn wanted(&self, running: &RuleSet, limits: &Limits) -> Wanted {
        let mut wanted = Wanted::default();
        for (file, content) in &self.contents {
            match file.strip_suffix(".wasm") {
                Some(stem) => {
                    self.want_component(file, stem, content, running, limits, &mut wanted)
                }
                None => want_toml(file, content, &mut wanted),
            }
        }
        wanted
    }

    fn want_component(
        &self,
        file: &str,
        stem: &str,
        content: &Content,
        running: &RuleSet,
        limits: &Limits,
        wanted: &mut Wanted,
    ) {
        let mut note = |finding, rules| {
            wanted.noted.push(Noted { file: Some(file.to_owned()), finding, rules });
        };
        let is_said = self.claims.values().any(|claims| claims.said.contains(file));
        let is_guessed = self.claims.values().any(|claims| claims.guessed.contains(file));
        // A bad toml does not end a rule that runs, and does not begin one that it may configure.
        let is_claimed = is_said || is_guessed && !running.rules.contains_key(stem);
        let toml = self.contents.get(&format!("{stem}.toml"));
        let is_rule = !is_claimed && toml.is_none();
        let mut users = self.users(file);
        if is_rule {
            users.push(stem.into());
        }
        let bad = match content {
            Content::Component(artifact) => artifact.compiled.as_ref().err(),
            Content::Unreadable(finding) => Some(finding),
            Content::Toml { .. } => None,
        };
        if let Some(finding) = bad {
            note(finding.clone(), users);
        } else if !is_claimed && matches!(toml, Some(Content::Toml { definition: Ok(_), .. })) {
            note(Finding::new(Unused { stem: stem.to_owned() }), vec![]);
        }
        if !is_rule {
            return;
        }
        if let Err(error) = check_name(stem) {
            note(Finding::new(error), vec![]);
            return;
        }
        let name: Arc<str> = stem.into();
        wanted.names.insert(Arc::clone(&name));
        if bad.is_none() {
            let definition = Definition::bare(&name, limits);
            let (file, toml) = (file.to_owned(), String::new());
            wanted.rules.push(WantedRule { name, file, toml, definition });
        }
    }

    /// The rules of the tomls that name a component.
    fn users(&self, component: &str) -> Vec<Arc<str>> {
        let tomls = self.claims.iter().filter(|(_, claims)| claims.said.contains(component));
        tomls.filter_map(|(toml, _)| toml.strip_suffix(".toml")).map(Arc::from).collect()
    }

    fn read(&self, name: &str, loader: &Loader) -> Content {
        let bad = |error| Content::Unreadable(Finding::new(error));
        let path = self.dir.join(name);
        let Some(stem) = name.strip_suffix(".toml") else {
            return match read_at_most(&path, COMPONENT_BYTES_MAX) {
                Ok(bytes) => {
                    let loaded = self.contents.get(name).and_then(|content| match content {
                        Content::Component(artifact) => Some(artifact),
                        _ => None,
                    });
                    let known = loaded.into_iter().chain(self.ahead.get(name));
                    Content::Component(loader.compile(&bytes, known))
                }
                Err(error) => bad(error),
            };
        };
        let text = read_at_most(&path, TOML_BYTES_MAX)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| ReadError::NotText));
        match text {
            Ok(text) => {
                let definition = Definition::parse(stem, &text, loader.limits());
                Content::Toml { text, definition }
            }
            Err(error) => bad(error),
        }
    }

    fn update_claims(&mut self) {
        for (file, content) in &self.contents {
            let claims = match content {
                Content::Component(_) => continue,
                Content::Toml { definition: Ok(definition), .. } => {
                    let component = match &definition.component.value {
                        ComponentSource::File(name) => Some(name.clone()),
                        ComponentSource::Builtin(_) => None,
                    };
                    Claims { said: component.into_iter().collect(), ..Claims::default() }
                }
                Content::Toml { text, definition: Err(_) } => {
                    let named = self
                        .contents
                        .keys()
                        .filter(|name| name.ends_with(".wasm") && text.contains(name.as_str()));
                    let guessed = named.cloned().collect();
                    let said = self.claims.remove(file).unwrap_or_default().said;
                    Claims { said, guessed }
                }
                Content::Unreadable(_) if file.ends_with(".toml") => {
                    self.claims.remove(file).unwrap_or_default()
                }
                Content::Unreadable(_) => continue,
            };
            self.claims.insert(file.clone(), claims);
        }
    }
}

fn want_toml(file: &str, content: &Content, wanted: &mut Wanted) {
    let stem = file.strip_suffix(".toml").unwrap_or(file);
    let mut note = |finding, rules| {
        wanted.noted.push(Noted { file: Some(file.to_owned()), finding, rules });
    };
    if let Err(error) = check_name(stem) {
        note(Finding::new(error), vec![]);
        return;
    }
    let name: Arc<str> = stem.into();
    wanted.names.insert(Arc::clone(&name));
    match content {
        Content::Toml { text, definition: Ok(definition) } => wanted.rules.push(WantedRule {
            name,
            file: file.to_owned(),
            toml: text.clone(),
            definition: definition.clone(),
        }),
        Content::Toml { definition: Err(findings), .. } => {
            findings.iter().for_each(|finding| note(finding.clone(), vec![Arc::clone(&name)]));
        }
        Content::Unreadable(finding) => note(finding.clone(), vec![name]),
        Content::Component(_) => {}
    }
}

fn read_at_most(path: &Path, max: u64) -> Result<Vec<u8>, ReadError> {
    let bytes = fs::metadata(path).map_err(ReadError::Io)?.len();
    if bytes > max {
        return Err(ReadError::TooLarge { bytes, max });
    }
    fs::read(path).map_err(ReadError::Io)
}
