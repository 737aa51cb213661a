//! A folder with a `firebell.toml` and rules, and the real program running on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xtask::child::Guarded;
use xtask::ports::free_port;

use crate::kafka::Kafka;
use crate::watchdog::Watched;
use crate::{DEADLINE, unique};

/// Names the built `firebell` (`cargo xtask test` builds it).
pub const PROGRAM_ENV: &str = "FIREBELL_TEST_BIN";
/// The variable that the configuration names, and what is in it.
pub const TOKEN: (&str, &str) = ("FIREBELL_TEST_TOKEN", "xoxb-firebell-test");

/// What an operator has on disk. Hosts that run on it share the group and the rules.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    group: String,
    /// By section and key, as TOML.
    settings: BTreeMap<String, BTreeMap<String, String>>,
    /// More of the environment.
    environment: BTreeMap<String, String>,
    /// The HTTP port of each host by its name: a host that is started again keeps it.
    ports: Mutex<BTreeMap<String, u16>>,
    _watched: Watched,
}

impl Site {
    /// A site for this Kafka and Slack, with a group of its own that reads topics from their beginning.
    pub fn new(kafka: &Kafka, slack_api_url: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("firebell-site-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rules")).unwrap();
        let group = unique("firebell");
        let (settings, environment) = (BTreeMap::new(), BTreeMap::new());
        let (ports, watched) = (Mutex::default(), Watched::new());
        let mut site = Self { dir, group, settings, environment, ports, _watched: watched };
        let group = site.group.clone();
        site.set("kafka", "bootstrap_servers", &quoted(kafka.bootstrap()));
        site.set("kafka", "group_id", &quoted(&group));
        site.set("kafka", "auto_offset_reset", &quoted("earliest"));
        site.set("kafka", "workers", "2");
        let rules = site.rules().display().to_string();
        let cache = site.dir.path().join("cache").display().to_string();
        site.set("rules", "dir", &quoted(&rules));
        site.set("rules", "cache_dir", &quoted(&cache));
        site.set("slack", "token_env", &quoted(TOKEN.0));
        site.set("slack", "api_url", &quoted(slack_api_url));
        site.set("slack", "default_channel", &quoted("general"));
        site.set("slack", "messages_per_second", "100.0");
        site.set("slack", "burst", "100");
        site.set("slack", "workspace_messages_per_second", "1000.0");
        site
    }

    /// Sets a key of `firebell.toml` for hosts that start from now on; the value is TOML.
    pub fn set(&mut self, section: &str, key: &str, value: &str) -> &mut Self {
        let section = self.settings.entry(section.to_owned()).or_default();
        section.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Leaves a section out of `firebell.toml` for hosts that start from now on.
    pub fn without(&mut self, section: &str) -> &mut Self {
        self.settings.remove(section);
        self
    }

    /// Sets a variable of the environment of what starts from now on.
    pub fn set_variable(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The `firebell.toml` of a host that was started by this name.
    pub fn config_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("firebell-{name}.toml"))
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The topic of decided notifications.
    pub fn outbox(&self) -> String {
        format!("{}.outbox", self.group)
    }

    /// The topic of what Slack answered.
    pub fn ledger(&self) -> String {
        format!("{}.ledger", self.group)
    }

    /// The topic of what could not be processed.
    pub fn dead_letters(&self) -> String {
        format!("{}.dead-letters", self.group)
    }

    /// The topic of the rules' state.
    pub fn changelog(&self) -> String {
        format!("{}.changelog", self.group)
    }

    /// The topic of records on their way to what their rules group by.
    pub fn repartition(&self) -> String {
        format!("{}.repartition", self.group)
    }

    /// The watched folder.
    pub fn rules(&self) -> PathBuf {
        self.dir.path().join("rules")
    }

    /// Puts a rule there or replaces it: its component first, then its configuration.
    pub fn rule(&self, name: &str, component: &Path, toml: &str) -> &Self {
        let bytes = std::fs::read(component)
            .unwrap_or_else(|error| panic!("can't read {}: {error}", component.display()));
        let files = [(format!("{name}.wasm"), &*bytes), (format!("{name}.toml"), toml.as_bytes())];
        // All are written before one is put there. On a busy machine a host may still see the first
        // without the second: where that matters, a test puts them there one by one.
        let written = files.map(|(file, content)| (self.part(content), file));
        for (part, file) in written {
            std::fs::rename(part, self.rules().join(file)).unwrap();
        }
        self
    }

    /// Writes a file of the rules folder beside it and renames it into place, as careful tools do.
    pub fn put(&self, file: &str, content: &[u8]) -> &Self {
        std::fs::rename(self.part(content), self.rules().join(file)).unwrap();
        self
    }

    /// A file with this content, beside the rules folder.
    fn part(&self, content: &[u8]) -> PathBuf {
        let part = self.dir.path().join(unique("part"));
        std::fs::write(&part, content).unwrap();
        part
    }

    /// Removes a file of the rules folder.
    pub fn remove(&self, file: &str) -> &Self {
        std::fs::remove_file(self.rules().join(file)).unwrap();
        self
    }

    /// Starts the only host and waits until it is ready.
    pub fn start(&self) -> Host {
        let mut host = self.spawn("one");
        host.await_ready();
        host
    }

    /// Starts a host by this name without waiting.
    pub fn spawn(&self, name: &str) -> Host {
        self.spawn_with(name, &[])
    }

    /// The same with more arguments of `firebell run`.
    pub fn spawn_with(&self, name: &str, arguments: &[&str]) -> Host {
        let mut ports = self.ports.lock().unwrap();
        let port = *ports.entry(name.to_owned()).or_insert_with(|| free_port().unwrap());
        drop(ports);
        let path = self.config_path(name);
        std::fs::write(&path, self.toml(name, port)).unwrap();
        let log = self.dir.path().join(format!("firebell-{name}.log"));
        let mut command = self.command();
        command.args(["run", "--log-format", "human", "-c"]).arg(path).args(arguments);
        let process = Guarded::spawn(&mut command, &log, self.dir.path()).unwrap();
        Host { process, port, log }
    }

    /// The program in this folder, with the token in its environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.dir.path()).env(TOKEN.0, TOKEN.1).env("RUST_BACKTRACE", "1");
        command.envs(&self.environment);
        command
    }

    /// The text of `firebell.toml` for one host.
    fn toml(&self, name: &str, port: u16) -> String {
        let mut text = String::new();
        for (section, keys) in &self.settings {
            writeln!(text, "[{section}]").unwrap();
            if section == "kafka" && !keys.contains_key("instance_id") {
                writeln!(text, "instance_id = {}", quoted(name)).unwrap();
            }
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        writeln!(text, "[http]\nlisten = \"127.0.0.1:{port}\"").unwrap();
        text
    }
}

/// The program under test.
///
/// # Panics
/// When it was not built.
pub fn program() -> PathBuf {
    let program = std::env::var_os(PROGRAM_ENV)
        .map_or_else(|| xtask::project::target().join("debug/firebell"), PathBuf::from);
    assert!(
        program.is_file(),
        "there is no {}: run the tests by `cargo xtask test`, or `cargo build -p firebell` first",
        program.display()
    );
    program
}

/// A TOML string.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A running `firebell run`; killed when dropped.
#[derive(Debug)]
pub struct Host {
    process: Guarded,
    port: u16,
    log: PathBuf,
}

impl Host {
    /// Waits until `/readyz` says yes.
    ///
    /// # Panics
    /// When it does not, in time, or the host ends.
    pub fn await_ready(&mut self) {
        let begin = Instant::now();
        loop {
            let answer = self.get("/readyz");
            if matches!(answer, Some((200, _))) {
                return;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the host ended ({status}); its log:\n{}", self.log());
            }
            assert!(begin.elapsed() < DEADLINE, "after {DEADLINE:?} /readyz still says {answer:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address of a page of the host, for a browser.
    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A page of the host: status and body; `None` when it does not answer.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        // In HTTP/1.0 an answer is never chunked and ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The sum of a metric's samples that carry all these labels; 0 when there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let (_, page) = self.get("/metrics").unwrap_or_default();
        sum_of_samples(&page, name, labels)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// As `kill -9`.
    pub fn kill(mut self) {
        self.process.signal("KILL").unwrap();
        self.process.wait(DEADLINE).unwrap().expect("the host ends when it is killed");
    }

    /// Stops its clock: it notices nothing.
    pub fn freeze(&self) {
        self.process.signal("STOP").unwrap();
    }

    /// Ends [`Self::freeze`].
    pub fn thaw(&self) {
        self.process.signal("CONT").unwrap();
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(mut self) -> ExitStatus {
        self.process.signal("TERM").unwrap();
        let ended = self.process.wait(Duration::from_secs(40)).unwrap();
        ended.unwrap_or_else(|| {
            panic!("the host does not end after SIGTERM; its log:\n{}", self.log())
        })
    }

    /// The process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it ends by itself.
    pub fn await_end(&mut self) -> ExitStatus {
        let ended = self.process.wait(DEADLINE).unwrap();
        ended.unwrap_or_else(|| panic!("the host still runs; its log:\n{}", self.log()))
    }
}

/// What a failed test needs first.
impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            eprintln!("the end of {}:\n{}", self.log.display(), end.join("\n"));
        }
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

fn sum_of_samples(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    page.lines()
        .filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (found, braces) = sample.split_once('{').unwrap_or((sample, ""));
            let has =
                |(label, value): &(&str, &str)| braces.contains(&format!("{label}=\"{value}\""));
            (found == name && labels.iter().all(has)).then(|| value.parse::<f64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_summed_by_label() {
        let page = "# TYPE a_total counter\na_total{topic=\"x\",rule=\"r\"} 2\na_total{topic=\"y\",rule=\"r\"} 3\n\
                    a_total_more{topic=\"x\"} 9\nb 1\n";
        assert_eq!(sum_of_samples(page, "a_total", &[]), 5.0);
        assert_eq!(sum_of_samples(page, "a_total", &[("topic", "y"), ("rule", "r")]), 3.0);
        assert_eq!(sum_of_samples(page, "b", &[]), 1.0);
        assert_eq!(sum_of_samples(page, "c", &[]), 0.0);
    }
}
