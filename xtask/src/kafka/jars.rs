//! Kafka's jars: fetched once by Maven into `target/kafka/VERSION/libs`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::project;

/// What Kafka 4 needs.
pub const JAVA_VERSION_MIN: u32 = 17;

/// Each program that is needed and can't be started, as a sentence with its cure.
pub fn missing_programs() -> Vec<String> {
    let mut missing = vec![];
    match java_version() {
        None => missing.push(format!(
            "`java` is not on the PATH: install a JDK or JRE of version {JAVA_VERSION_MIN} or newer \
             (Debian, Ubuntu: `apt-get install openjdk-17-jre-headless`; macOS: `brew install openjdk@17`)"
        )),
        Some(found) if found < JAVA_VERSION_MIN => missing.push(format!(
            "`java` is version {found}; Kafka needs {JAVA_VERSION_MIN} or newer \
             (Debian, Ubuntu: `apt-get install openjdk-17-jre-headless`)"
        )),
        Some(_) => {}
    }
    if !project::is_installed("mvn", "--version") {
        missing.push(
            "`mvn` is not on the PATH: install Apache Maven, which fetches Kafka's jars once \
             (Debian, Ubuntu: `apt-get install maven`; macOS: `brew install maven`)"
                .to_owned(),
        );
    }
    missing
}

/// The main version of `java`; `None` when there is none or it says nothing that we understand.
fn java_version() -> Option<u32> {
    let out = Command::new("java").arg("-version").output().ok()?;
    parse_java_version(&String::from_utf8_lossy(&out.stderr))
}

fn parse_java_version(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut numbers = version.split(['.', '-', '_']);
    match numbers.next()?.parse().ok()? {
        // Up to Java 8 the versions read 1.8.0.
        1 => numbers.next()?.parse().ok(),
        number => Some(number),
    }
}

/// The folder with the jars of this version, fetched when they are not there yet.
///
/// # Errors
/// When java or mvn is missing, or Maven can't fetch; the error says which and what to do.
pub fn class_path(version: &str) -> Result<PathBuf> {
    let dir = project::target().join("kafka").join(version);
    let libs = dir.join("libs");
    std::fs::create_dir_all(&dir).with_context(|| format!("can't make {}", dir.display()))?;
    // Other test programs may be fetching at the same moment.
    let lock = File::create(dir.join("lock"))?;
    lock.lock()?;
    if !libs.is_dir() {
        let missing = missing_programs();
        ensure!(missing.is_empty(), "can't start Kafka {version}: {}", missing.join("; "));
        fetch(version, &dir, &libs)?;
    }
    Ok(libs)
}

fn fetch(version: &str, dir: &Path, libs: &Path) -> Result<()> {
    let part = dir.join("libs.part");
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    std::fs::write(dir.join("pom.xml"), pom(version))?;
    let out = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", part.display()))
        .current_dir(dir)
        .output()
        .context("can't start mvn")?;
    ensure!(
        out.status.success(),
        "Maven could not fetch Kafka {version} (43 MB from Maven Central; is there a network, or a mirror in \
         ~/.m2/settings.xml?):\n{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    std::fs::rename(&part, libs)?;
    Ok(())
}

/// slf4j-simple makes the broker log to stderr without any configuration; Kafka brings no binding.
fn pom(version: &str) -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>firebell</groupId><artifactId>kafka</artifactId><version>1</version>\n\
         <dependencies>\n{}{}</dependencies></project>\n",
        dependency("org.apache.kafka", "kafka_2.13", version),
        dependency("org.slf4j", "slf4j-simple", "1.7.36"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_tells_its_version_in_several_ways() {
        for (text, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15", Some(17)),
            ("openjdk version \"25\" 2025-09-16", Some(25)),
            ("java version \"1.8.0_291\"", Some(8)),
            ("openjdk version \"27-ea\" 2026-09-01", Some(27)),
            ("The operation couldn't be completed", None),
        ] {
            assert_eq!(parse_java_version(text), version, "{text}");
        }
    }
}
