//! What a worker tells telemetry and the log.

use crate::engine::LogLevel;
use crate::evaluation::{Evaluation, RuleReport};
use crate::notification::Severity;
use crate::telemetry::{Metrics, RuleState};

/// Counts what came of a batch and writes what rules logged.
pub(super) fn report(metrics: &Metrics, evaluation: &Evaluation) {
    for batch in &evaluation.batches {
        metrics.records(&batch.topic, batch.records);
        if batch.undecodable > 0 {
            metrics.undecodable(&batch.topic, batch.undecodable);
        }
        if batch.strays > 0 {
            tracing::error!(
                topic = &*batch.topic,
                records = batch.strays,
                "records do not say where they are from and are passed over; nobody but Firebell \
                 may write to this topic"
            );
        }
    }
    for letter in &evaluation.dead_letters {
        metrics.dead_letters(letter.stage.as_str(), letter.reason, 1);
    }
    for (rule, alerts) in &evaluation.stale {
        metrics.stale_alerts(rule, *alerts);
    }
    for rule in &evaluation.rules {
        report_rule(metrics, rule);
    }
}

fn report_rule(metrics: &Metrics, report: &RuleReport) {
    let rule = &*report.rule;
    metrics.matched(rule, &report.topic, report.matched);
    if report.mismatched > 0 {
        metrics.type_mismatches(rule, report.mismatched);
    }
    for call in &report.calls {
        let outcome = if call.failure.is_some() { "failed" } else { "ok" };
        metrics.call(rule, outcome, call.duration.unwrap_or_default().as_secs_f64());
        metrics.fuel(rule, call.fuel);
        if let Some(reason) = call.failure {
            metrics.call_failures(rule, reason.as_str(), 1);
        }
    }
    let severities = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
    for (severity, count) in severities.into_iter().zip(report.notifications) {
        if count > 0 {
            metrics.notifications(rule, severity.as_str(), count);
        }
    }
    for (topic, count) in &report.emitted {
        metrics.emitted(rule, topic, *count);
    }
    for line in &report.logs.lines {
        let text = &line.message;
        match line.level {
            LogLevel::Debug => tracing::debug!(rule, "{text}"),
            LogLevel::Info => tracing::info!(rule, "{text}"),
            LogLevel::Warn => tracing::warn!(rule, "{text}"),
            LogLevel::Error => tracing::error!(rule, "{text}"),
        }
    }
    if report.logs.dropped > 0 {
        metrics.log_lines_dropped(rule, report.logs.dropped);
    }
    for late in &report.late {
        metrics.late(rule, &late.window, late.would_cross);
    }
    // One of a batch is enough to find them.
    if let Some(late) = report.late.iter().max_by_key(|late| late.would_cross) {
        tracing::warn!(
            rule,
            window = late.window,
            record = %late.record,
            late = report.late.len(),
            would_have_fired = late.would_cross,
            "records came too late for a window"
        );
    }
    for (window, entries) in report.adopted.iter().flat_map(|adopted| &adopted.dropped) {
        tracing::warn!(
            rule,
            window,
            entries,
            "the window's definition changed or it is gone: what was in it is dropped"
        );
    }
    if report.quarantined {
        metrics.rule_state(rule, RuleState::Quarantined);
        tracing::error!(
            rule,
            "rule is quarantined after repeated failures; its records go to the dead-letter topic \
             until its file changes"
        );
    }
}
