//! Keys and certificates, made by Java's `keytool`.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What opens every key store here.
pub const STORE_PASSWORD: &str = "store-password-of-the-test";

/// A folder of key stores and their certificates, each of which vouches for itself.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// Makes a key and a certificate for each of these names; it is for `localhost`.
    ///
    /// # Panics
    /// When `keytool` cannot.
    pub fn of(names: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("firebell-certificates-").tempdir().unwrap();
        let made = Self { dir };
        for name in names {
            let store = made.store(name);
            let subject = format!("CN={name}");
            let mut arguments = vec!["-genkeypair", "-alias", name, "-dname", &subject];
            arguments.extend(["-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2"]);
            arguments.extend(["-ext", "SAN=dns:localhost", "-ext", "bc:c"]);
            keytool(&store, &arguments);
            let certificate = made.certificate(name).display().to_string();
            keytool(&store, &["-exportcert", "-rfc", "-alias", name, "-file", &certificate]);
        }
        made
    }

    /// The PKCS #12 file with a name's key.
    pub fn store(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.p12"))
    }

    /// The PEM file with a name's certificate.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }
}

fn keytool(store: &Path, arguments: &[&str]) {
    let out = Command::new("keytool")
        .args(["-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1"])
        .args(arguments)
        .args(["-storetype", "PKCS12", "-storepass", STORE_PASSWORD, "-keystore"])
        .arg(store)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "keytool {arguments:?}: {said}");
}
