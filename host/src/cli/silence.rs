//! `firebell silence`.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use firebell::config::Config;
use firebell::delivery::common::now_ms;
use firebell::kafka::ClientState;
use firebell::policy::silence::kafka::{SilenceWriter, read_once};
use firebell::policy::silence::{Silence, SilenceState, Silences, new_id};
use firebell::policy::{Matcher, Matchers, parse_duration};
use firebell::state::query::{parse_time, time};

use super::{ConfigFile, Failure, Global, Output, logs};

/// Arguments of `firebell silence`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Tell alerts that match all matchers no more, for a while.
    Add(Add),
    /// Show silences.
    List {
        #[command(flatten)]
        file: ConfigFile,
        /// Those that have ended, too.
        #[arg(long)]
        expired: bool,
    },
    /// End a silence now.
    Expire {
        #[command(flatten)]
        file: ConfigFile,
        /// Its id, as `list` shows it, or so much of its beginning that no other has.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    file: ConfigFile,
    /// Such as 'rule = "ssh-login"' or 'host =~ "rpi-.*"'; labels are rule, severity, topic, channel
    /// and the alert's own.
    #[arg(required = true, value_name = "MATCHER")]
    matchers: Vec<Matcher>,
    /// For how long: 30m, 2h, 1d.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds, required_unless_present = "until")]
    length_ms: Option<i64>,
    /// Until when: 2026-11-26T18:00:00Z, 2026-11-26 18:00 (UTC).
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "length_ms")]
    until: Option<i64>,
    /// From when, if not from now on.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<i64>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    comment: String,
    /// Who.
    #[arg(long, value_name = "NAME", env = "USER")]
    author: String,
}

/// A length of time in milliseconds.
fn seconds(text: &str) -> Result<i64, String> {
    let found = parse_duration(text).and_then(|length| i64::try_from(length.as_millis()).ok());
    found.ok_or_else(|| "write numbers and units (ms, s, m, h, d, w) such as 30m, 2h".into())
}

/// Reads or writes the topic of silences; no host need run.
pub(super) fn run(global: Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let file = match &arguments.action {
        Action::Add(Add { file, .. }) => file,
        Action::List { file, .. } | Action::Expire { file, .. } => file,
    };
    let config = Config::load_to_ask(&file.config)?;
    logs::start(global.log_format, "warn", None);
    let client = ClientState::of_command(&config.kafka);
    // Also before one is added: where the topic is missing, the broker might make one that forgets.
    let silences = read_once(&config.kafka, &client).context("silences cannot be read")?;
    let writer = SilenceWriter::new(&config.kafka, client);
    let now = now_ms();
    match &arguments.action {
        Action::List { expired, .. } => show(&silences, *expired, now, global.output),
        Action::Add(add) => {
            let silence = silence(add, now);
            silence.check(now).context("nothing was silenced")?;
            write(&writer, &silence)?;
            told(&silence, now, global.output);
        }
        Action::Expire { id, .. } => {
            let silence = silences.named(id).map_err(anyhow::Error::msg)?;
            let ended = || anyhow!("silence `{}` has ended already", silence.id);
            let expired = silence.expired(now).ok_or_else(ended)?;
            write(&writer, &expired)?;
            told(&expired, now, global.output);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn silence(add: &Add, now: i64) -> Silence {
    let starts_at_ms = add.from.unwrap_or(now);
    let ends_at_ms = match (add.until, add.length_ms) {
        (Some(until), _) => until,
        (None, length) => starts_at_ms.saturating_add(length.unwrap_or_default()),
    };
    Silence {
        id: new_id(),
        matchers: Matchers(add.matchers.clone()),
        starts_at_ms,
        ends_at_ms,
        updated_at_ms: now,
        created_by: add.author.clone(),
        comment: add.comment.clone(),
    }
}

fn write(writer: &SilenceWriter, silence: &Silence) -> Result<(), anyhow::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the tokio runtime")?;
    runtime.block_on(writer.write(&silence.id, Some(silence))).context("nothing was changed")
}

fn told(silence: &Silence, now: i64, output: Output) {
    match output {
        Output::Json => say!("{}", silence.to_json(now)),
        Output::Human => say!("{}", line(silence, now)),
    }
}

fn show(silences: &Silences, expired: bool, now: i64, output: Output) {
    let shown = |silence: &Silence| expired || silence.state(now) != SilenceState::Expired;
    let all: Vec<_> = silences.all().into_iter().filter(|silence| shown(silence)).collect();
    match output {
        Output::Json => {
            let all: Vec<_> = all.iter().map(|silence| silence.to_json(now).to_string()).collect();
            say!("[{}]", all.join(","));
        }
        Output::Human if all.is_empty() => say!("nothing is silenced"),
        Output::Human => all.iter().for_each(|silence| say!("{}", line(silence, now))),
    }
}

fn line(silence: &Silence, now: i64) -> String {
    let Silence { id, matchers, starts_at_ms, ends_at_ms, created_by, comment, .. } = silence;
    let matchers: Vec<_> = matchers.0.iter().map(ToString::to_string).collect();
    let (matchers, state) = (matchers.join(" "), silence.state(now).as_str());
    let (from, to) = (time(*starts_at_ms), time(*ends_at_ms));
    // What others wrote may hold what a terminal obeys.
    let said = format!("{created_by}: {comment}").escape_debug().to_string();
    format!("{id}  {state}  {from} .. {to}  {matchers}  {said}")
}
