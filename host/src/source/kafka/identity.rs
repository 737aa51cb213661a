//! Noticing that a topic was deleted and made anew.
//!
//! librdkafka goes on at the old position, and says nothing when the new topic has a record there.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafka;

use super::positions::OFFSETS_TIMEOUT;
use super::{Source, SourceError};
use crate::kafka::context::lock;
use crate::source::Assignment;
use crate::source::topic_ids::kafka::{Ids, TopicIds};

/// Between two looks at the ids of topics that are read.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Which topics are read.
pub(super) struct Identity {
    questions: TopicIds,
    asked_at: Cell<Instant>,
    waiting: Cell<bool>,
    /// Whom to ask; `None` = the controller, which an embedded broker does not name.
    broker: Cell<Option<i32>>,
    known: RefCell<Ids>,
}

impl Identity {
    /// `None` when librdkafka has no memory. `client` must outlive it.
    pub(super) fn new(client: *mut RDKafka) -> Option<Self> {
        let (asked_at, waiting) = (Cell::new(Instant::now()), Cell::new(false));
        let (questions, broker) = (TopicIds::new(client)?, Cell::new(None));
        Some(Self { questions, asked_at, waiting, broker, known: RefCell::default() })
    }
}

impl Source {
    /// The id of a topic, as Kafka said last.
    pub fn topic_id(&self, topic: &str) -> Option<Arc<str>> {
        self.identity.known.borrow().get(topic).cloned()
    }

    /// Asks Kafka for the ids of topics, and keeps them.
    ///
    /// # Errors
    /// When the broker does not answer in five seconds.
    pub fn learn_ids<'t>(&self, topics: impl Iterator<Item = &'t str>) -> Result<Ids, SourceError> {
        let failed = |source| SourceError::Offsets { partition: "the topics".into(), source };
        let code = |code| failed(KafkaError::MetadataFetch(code));
        let mut topics: Vec<&str> = topics.collect();
        topics.sort_unstable();
        topics.dedup();
        let Some(first) = topics.first() else { return Ok(Ids::new()) };
        let metadata =
            self.consumer.fetch_metadata(Some(first), OFFSETS_TIMEOUT).map_err(failed)?;
        let answered = Some(metadata.orig_broker_id()).filter(|id| *id >= 0);
        let broker = answered.or(metadata.brokers().first().map(|broker| broker.id()));
        self.identity.broker.set(broker);
        let questions = TopicIds::new(self.consumer.client().native_ptr())
            .ok_or_else(|| code(RDKafkaErrorCode::Fail))?;
        questions.ask(topics.into_iter(), broker, OFFSETS_TIMEOUT);
        let answer = questions.answer(OFFSETS_TIMEOUT.saturating_mul(2));
        let ids = answer.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut)).map_err(code)?;
        self.identity.known.borrow_mut().extend(ids.clone());
        Ok(ids)
    }

    /// Asks now and then, without waiting, and notes topics that are others than before.
    pub(super) fn look_at_identity(&self) {
        let Identity { questions, asked_at, waiting, broker, known } = &self.identity;
        if waiting.get() {
            let Some(answer) = questions.answer(Duration::ZERO) else { return };
            waiting.set(false);
            let Ok(ids) = answer else {
                // A broker that is away is told by others; another one is asked the next time.
                return broker.set(None);
            };
            let mut known = known.borrow_mut();
            let anew: Vec<Arc<str>> = ids
                .iter()
                .filter(|(topic, id)| known.get(*topic).is_some_and(|before| before != *id))
                .map(|(topic, _)| Arc::clone(topic))
                .collect();
            known.extend(ids);
            if !anew.is_empty() {
                self.consumer.context().note(Assignment::MadeAnew(anew));
            }
        } else if asked_at.get().elapsed() >= LOOK_EVERY {
            asked_at.set(Instant::now());
            let owned = lock(&self.consumer.context().owned);
            let mut topics: Vec<&str> = owned.keys().map(|partition| &*partition.topic).collect();
            topics.dedup();
            if !topics.is_empty() {
                questions.ask(topics.into_iter(), broker.get(), LOOK_EVERY);
                waiting.set(true);
            }
        }
    }
}
