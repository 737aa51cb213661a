//! `firebell state`.

use std::process::ExitCode;

use anyhow::Context as _;
use firebell::config::{Config, KafkaConfig};
use firebell::kafka::ClientState;
use firebell::nearest::nearest;
use firebell::state::kafka::{ask, fetch_records};
use firebell::state::query::{Answer, Question, parse_time, time};

use super::{ConfigFile, Failure, Global, Output, logs};

/// Arguments of `firebell state`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The rule, as its file in the rules folder is named.
    rule: String,
    /// Only this key.
    key: Option<String>,
    /// Only windows that end after this time: 2018-03-21T16:21:00Z, 2018-03-21 16:21 (UTC),
    /// milliseconds.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<i64>,
    /// Only windows that begin before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<i64>,
    /// Fetch the records behind each window from Kafka as well.
    #[arg(long)]
    records: bool,
}

/// Reads the changelog topic, which has the state of all hosts, and tells what a rule keeps.
pub(super) fn run(global: Global, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = Config::load_to_ask(&arguments.file.config)?;
    logs::start(global.log_format, "warn", None);
    let question = Question {
        rule: arguments.rule.clone(),
        key: arguments.key.as_ref().map(|key| key.as_bytes().to_vec()),
        from_ms: arguments.from,
        to_ms: arguments.to,
    };
    let answer = ask(&config.kafka, &question, &ClientState::of_command(&config.kafka))
        .context("the state of rules cannot be read")?;
    if arguments.records {
        show_records(&config.kafka, &answer, global.output, &question.rule)?;
    } else {
        show(&answer, global.output, &question.rule);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(answer: &Answer, output: Output, rule: &str) {
    if output == Output::Json {
        say!("{}", answer.to_json(rule));
        return;
    }
    if answer.is_empty() {
        say!("{}", nothing(rule, answer));
    }
    for row in &answer.windows {
        say!("{}", window_line(row));
    }
    for row in &answer.values {
        let key = String::from_utf8_lossy(&row.key);
        let value = String::from_utf8_lossy(&row.value);
        let until = row.expires_at_ms.map(|ms| format!("  until {}", time(ms)));
        say!("value  {key}  {value}{}", until.unwrap_or_default());
    }
    for row in &answer.timers {
        say!("timer  {}  {:?}", String::from_utf8_lossy(&row.key), row.due);
    }
}

/// Why there is nothing to show.
fn nothing(rule: &str, answer: &Answer) -> String {
    if answer.others.is_empty() {
        return format!("rule {rule} keeps nothing that was asked for");
    }
    let others = answer.others.iter().map(String::as_str);
    let cure = match nearest(rule, others.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("those that do: {}", others.collect::<Vec<_>>().join(", ")),
    };
    format!("no rule of the name {rule} keeps anything; {cure}")
}

fn window_line(row: &firebell::state::query::WindowRow) -> String {
    let key = String::from_utf8_lossy(&row.key);
    let marks = [(row.crossed, "crossed"), (row.closed, "closed")];
    let marks: Vec<_> = marks.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    format!(
        "{}  {key}  {} .. {}  {} of {} records  {}",
        row.window,
        time(row.start_ms),
        time(row.end_ms),
        row.value,
        row.count,
        marks.join(", "),
    )
}

/// Windows with the records behind them.
fn show_records(
    kafka: &KafkaConfig,
    answer: &Answer,
    output: Output,
    rule: &str,
) -> Result<(), anyhow::Error> {
    let evidence: Vec<_> = answer.windows.iter().flat_map(|row| row.evidence.clone()).collect();
    let records = fetch_records(kafka, &evidence, &ClientState::of_command(kafka))
        .context("the records cannot be fetched")?;
    let of = |at: &firebell_state::Evidence| {
        let id = (at.topic.to_string(), at.partition, at.offset);
        records.get(&id).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    if output == Output::Json {
        let mut json = answer.to_json(rule);
        for (at, row) in answer.windows.iter().enumerate() {
            for (number, evidence) in row.evidence.iter().enumerate() {
                json["windows"][at]["evidence"][number]["value"] = of(evidence).into();
            }
        }
        say!("{json}");
        return Ok(());
    }
    if answer.is_empty() {
        say!("{}", nothing(rule, answer));
    }
    for row in &answer.windows {
        say!("{}", window_line(row));
        for evidence in &row.evidence {
            let firebell_state::Evidence { topic, partition, offset, .. } = evidence;
            let value = of(evidence).unwrap_or_else(|| "(no longer there)".into());
            say!("    {topic}/{partition}/{offset}  {value}");
        }
    }
    Ok(())
}
