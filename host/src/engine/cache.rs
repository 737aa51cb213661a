//! Compiled code by content hash, in a folder that belongs to the host.
//!
//! Compiled code is trusted code: whoever writes into the folder runs as this process. So the folder
//! is 0700, a file that another user owns or may write is not looked at, files are written beside
//! their place and renamed, and a checksum finds damage. What cannot be used is compiled again.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tracing::{debug, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::component::hex;

/// First bytes of a cache file.
const MAGIC: &[u8; 8] = b"FBELLC\0\x01";
/// SHA-256 of the compiled code, after the magic.
const CHECKSUM_BYTES: usize = 32;
/// Entries that nobody used for so long are removed at start.
const UNUSED_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The ending of entries.
const ENDING: &str = "compiled";

/// The folder.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    /// The folder's owner: us.
    uid: u32,
    /// Names everything that compiled code depends on besides the component: wasmtime's version,
    /// its settings, the processor.
    engine: String,
}

/// Feeds what wasmtime hashes into SHA-256; the standard hashers may change with the compiler.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl Cache {
    /// Makes the folder, or takes an existing one and closes it to others.
    pub(super) fn open(dir: &Path, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Only the owner may do this: it fails on a folder of somebody else's.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        let uid = fs::metadata(dir)?.uid();
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hex(&hasher.0.finalize()[..8]);
        let cache = Self { dir: dir.to_owned(), uid, engine };
        cache.remove_unused()?;
        Ok(cache)
    }

    /// The compiled form of `component`, when it is here and undamaged.
    pub(super) fn load(&self, engine: &Engine, component: &[u8]) -> Option<Component> {
        let path = self.path(component);
        let code = match self.read(&path) {
            Ok(code) => code,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(path = %path.display(), %error, "cached code is not usable, compiling again");
                return None;
            }
        };
        match deserialize(engine, &code) {
            Ok(component) => Some(component),
            Err(error) => {
                warn!(path = %path.display(), %error, "cached code is refused, compiling again");
                None
            }
        }
    }

    /// Keeps the compiled form of `component`. A failure costs time later, nothing else.
    pub(super) fn store(&self, component: &[u8], compiled: &Component) {
        let path = self.path(component);
        let written = compiled
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|code| self.write(&path, &code));
        if let Err(error) = written {
            warn!(path = %path.display(), %error, "compiled code is not cached");
        }
    }

    fn path(&self, component: &[u8]) -> PathBuf {
        let hash = hex(&Sha256::digest(component));
        self.dir.join(format!("{hash}-{}.{ENDING}", self.engine))
    }

    /// The code in a file, when the file is ours and whole.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let refuse = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        // Not through a link: its target may be anybody's.
        if !fs::symlink_metadata(path)?.is_file() {
            return Err(refuse("not a plain file"));
        }
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.uid() != self.uid || metadata.mode() & 0o022 != 0 {
            return Err(refuse("another user owns it or may write it"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        let code = bytes
            .strip_prefix(MAGIC.as_slice())
            .and_then(|rest| rest.split_at_checked(CHECKSUM_BYTES))
            .filter(|(checksum, code)| Sha256::digest(code).as_slice() == *checksum)
            .map(|(_, code)| code.to_vec())
            .ok_or_else(|| refuse("damaged"))?;
        // Marks it as used, for `remove_unused`; not being able to is no reason to compile.
        if let Err(error) = file.set_modified(SystemTime::now()) {
            debug!(path = %path.display(), %error, "cached code is not marked as used");
        }
        Ok(code)
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        /// Two threads may compile the same file at once.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let beside = self.dir.join(format!("{}-{next}.tmp", std::process::id()));
        let write = || {
            let mut file =
                File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(MAGIC)?;
            file.write_all(&Sha256::digest(code))?;
            file.write_all(code)?;
            fs::rename(&beside, path)
        };
        write().inspect_err(|_| {
            // Best effort: what is left is removed when it is old.
            let _gone = fs::remove_file(&beside);
        })
    }

    /// Removes entries, and files of crashed writers, that nobody used for long.
    fn remove_unused(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let path = entry.path();
            let ours = path.extension().is_some_and(|ending| ending == ENDING || ending == "tmp");
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if ours && age > UNUSED_MAX {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

#[allow(
    unsafe_code,
    reason = "wasmtime trusts compiled code; ours comes from a 0700 folder of our own, checksummed, \
              and its name holds the component's hash and the engine's compatibility hash"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was made by `Component::serialize` of an engine with the same compatibility
    // hash: only `Cache::write` puts files into a folder that nobody else can write to, and
    // `Cache::read` checked the owner, the mode and the checksum.
    unsafe { Component::deserialize(engine, code) }
}
