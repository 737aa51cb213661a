//! The host's own topics: their names, and what they must be like.

use std::sync::Arc;

pub mod kafka;

/// The names of the host's own topics; they begin with the group's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalTopics {
    /// `GROUP.outbox`: decided notifications, partitioned by channel.
    pub outbox: Arc<str>,
    /// `GROUP.ledger`: what was sent, by alert id; compacted, partitioned as the outbox.
    pub ledger: Arc<str>,
    /// `GROUP.dead-letters`: records that were given up on.
    pub dead_letters: Arc<str>,
    /// `GROUP.repartition`: records on their way to what their rules group by.
    pub repartition: Arc<str>,
    /// `GROUP.changelog`: the state of rules; compacted.
    pub changelog: Arc<str>,
    /// `GROUP.silences`: silences by id; compacted, one partition.
    pub silences: Arc<str>,
    /// `GROUP.history`: what happened to alerts, for people; kept for some days.
    pub history: Arc<str>,
}

/// How many partitions the host's own topics have, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// Of the outbox and the ledger.
    pub outbox: i32,
    /// Of the repartition topic and the changelog.
    pub state: i32,
}

impl InternalTopics {
    /// The names for a group.
    pub fn of(group_id: &str) -> Self {
        Self {
            outbox: format!("{group_id}.outbox").into(),
            ledger: format!("{group_id}.ledger").into(),
            dead_letters: format!("{group_id}.dead-letters").into(),
            repartition: format!("{group_id}.repartition").into(),
            changelog: format!("{group_id}.changelog").into(),
            silences: format!("{group_id}.silences").into(),
            history: format!("{group_id}.history").into(),
        }
    }
}

/// One way in which an existing topic does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic `{topic}`: {setting} is {found}, but must be {wanted}; {cure}")]
pub struct Misfit {
    /// The topic.
    pub topic: Arc<str>,
    /// The setting.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub wanted: String,
    /// What the operator can do.
    pub cure: String,
}

/// What is asked of one internal topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub topic: Arc<str>,
    /// `cleanup.policy`.
    pub cleanup_policy: &'static str,
    /// The number of partitions, where it must be that of another topic; and what is lost when the
    /// topic is made anew.
    pub partitions: Option<(i32, &'static str, &'static str)>,
}

impl Wanted {
    /// What does not fit in a topic with `partitions` and `cleanup_policy`.
    pub fn misfits(&self, partitions: i32, cleanup_policy: &str) -> Vec<Misfit> {
        let topic = &self.topic;
        let mut misfits = Vec::new();
        if let Some((wanted, like, lost)) = self.partitions
            && wanted != partitions
        {
            misfits.push(Misfit {
                topic: Arc::clone(topic),
                setting: "the number of partitions",
                found: partitions.to_string(),
                wanted: format!("{wanted}, as {like} has"),
                cure: format!(
                    "delete the topic, so that it is made anew ({lost}), or use another \
                     kafka.group_id"
                ),
            });
        }
        let mut policies: Vec<&str> = cleanup_policy.split(',').map(str::trim).collect();
        policies.sort_unstable();
        if policies != [self.cleanup_policy] {
            let wanted = self.cleanup_policy;
            misfits.push(Misfit {
                topic: Arc::clone(topic),
                setting: "cleanup.policy",
                found: format!("`{cleanup_policy}`"),
                wanted: format!("`{wanted}`"),
                cure: format!(
                    "run kafka-configs --alter --topic {topic} --add-config cleanup.policy={wanted}"
                ),
            });
        }
        misfits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Wanted {
        let topic = InternalTopics::of("g").ledger;
        let partitions = Some((4, "the outbox", "what was sent is forgotten"));
        Wanted { topic, cleanup_policy: "compact", partitions }
    }

    #[test]
    fn a_topic_that_does_not_fit_is_told_by_setting_and_cure() {
        assert!(ledger().misfits(4, "compact").is_empty());
        let misfits = ledger().misfits(3, "delete");
        let texts: Vec<_> = misfits.iter().map(ToString::to_string).collect();
        assert!(texts[0].contains("the number of partitions is 3, but must be 4"), "{texts:?}");
        assert!(texts[1].contains("cleanup.policy=compact"), "{texts:?}");
        assert_eq!(ledger().misfits(4, "compact,delete").len(), 1);
    }
}
