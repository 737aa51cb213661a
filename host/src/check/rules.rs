//! The part of `firebell check` that loads the rules, as `firebell run` would.

use std::sync::Arc;

use super::{Report, file_of};
use crate::canary::COMPONENT;
use crate::causes::with_causes;
use crate::config::{Config, Problem};
use crate::engine::Engine;
use crate::rules::Rule;
use crate::rules::folder::near_misses;
use crate::rules::library::Library;
use crate::shipped::SHIPPED;
use crate::telemetry::Metrics;

/// Loads every rule: compiles it, asks it what it needs, applies its toml. The rules that are good.
pub(super) async fn check(config: &Arc<Config>, report: &mut Report) -> Vec<Arc<Rule>> {
    let loading = Arc::clone(config);
    // Compiling takes its time.
    match tokio::task::spawn_blocking(move || load(&loading)).await {
        Ok((rules, found)) => {
            report.problems.extend(found.problems);
            report.notes.extend(found.notes);
            report.passed.extend(found.passed);
            rules
        }
        Err(error) => {
            report.problems.push(Problem::new(error.to_string()).file(&config.rules.dir));
            Vec::new()
        }
    }
}

fn load(config: &Config) -> (Vec<Arc<Rule>>, Report) {
    let mut report = Report::default();
    let dir = &config.rules.dir;
    let engine = match Engine::new(config.rules.cache_dir.as_deref()) {
        Ok(engine) => engine,
        Err(error) => {
            report.problems.push(Problem::new(with_causes(&error)).key("rules.cache_dir"));
            return (Vec::new(), report);
        }
    };
    let library = match Library::open(config, engine, Metrics::new()) {
        Ok(library) => library,
        Err(error) => {
            report.problems.push(Problem::new(with_causes(&error)).key("rules.dir"));
            return (Vec::new(), report);
        }
    };
    let view = library.view();
    for problem in view.problems().iter() {
        let found = Problem::new(problem.text.clone()).file(&problem.file);
        report.problems.push(Problem { line: problem.line, ..found });
    }
    let rules: Vec<Arc<Rule>> = view.current().rules.values().cloned().collect();
    for rule in &rules {
        let topics: Vec<&str> = rule.subscription.topics.iter().map(AsRef::as_ref).collect();
        let channels: Vec<String> = rule.channels.iter().map(|name| format!("#{name}")).collect();
        let (topics, channels) = (topics.join(", "), channels.join(", "));
        report.passed.push(format!("rule {}: {topics} to {channels}", rule.name));
    }
    for name in near_misses(dir) {
        let note = Problem::new("is no rule's file and is not looked at").file(&dir.join(name));
        report.notes.push(note.cure("rules are in .wasm and .toml files"));
    }
    find_loops(config, &rules, &mut report);
    if rules.is_empty() && report.problems.is_empty() {
        let shipped: Vec<String> = SHIPPED
            .iter()
            .filter(|rule| rule.name != COMPONENT)
            .map(|rule| format!("\"builtin:{}\"", rule.name))
            .collect();
        let cure = format!(
            "put a NAME.wasm there, or a NAME.toml with component = {}",
            shipped.join(" or ")
        );
        report.notes.push(Problem::new("there is no rule").file(dir).cure(cure));
    }
    (rules, report)
}

/// What comes back to where it came from: without a condition that stops it, it never ends.
fn find_loops(config: &Config, rules: &[Arc<Rule>], report: &mut Report) {
    let reads = |rule: &Rule, topic: &str| rule.subscription.topics.iter().any(|of| **of == *topic);
    let own = format!("{}.", config.kafka.group_id);
    for rule in rules {
        let file = file_of(config, &rule.name);
        for topic in rule.emit.iter().filter(|topic| reads(rule, topic)) {
            let note = format!(
                "the rule may emit to {topic}, which it reads: what it emits comes back to it"
            );
            let cure = "let its condition pass over what it emitted, or emit to another topic";
            report.notes.push(Problem::new(note).file(&file).key("emit").cure(cure));
        }
        for topic in rule.subscription.topics.iter().filter(|topic| topic.starts_with(&own)) {
            let note = format!(
                "the rule reads {topic}, which is this group's own: its alerts make records there"
            );
            let cure = "read another topic";
            report.notes.push(Problem::new(note).file(&file).key("topics").cure(cure));
        }
        for (name, sink) in &config.sinks.kafka_sinks {
            let target = format!("kafka:{name}");
            if reads(rule, &sink.topic) && rule.channels.contains(&target) {
                let message = format!(
                    "{target} writes to {}, which the rule reads: its alerts come back to it",
                    sink.topic
                );
                let cure = "let one of them have another topic";
                report.problems.push(Problem::new(message).file(&file).key("channels").cure(cure));
            }
        }
    }
}
