//! Partitions come and go: their state is restored, and what is in hand finished.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FINISH_TIMEOUT, Session, SessionError};
use crate::causes::with_causes;
use crate::kafka::ClientState;
use crate::progress::Reached;
use crate::record::TopicPartition;
use crate::source::Assignment;
use crate::source::kafka::SourceError;

/// Between two attempts to find out where a new partition begins.
const POSITIONS_RETRY: Duration = Duration::from_millis(200);

impl Session<'_> {
    /// Carries out changes of the assignment.
    pub(super) fn take_up_changes(&mut self) -> Result<(), SessionError> {
        while let Some(change) = self.source.change() {
            let taken_up = match &change {
                Assignment::Added(partitions) => self.added(partitions),
                Assignment::Removed { partitions, lost } => self.removed(partitions, *lost),
                Assignment::OutOfRange => self.out_of_range(),
                Assignment::MadeAnew(topics) => self.made_anew(topics),
            };
            if let Err(error) = taken_up {
                if !is_passing(&error) {
                    return Err(error);
                }
                tracing::warn!(
                    "cannot begin with new partitions, retrying: {}",
                    with_causes(&error)
                );
                self.source.put_back(change);
                self.worker.pause(POSITIONS_RETRY);
                return Ok(());
            }
        }
        Ok(())
    }

    fn added(&mut self, partitions: &[TopicPartition]) -> Result<(), SessionError> {
        let positions = self.source.start_positions(partitions)?;
        self.restore(partitions)?;
        let now = self.clock.now();
        let mut offsets = Vec::with_capacity(positions.len());
        for (reached, known) in positions {
            let Reached { partition, offset, stream_ms, .. } = &reached;
            tracing::info!(
                worker = self.worker.number,
                topic = &*partition.topic,
                partition = partition.partition,
                offset,
                "partition added"
            );
            self.set.states().set_stream_ms(partition, *stream_ms);
            self.clock.came(partition, now);
            offsets.push((partition.clone(), *offset));
            self.progress.assigned(reached, known);
        }
        self.source.assign(&offsets)?;
        // A beginning that Kafka does not know yet is committed now: a crash before the first
        // commit must not begin somewhere else.
        if !self.committer.in_flight() && self.pending.is_empty() {
            self.commit_offsets();
        }
        self.worker.readiness.set_ready(format!("worker-{}", self.worker.number));
        Ok(())
    }

    /// Reads what rules had kept for new partitions.
    fn restore(&mut self, partitions: &[TopicPartition]) -> Result<(), SessionError> {
        let worker = self.worker;
        let part = format!("worker-{}", worker.number);
        for partition in partitions {
            self.set.states().revoke(partition);
        }
        let (metrics, readiness) = (worker.metrics.clone(), worker.readiness.clone());
        let client = Arc::new(ClientState::new("kafka", &worker.kafka, metrics, readiness));
        let began = Instant::now();
        let mut progress = |records: u64| {
            let text = format!("restoring state: {records} records of the changelog are read");
            tracing::info!(worker = worker.number, "{text}");
            worker.readiness.set_not_ready(part.clone(), text);
            !worker.stop.is_cancelled()
        };
        let states = self.set.states();
        let changelog = &worker.changelog;
        let restored =
            changelog.restore(&worker.kafka, partitions, states, &client, &mut progress)?;
        let refused = self.set.migrate(Some(partitions));
        self.roll_back(refused);
        worker.metrics.restored(restored.entries, began.elapsed().as_secs_f64());
        if restored.records > 0 {
            tracing::info!(
                worker = worker.number,
                records = restored.records,
                entries = restored.entries,
                took = ?began.elapsed(),
                "state is restored"
            );
        }
        Ok(())
    }

    fn removed(&mut self, partitions: &[TopicPartition], lost: bool) -> Result<(), SessionError> {
        if lost {
            // Somebody else may own them already: the fence would refuse the transaction anyway.
            tracing::warn!(
                worker = self.worker.number,
                "partitions were lost; what was not committed is dropped"
            );
            self.pending.clear();
        } else {
            // Nobody may take them over: a topic that no rule reads any more.
            partitions.iter().for_each(|partition| self.tell_stale_of(partition));
            self.finish("giving partitions up")?;
        }
        for partition in partitions {
            tracing::info!(
                worker = self.worker.number,
                topic = &*partition.topic,
                partition = partition.partition,
                "partition removed"
            );
            self.progress.revoked(partition);
        }
        for partition in partitions {
            self.set.states().revoke(partition);
            self.clock.forget(partition);
            self.waiting.forget(partition);
        }
        self.source.unassign(partitions)?;
        if lost {
            let until = Instant::now() + FINISH_TIMEOUT;
            while self.committer.in_flight() && Instant::now() < until {
                if let Some(outcome) = self.committer.outcome(Duration::from_millis(50)) {
                    self.ended(outcome)?;
                }
            }
            self.rewind()?;
        }
        Ok(())
    }

    /// Moves positions that their partitions no longer hold to the first record that is there.
    fn out_of_range(&mut self) -> Result<(), SessionError> {
        self.finish("a position is out of range")?;
        let owned: Vec<_> = self.progress.partitions().cloned().collect();
        let mut moved = Vec::new();
        for partition in owned {
            let Some(next) = self.progress.next(&partition) else { continue };
            let Ok((low, high)) = self.source.watermarks(&partition) else { continue };
            if next < low {
                tracing::error!(
                    topic = &*partition.topic,
                    partition = partition.partition,
                    lost = low - next,
                    "records were deleted by retention before they were read"
                );
            } else if next > high {
                tracing::warn!(
                    topic = &*partition.topic,
                    partition = partition.partition,
                    next,
                    high,
                    "the topic was made anew; it is read from its beginning"
                );
                // Not to be noticed again by its id.
                if let Err(error) = self.source.learn_ids(std::iter::once(&*partition.topic)) {
                    tracing::warn!("{}", with_causes(&error));
                }
            } else {
                continue;
            }
            moved.push((partition, low));
        }
        self.move_to(moved)
    }

    /// Goes to the beginning of topics that are others than before, though their positions are in range.
    fn made_anew(&mut self, topics: &[Arc<str>]) -> Result<(), SessionError> {
        self.finish("a topic was made anew")?;
        let owned: Vec<_> = self.progress.partitions().cloned().collect();
        let mut moved = Vec::new();
        for partition in owned.into_iter().filter(|one| topics.contains(&one.topic)) {
            let id = self.source.topic_id(&partition.topic);
            if self.progress.topic_id(&partition) == id.as_ref() {
                continue;
            }
            let (low, _) = self.source.watermarks(&partition)?;
            tracing::warn!(
                topic = &*partition.topic,
                partition = partition.partition,
                next = self.progress.next(&partition),
                "the topic was made anew; it is read from its beginning"
            );
            moved.push((partition, low));
        }
        self.move_to(moved)
    }

    /// Reads partitions from other positions; what follows is committed even if no record comes.
    fn move_to(&mut self, moved: Vec<(TopicPartition, i64)>) -> Result<(), SessionError> {
        for (partition, offset) in &moved {
            let stream_ms = self.set.states().stream_ms(partition);
            let (topic_id, partition) = (self.source.topic_id(&partition.topic), partition.clone());
            let reached = Reached { partition, offset: *offset, stream_ms, topic_id };
            self.progress.assigned(reached, false);
        }
        if !moved.is_empty() {
            self.source.rewind(&moved)?;
        }
        Ok(())
    }
}

/// Whether taking partitions over may go well the next time.
fn is_passing(error: &SessionError) -> bool {
    match error {
        SessionError::Source(error) => matches!(error, SourceError::Offsets { .. }),
        SessionError::Restore(error) => error.is_passing(),
        _ => false,
    }
}
