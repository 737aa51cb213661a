//! A definition and its component become a rule.
//!
//! The component is asked what it needs, the operator's words are applied to the answer, and what
//! could fail later fails here, with the place and the cure.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::engine::{CallFailure, Component, DescribeError, Described};
use crate::evaluation::Health;
use crate::limits::Limits;
use crate::matching::{ConditionError, check_condition};
use crate::nearest::nearest;
use crate::rules::Rule;
use crate::rules::definition::{At, Definition};
use crate::rules::finding::Finding;
use crate::subscription::{FieldSource, Format, Subscription};
use crate::tables::Tables;

/// What `firebell.toml` says for rules that do not say it themselves.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// `[rules.limits]`
    pub limits: Limits,
    /// `default_channel` under `[slack]`
    pub channel: String,
    /// `[tables]`
    pub tables: Tables,
}

/// The bytes of a component, as the first part of a version.
#[derive(Debug, Clone)]
pub struct Version(Sha256);

impl Version {
    /// Begins with the component's bytes.
    pub fn of_component(bytes: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(bytes))
    }

    /// The version of a rule with this toml, empty when it has none: hex SHA-256 over both.
    pub fn with_toml(&self, text: &str) -> String {
        let digest = self.0.clone().chain_update(text).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why a definition and a component are no rule.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not even an instance could be made.
    #[error("no instance of the component can be made")]
    Instantiate(#[source] CallFailure),
    /// The rule does not say what it needs; the words are its author's.
    #[error(transparent)]
    Describe(DescribeError),
    /// Neither side named a topic.
    #[error(
        "the rule leaves its topics to you and you name none; write them into {rule}.toml, such as \
         `topics = [\"SYSLOG\"]`"
    )]
    NoTopics {
        /// The rule.
        rule: Arc<str>,
    },
    /// The operator wants a topic that the rule is not made for.
    #[error("`topics` names `{topic}`, and the rule is made for {declared} only{cure}")]
    ForeignTopic {
        /// The operator's topic.
        topic: Arc<str>,
        /// What the rule declares.
        declared: String,
        /// The nearest right one.
        cure: String,
    },
    /// The operator says where a field is that the rule does not have.
    #[error("`fields.{field}`: the rule has no field of this name{cure}")]
    UnknownField {
        /// The operator's name.
        field: String,
        /// The nearest right one, or all.
        cure: String,
    },
    /// The rule looks things up in a table that nobody configured.
    #[error("the rule reads table `{table}`, which is not under [tables] of firebell.toml{cure}")]
    UnknownTable {
        /// The rule's name for it.
        table: String,
        /// The nearest right one.
        cure: String,
    },
    /// The operator promises what the rule does not need.
    #[error("`keyed` is for rules that group records by a field, and this one does not; remove it")]
    NothingKeyed,
    /// Nothing that the rule needs exists in records of this format.
    #[error(
        "with `format = \"{format}\"` a record has only {has}, and every field of the rule is \
         elsewhere ({fields}); say under [fields] where they come from"
    )]
    NothingInFormat {
        /// The format's word.
        format: &'static str,
        /// What records of this format have.
        has: &'static str,
        /// The rule's fields and sources.
        fields: String,
    },
    /// The author's condition.
    #[error("the rule's own condition `{text}` is wrong; its author must mend it")]
    OwnCondition {
        /// The condition.
        text: String,
        /// What is wrong with it.
        source: ConditionError,
    },
    /// The operator's condition.
    #[error("`where` is wrong")]
    Where {
        /// What is wrong with it.
        source: ConditionError,
    },
}

/// Makes a rule of a definition and its compiled component.
///
/// # Errors
///
/// Everything that is wrong, in the order of the toml's lines.
pub fn load(
    name: &Arc<str>,
    version: String,
    component: &Component,
    definition: &Definition,
    defaults: &Defaults,
) -> Result<Rule, Vec<Finding>> {
    let Described { subscription: described, plan } =
        describe(name, component, definition).map_err(|finding| vec![finding])?;
    let (subscription, conditions) = subscribe(name, definition, &described)?;
    let tables = defaults.tables.select(&plan.tables).map_err(|table| {
        let cure = did_you_mean(&table, defaults.tables.names());
        vec![Finding::new(LoadError::UnknownTable { table, cure })]
    })?;
    if let Some(line) = definition.keyed.as_ref().filter(|_| plan.key_by.is_none()) {
        return Err(vec![at(line.line, LoadError::NothingKeyed)]);
    }
    let channels = if definition.channels.is_empty() {
        vec![defaults.channel.clone()]
    } else {
        definition.channels.clone()
    };
    Ok(Rule {
        name: Arc::clone(name),
        version,
        component: component.clone(),
        config_json: definition.config_json.value.clone(),
        described,
        plan: Arc::new(plan),
        keyed: definition.keyed.as_ref().is_some_and(|keyed| keyed.value),
        tables,
        subscription,
        conditions,
        format: definition.format,
        channels,
        emit: definition.emit.clone(),
        mode: definition.mode,
        stale_after: definition.stale_after,
        limits: definition.limits,
        health: Health::default(),
    })
}

/// Asks a fresh instance what it needs.
fn describe(
    name: &Arc<str>,
    component: &Component,
    definition: &Definition,
) -> Result<Described, Finding> {
    let mut instance = component
        .instantiate(name, &definition.limits)
        .map_err(|failure| Finding::new(LoadError::Instantiate(failure)))?;
    let config = &definition.config_json;
    instance.describe(&config.value).map_err(|error| {
        let line = config.line.filter(|_| matches!(error, DescribeError::Refused(_)));
        Finding { line, ..Finding::new(LoadError::Describe(error)) }
    })
}

/// Applies the operator's words to what the rule declares; returns the conditions too.
fn subscribe(
    name: &Arc<str>,
    definition: &Definition,
    described: &Subscription,
) -> Result<(Subscription, Vec<String>), Vec<Finding>> {
    let mut findings = vec![];
    let topics = topics(name, definition, described, &mut findings);
    let mut fields = described.fields.clone();
    for (field, source) in &definition.fields {
        match fields.iter_mut().find(|declared| *declared.name == **field) {
            Some(declared) => declared.source = source.value.clone(),
            None => {
                let cure = did_you_mean(field, described.fields.iter().map(|field| &*field.name));
                let error = LoadError::UnknownField { field: field.clone(), cure };
                findings.push(at(source.line, error));
            }
        }
    }
    let subscription = Subscription { topics, fields, condition: described.condition.clone() };
    if let Some(error) = nothing_in_format(definition.format, &subscription) {
        findings.push(Finding::new(error));
    }
    let mut conditions = vec![];
    if let Some(text) = &described.condition {
        match check_condition(text, &subscription.fields) {
            Ok(()) => conditions.push(text.clone()),
            Err(source) => {
                findings.push(Finding::new(LoadError::OwnCondition { text: text.clone(), source }));
            }
        }
    }
    if let Some(At { line, value }) = &definition.condition {
        match check_condition(value, &subscription.fields) {
            Ok(()) => conditions.push(value.clone()),
            Err(source) => findings.push(at(*line, LoadError::Where { source })),
        }
    }
    findings.sort();
    if findings.is_empty() { Ok((subscription, conditions)) } else { Err(findings) }
}

/// The operator's topics narrow what the rule declares, or name what it left open.
fn topics(
    name: &Arc<str>,
    definition: &Definition,
    described: &Subscription,
    findings: &mut Vec<Finding>,
) -> Vec<Arc<str>> {
    if definition.topics.is_empty() {
        if described.topics.is_empty() {
            findings.push(Finding::new(LoadError::NoTopics { rule: Arc::clone(name) }));
        }
        return described.topics.clone();
    }
    if !described.topics.is_empty() {
        for At { line, value: topic } in &definition.topics {
            if described.topics.contains(topic) {
                continue;
            }
            let declared = described.topics.iter().map(|topic| &**topic);
            let cure = nearest(topic, declared.clone())
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let declared = quoted(declared);
            let topic = Arc::clone(topic);
            findings.push(at(*line, LoadError::ForeignTopic { topic, declared, cure }));
        }
    }
    definition.topics.iter().map(|topic| Arc::clone(&topic.value)).collect()
}

/// A rule may miss a field of some topic, but one that can never see any is a mistake.
fn nothing_in_format(format: Format, subscription: &Subscription) -> Option<LoadError> {
    let has = match format {
        Format::Json | Format::Syslog => return None,
        Format::Text => "`/message`, `$key`, `$value` and `$headers/NAME`",
        Format::Bytes => "`$key`, `$value` and `$headers/NAME`",
    };
    let exists = |source: &FieldSource| match source {
        FieldSource::Key | FieldSource::Value | FieldSource::Header(_) => true,
        FieldSource::Pointer(tokens) => {
            format == Format::Text && matches!(&tokens[..], [only] if **only == *"message")
        }
    };
    let fields = &subscription.fields;
    if fields.is_empty() || fields.iter().any(|field| exists(&field.source)) {
        return None;
    }
    let fields = fields.iter().map(|field| format!("`{}` at `{}`", field.name, field.source));
    let fields = fields.collect::<Vec<_>>().join(", ");
    Some(LoadError::NothingInFormat { format: format.as_str(), has, fields })
}

fn at(line: Option<usize>, error: LoadError) -> Finding {
    Finding { line, ..Finding::new(error) }
}

/// `; did you mean …?`, or all that there is.
pub(super) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.clone().next().is_none() => String::new(),
        None => format!("; there are {}", quoted(known)),
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
