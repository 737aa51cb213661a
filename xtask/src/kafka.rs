//! A real Apache Kafka, started as a child process: one node that is broker and controller.
//!
//! Its jars come once from Maven Central, it listens on free ports of 127.0.0.1, keeps its data in a
//! temporary folder, and goes with the process that started it, even when that one is killed.

mod jars;
mod listener;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::child::Guarded;
use crate::ports::free_port;

pub use jars::{JAVA_VERSION_MIN, class_path, missing_programs};
pub use listener::Listener;

/// The version that everything is tested on.
pub const NEWEST: &str = "4.4.0";
/// The oldest line that is still kept up, with the main tests; also has the console producer.
pub const OLDER: &str = "3.9.2";

/// How long a start may take. Two seconds are usual, and ten when all cores are busy.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a broker may take to stop when it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Any 16 bytes in URL-safe base64.
const CLUSTER_ID: &str = "9sLsw81uS4KUqKjusN1_jw";
/// How a broker is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port of clients; `None` = a free one.
    pub port: Option<u16>,
    /// More ports for clients, beside the one that asks for nothing.
    pub listeners: Vec<Listener>,
    /// Lines of `server.properties` that come after ours and win.
    pub properties: Vec<(String, String)>,
    /// Java's heap, MiB. Tests do with 128; 64 start as well.
    pub heap_mib: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: None, listeners: vec![], properties: vec![], heap_mib: 128 }
    }
}

/// A running broker; stopped when dropped.
#[derive(Debug)]
pub struct Broker {
    /// `None` = stopped. Before the folder, since fields are dropped in this order.
    process: Option<Guarded>,
    /// With `server.properties`, the log and the data.
    dir: TempDir,
    libs: PathBuf,
    version: String,
    port: u16,
    /// The ports of [`Options::listeners`], by name.
    listeners: Vec<(String, u16)>,
    heap_mib: u32,
}

impl Broker {
    /// Fetches the jars if need be, formats a new data folder and starts a broker on it.
    ///
    /// # Errors
    /// When java or mvn is missing, jars can't be fetched, or the broker does not start in time; the
    /// end of its log is part of the error.
    pub fn start(version: &str, options: &Options) -> Result<Self> {
        let libs = class_path(version)?;
        // Between finding a free port and listening on it, somebody else may take it.
        const ATTEMPTS: u32 = 3;
        let mut attempt = 1;
        loop {
            match Self::start_once(version, options, libs.clone()) {
                Err(error)
                    if attempt < ATTEMPTS && format!("{error:#}").contains("BindException") =>
                {
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    fn start_once(version: &str, options: &Options, libs: PathBuf) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("firebell-kafka-").tempdir()?;
        let port = options.port.map_or_else(free_port, Ok)?;
        let ports: Vec<u16> =
            options.listeners.iter().map(|_| free_port()).collect::<Result<_>>()?;
        let properties = properties(version, (port, free_port()?), &ports, dir.path(), options);
        std::fs::write(dir.path().join("server.properties"), properties)?;
        let (version, heap_mib) = (version.into(), options.heap_mib);
        let names = options.listeners.iter().map(|listener| listener.name.clone());
        let listeners = names.zip(ports).collect();
        let mut broker = Self { process: None, dir, libs, version, port, listeners, heap_mib };
        broker.format()?;
        broker.spawn()?;
        Ok(broker)
    }

    fn java(&self) -> Command {
        let mut java = java(&self.libs, self.heap_mib);
        java.current_dir(self.dir.path());
        java
    }

    fn format(&self) -> Result<()> {
        let format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"];
        let out = self.java().args(format).arg("server.properties").output()?;
        ensure!(
            out.status.success(),
            "can't format Kafka's storage: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(())
    }

    fn spawn(&mut self) -> Result<()> {
        let mut java = self.java();
        java.args(["kafka.Kafka", "server.properties"]);
        let log = self.log_path();
        // The lines of an earlier start would tell of a broker that is ready.
        std::fs::write(&log, "")?;
        let process = Guarded::spawn(&mut java, &log, self.dir.path())?;
        await_start(self.process.insert(process), self.port, &log)
    }

    /// Starts again on the same port and data, after [`Self::stop`] or [`Self::kill`].
    ///
    /// # Errors
    /// When it runs, or does not start in time.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the broker runs already");
        self.spawn()
    }

    /// Asks the broker to stop and waits until it has.
    ///
    /// # Errors
    /// When it does not stop in time; then it is killed.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal("TERM")?;
        let ended = process.wait(STOP_TIMEOUT)?;
        ensure!(ended.is_some(), "Kafka did not stop within {STOP_TIMEOUT:?}");
        Ok(())
    }

    /// Kills the broker as `kill -9` does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the broker's clock: it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.running()?.signal("STOP")
    }

    /// Ends [`Self::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.running()?.signal("CONT")
    }

    fn running(&self) -> Result<&Guarded> {
        self.process.as_ref().context("the broker does not run")
    }

    /// `HOST:PORT` for clients.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `localhost:PORT` of one of [`Options::listeners`]: certificates are for names.
    ///
    /// # Errors
    /// When it has none of this name.
    pub fn listener(&self, name: &str) -> Result<String> {
        let found = self.listeners.iter().find(|(listener, _)| listener == name);
        let (_, port) = found.with_context(|| format!("the broker has no listener {name}"))?;
        Ok(format!("localhost:{port}"))
    }

    /// Sets the password of a user of SCRAM-SHA-256 and of SCRAM-SHA-512, who need not exist.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn set_scram_password(&self, user: &str, password: &str) -> Result<()> {
        // The newer jars lack the command.
        let libs = class_path(OLDER)?;
        // Kafka takes one credential of a user in a request.
        for bits in [256, 512] {
            let password = format!("SCRAM-SHA-{bits}=[iterations=4096,password={password}]");
            let out = java(&libs, self.heap_mib)
                .current_dir(self.dir.path())
                .args(["kafka.admin.ConfigCommand", "--bootstrap-server", &self.bootstrap()])
                .args(["--alter", "--entity-type", "users", "--entity-name", user])
                .args(["--add-config", &password])
                .output()?;
            ensure!(
                out.status.success(),
                "can't set the password of {user}: {}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            );
        }
        Ok(())
    }

    /// Which Kafka it is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where its log is written.
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Waits until the broker ends by itself.
    ///
    /// # Errors
    /// When it does not run.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.process.as_mut().context("the broker does not run")?.wait_forever()
    }
}

/// `java` with these jars.
fn java(libs: &Path, heap_mib: u32) -> Command {
    let mut java = Command::new("java");
    // Tests start often and run shortly; a large heap is for one that runs for long.
    if heap_mib <= 256 {
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    }
    java.args([format!("-Xmx{heap_mib}m"), format!("-Xms{heap_mib}m")])
        .arg("-cp")
        .arg(libs.join("*"))
        .stdin(Stdio::null());
    java
}

/// Returns when the broker takes connections.
fn await_start(process: &mut Guarded, port: u16, log: &Path) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        // The port opens a few milliseconds before the broker answers, the line comes after.
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if text.contains("Kafka Server started") && TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        let why = match process.try_wait()? {
            Some(status) => format!("Kafka ended while starting ({status})"),
            None if Instant::now() > deadline => format!("no Kafka after {START_TIMEOUT:?}"),
            None => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
        };
        let lines: Vec<&str> = text.lines().collect();
        let end = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
        bail!("{why}; the end of its log:\n{end}");
    }
}

/// `server.properties`: one node, small, quick to start, and quick to start again after a crash.
fn properties(
    version: &str,
    (port, controller): (u16, u16),
    listeners: &[u16],
    dir: &Path,
    options: &Options,
) -> String {
    let data = dir.join("data");
    let listeners: Vec<_> = options.listeners.iter().zip(listeners.iter().copied()).collect();
    let lines = |line: fn(&(&Listener, u16)) -> String| listeners.iter().map(line).collect();
    let (more, advertised, protocols): (String, String, String) = (
        lines(|(listener, port)| format!(",{}://127.0.0.1:{port}", listener.name)),
        lines(|(listener, port)| format!(",{}://localhost:{port}", listener.name)),
        lines(|(listener, _)| format!(",{}:{}", listener.name, listener.protocol)),
    );
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{more}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}\n\
         log.dirs={data}\n\
         num.partitions=1\n\
         default.replication.factor=1\n\
         min.insync.replicas=1\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n\
         broker.session.timeout.ms=1500\n\
         broker.heartbeat.interval.ms=300\n\
         log.retention.ms=-1\n\
         log.segment.bytes=16777216\n\
         log.index.size.max.bytes=1048576\n\
         log.cleaner.dedupe.buffer.size=10485760\n\
         num.network.threads=2\n\
         num.io.threads=2\n\
         background.threads=2\n\
         auto.create.topics.enable=false\n",
        data = data.display()
    );
    if !version.starts_with("3.") {
        text.push_str(
            "share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.num.partitions=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.consumer.min.session.timeout.ms=1000\n\
             group.consumer.session.timeout.ms=6000\n\
             group.consumer.min.heartbeat.interval.ms=300\n\
             group.consumer.heartbeat.interval.ms=1000\n",
        );
    }
    for line in options.listeners.iter().flat_map(Listener::lines) {
        text.push_str(&line);
    }
    for (name, value) in &options.properties {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kafka_4_is_told_about_share_groups() {
        let text =
            |version| properties(version, (1, 2), &[], Path::new("dir"), &Options::default());
        assert!(text("4.4.0").contains("share.coordinator"));
        assert!(!text("3.9.2").contains("share.coordinator"));
    }

    #[test]
    fn own_properties_come_last_and_win() {
        let properties = vec![("num.partitions".to_owned(), "7".to_owned())];
        let options = Options { properties, ..Options::default() };
        let text = super::properties("4.4.0", (1, 2), &[], Path::new("dir"), &options);
        assert!(text.rfind("num.partitions=7") > text.find("num.partitions=1"));
    }
}
