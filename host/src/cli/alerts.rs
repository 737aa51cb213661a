//! `firebell alerts`.

use std::process::ExitCode;

use anyhow::Context as _;
use firebell::alerts::{Alert, Found, Question, STATES, words};
use firebell::config::Config;
use firebell::delivery::common::now_ms;
use firebell::history::kafka::read;
use firebell::http::alerts::since;
use firebell::kafka::ClientState;
use firebell::state::query::time;

use super::{ConfigFile, Failure, Global, Output, logs};

/// Digits of an id in a list: enough to name it.
const ID_DIGITS: usize = 12;
/// Characters of a title in a list.
const TITLE_MAX: usize = 60;

/// Arguments of `firebell alerts`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    file: ConfigFile,
    /// Only alerts to which something happened in this time: 30m, 1h, 2d.
    #[arg(long, value_name = "TIME", value_parser = before)]
    since: Option<i64>,
    /// Only alerts of this rule.
    #[arg(long)]
    rule: Option<String>,
    /// Only alerts in this state.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(STATES))]
    state: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what happened to one alert, step by step.
    Show {
        #[command(flatten)]
        file: ConfigFile,
        /// Its id, or so much of its beginning that no other alert has.
        id: String,
    },
}

fn before(text: &str) -> Result<i64, String> {
    since(text, now_ms())
}

/// Reads ledger and history, which have the alerts of all hosts.
pub(super) fn run(global: Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (file, since_ms) = match &arguments.action {
        Some(Action::Show { file, .. }) => (file, None),
        None => (&arguments.file, arguments.since),
    };
    let config = Config::load_to_ask(&file.config)?;
    logs::start(global.log_format, "warn", None);
    let client = ClientState::of_command(&config.kafka);
    let found = read(&config.kafka, &client, since_ms).context("alerts cannot be read")?;
    if found.unreadable > 0 {
        tracing::warn!(records = found.unreadable, "part of the history is of a newer firebell");
    }
    match &arguments.action {
        Some(Action::Show { id, .. }) => show(found, id, global.output)?,
        None => {
            let (rule, state) = (arguments.rule.clone(), arguments.state.clone());
            list(&found.answer(&Question { since_ms, rule, state }), global.output);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(alerts: &[Alert], output: Output) {
    if output == Output::Json {
        say!("{}", json(alerts, false));
        return;
    }
    if alerts.is_empty() {
        say!("no alert was asked for, or none is known");
        return;
    }
    let heads = ["ID", "LAST", "STATE", "SEVERITY", "RULE", "TARGET", "TITLE"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads).chain(alerts.iter().map(row)).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        say!("{line}{}", row[6]);
    }
}

fn row(alert: &Alert) -> [String; 7] {
    let id = alert.id.to_string();
    [
        id.get(..ID_DIGITS).unwrap_or(&id).to_owned(),
        seconds(alert.updated_ms),
        alert.state.to_owned(),
        shown(&alert.severity),
        shown(&alert.rule),
        shown(&alert.channel),
        shortened(&shown(&alert.title)),
    ]
}

fn show(found: Found, id: &str, output: Output) -> Result<(), anyhow::Error> {
    let alerts = found.show(id)?;
    if output == Output::Json {
        say!("{}", json(&alerts, true));
        return Ok(());
    }
    for alert in &alerts {
        let Alert { id, channel, state, rule, severity, title, told, .. } = alert;
        say!("{id}  {state}  {}", shown(channel));
        say!("  rule {}  {}  {}", shown(rule), shown(severity), shown(title));
        if !told.is_empty() {
            say!("  told in {}", shown(told));
        }
        let mut intent = "";
        for event in &alert.events {
            if event.intent != intent {
                intent = &event.intent;
                say!("  {}", shown(intent));
            }
            say!("    {}  {}", time(event.at_ms), shown(&words(&event.what)));
        }
        if alert.events.is_empty() {
            say!("  the history has nothing of it any more; the ledger says: {state}");
        }
    }
    Ok(())
}

fn json(alerts: &[Alert], with_events: bool) -> String {
    let all: Vec<String> =
        alerts.iter().map(|alert| alert.to_json(with_events).to_string()).collect();
    format!("[{}]", all.join(","))
}

/// What rules and records say may hold what a terminal obeys.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
            let (escaped, plain) = if hidden { (Some(c.escape_unicode()), None) } else { (None, Some(c)) };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TITLE_MAX {
        return text.to_owned();
    }
    let begin: String = text.chars().take(TITLE_MAX - 1).collect();
    format!("{begin}…")
}

/// A time to the second.
fn seconds(ms: i64) -> String {
    time(ms - ms.rem_euclid(1_000))
}
