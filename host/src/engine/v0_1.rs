//! `firebell:rule` 0.1: the generated bindings, and their conversion to and from our types.
//!
//! Generated types never leave this file.

use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use crate::batch::Batch;
use crate::effect::{Effect, EmittedContent, RowEffect};
use crate::engine::declared::Declared;
use crate::engine::instance::State;
use crate::engine::limiter::LogLevel;
use crate::notification::{Kind, Notification, Severity, Span};
use crate::subscription::FieldType;

#[allow(missing_docs, unused_qualifications, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/0.1.0",
        world: "rule",
        // Batches are lowered from where they are.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bindings::firebell::rule::{log, types};

/// A component whose imports are linked and whose exports were found.
pub(super) struct RulePre(bindings::RulePre<State>);

impl RulePre {
    pub(super) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        bindings::RulePre::new(pre).map(Self)
    }

    pub(super) fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Rule> {
        self.0.instantiate(store).map(Rule)
    }
}

/// The exports of one instance.
pub(super) struct Rule(bindings::Rule);

impl Rule {
    pub(super) fn describe(
        &self,
        store: &mut Store<State>,
        config: &str,
    ) -> wasmtime::Result<Result<Declared, String>> {
        let answer = self.0.firebell_rule_guest().call_describe(store, config)?;
        Ok(answer.map(Declared::from))
    }

    pub(super) fn evaluate(
        &self,
        store: &mut Store<State>,
        batch: &Batch,
    ) -> wasmtime::Result<Result<Vec<RowEffect>, String>> {
        let batch = types::Batch {
            topic: &batch.topic,
            partition: batch.partition,
            offsets: &batch.offsets,
            timestamps: &batch.timestamps,
            cells: &batch.cells,
            ends: &batch.ends,
            nulls: &batch.nulls,
        };
        let answer = self.0.firebell_rule_guest().call_evaluate(store, batch)?;
        Ok(answer.map(|effects| effects.into_iter().map(RowEffect::from).collect()))
    }
}

/// Gives guests what they may import.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl types::Host for State {}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.book.line(level, message);
    }

    fn panicked(&mut self, message: String) {
        self.book.panicked(message);
    }
}

impl From<types::Subscription> for Declared {
    fn from(declared: types::Subscription) -> Self {
        let field = |field: types::Field| {
            let field_type = match field.type_ {
                types::ColumnType::Text => FieldType::Text,
                types::ColumnType::Integer => FieldType::Integer,
                types::ColumnType::Float => FieldType::Float,
                types::ColumnType::Boolean => FieldType::Boolean,
                types::ColumnType::Bytes => FieldType::Bytes,
                types::ColumnType::Json => FieldType::Json,
            };
            (field.name, field.source, field_type)
        };
        Self {
            topics: declared.topics,
            fields: declared.fields.into_iter().map(field).collect(),
            condition: declared.where_,
        }
    }
}

impl From<types::Effect> for RowEffect {
    fn from(effect: types::Effect) -> Self {
        match effect {
            types::Effect::Notify(notification) => Self {
                row: notification.row,
                effect: Effect::Notify(Box::new(notification.into())),
            },
            types::Effect::Emit(emission) => Self {
                row: emission.row,
                effect: Effect::Emit {
                    topic: emission.topic,
                    content: match emission.content {
                        types::Emitted::Whole => EmittedContent::Whole,
                        types::Emitted::Derived(derived) => EmittedContent::Derived {
                            key: derived.key,
                            value: derived.value,
                            headers: derived.headers,
                        },
                    },
                },
            },
        }
    }
}

impl From<types::Notification> for Notification {
    fn from(notification: types::Notification) -> Self {
        let spans = |spans: Vec<types::Span>| spans.into_iter().map(Span::from).collect();
        Self {
            alert_key: notification.alert_key,
            window_start_ms: notification.window_start,
            severity: match notification.severity {
                types::Severity::Info => Severity::Info,
                types::Severity::Warning => Severity::Warning,
                types::Severity::Error => Severity::Error,
                types::Severity::Critical => Severity::Critical,
            },
            kind: match notification.kind {
                types::Kind::Fire => Kind::Fire,
                types::Kind::Update => Kind::Update,
                types::Kind::Resolve => Kind::Resolve,
            },
            title: notification.title,
            body: spans(notification.body),
            fields: notification
                .fields
                .into_iter()
                .map(|field| (field.name, spans(field.value)))
                .collect(),
            labels: notification.labels,
            channel: notification.channel,
        }
    }
}

impl From<types::Span> for Span {
    fn from(span: types::Span) -> Self {
        match span {
            types::Span::Text(text) => Self::Text(text),
            types::Span::Code(text) => Self::Code(text),
            types::Span::Emphasis(text) => Self::Emphasis(text),
            types::Span::Link(link) => Self::Link { url: link.url, label: link.label },
            types::Span::Mention(name) => Self::Mention(name),
            types::Span::Timestamp(time) => Self::Timestamp(time),
        }
    }
}
