//! `firebell:rule` 0.1: the generated bindings, and their conversion to and from our types.
//!
//! Made from 0.1.1, which only adds to 0.1.0; names match within 0.1, so that a component of either
//! finds what it imports, and exports of 0.1.0 are found. Generated types never leave this file and
//! `v0_1/state.rs`.

use firebell_state::{Firing, Plan};
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use crate::batch::Batch;
use crate::effect::{Effect, EmittedContent, RowEffect};
use crate::engine::declared::Declared;
use crate::engine::instance::{State, Values};
use crate::engine::limiter::LogLevel;
use crate::notification::{Kind, Notification, Severity, Span};
use crate::subscription::FieldType;

#[allow(missing_docs, unused_qualifications, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/0.1.1",
        world: "stateful-rule",
        imports: {
            "firebell:rule/state": trappable,
            "firebell:rule/tables": trappable,
        },
        // Batches are lowered from where they are.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bindings::exports::firebell::rule::{guest, stateful};
use bindings::firebell::rule::{log, state, tables, types};

mod state_imports;

/// The export of a rule that looks at more than one record.
const STATEFUL: &str = "firebell:rule/stateful@0.1.1";

/// A component whose imports are linked and whose exports were found.
pub(super) struct RulePre {
    pre: InstancePre<State>,
    guest: guest::GuestIndices,
    /// What a rule that looks at more than one record exports besides.
    stateful: Option<stateful::GuestIndices>,
}

impl RulePre {
    pub(super) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        let guest = guest::GuestIndices::new(&pre)?;
        let exports = pre.component().get_export_index(None, STATEFUL).is_some();
        let stateful = exports.then(|| stateful::GuestIndices::new(&pre)).transpose()?;
        Ok(Self { pre, guest, stateful })
    }

    pub(super) fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Rule> {
        let instance = self.pre.instantiate(&mut *store)?;
        let guest = self.guest.load(&mut *store, &instance)?;
        let stateful = self.stateful.as_ref().map(|found| found.load(&mut *store, &instance));
        Ok(Rule { guest, stateful: stateful.transpose()? })
    }
}

/// The exports of one instance.
pub(super) struct Rule {
    guest: guest::Guest,
    stateful: Option<stateful::Guest>,
}

impl Rule {
    pub(super) fn describe(
        &self,
        store: &mut Store<State>,
        config: &str,
    ) -> wasmtime::Result<Result<Declared, String>> {
        let answer = self.guest.call_describe(&mut *store, config)?;
        let Ok(subscription) = answer else { return Ok(answer.map(Declared::from)) };
        let mut declared = Declared::from(subscription);
        if let Some(stateful) = &self.stateful {
            declared.plan = stateful.call_declare(store)?.into();
        }
        Ok(Ok(declared))
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
        let answer = self.guest.call_evaluate(store, batch)?;
        Ok(answer.map(|effects| effects.into_iter().map(RowEffect::from).collect()))
    }

    /// Tells the rule what time did, all of it due at `stream_ms`.
    pub(super) fn elapsed(
        &self,
        store: &mut Store<State>,
        firings: &[Firing],
        stream_ms: i64,
        wall_ms: Option<i64>,
    ) -> wasmtime::Result<Result<Vec<RowEffect>, String>> {
        let Some(stateful) = &self.stateful else { return Ok(Ok(Vec::new())) };
        let evidence: Vec<_> = firings.iter().map(state_imports::evidence).collect();
        let firings = firings.iter().zip(&evidence);
        let firings: Vec<_> =
            firings.map(|(firing, evidence)| state_imports::firing(firing, evidence)).collect();
        let answer = stateful.call_elapsed(store, &firings, stream_ms, wall_ms)?;
        Ok(answer.map(|effects| effects.into_iter().map(RowEffect::from).collect()))
    }

    /// Hands keys and values of an older version of the rule over.
    pub(super) fn migrate(
        &self,
        store: &mut Store<State>,
        from: u32,
        entries: &[(Vec<u8>, Vec<u8>)],
    ) -> wasmtime::Result<Result<Values, String>> {
        match &self.stateful {
            Some(stateful) => {
                let entries = entries.iter().map(|(key, value)| (&key[..], &value[..]));
                stateful.call_migrate(store, from, &entries.collect::<Vec<_>>())
            }
            None => Ok(Ok(Vec::new())),
        }
    }
}

/// Gives guests what they may import.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    state::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    tables::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
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
            plan: Plan::default(),
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
            evidence: Vec::new(),
            excerpt: None,
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
