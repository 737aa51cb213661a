//! What nearly every test begins with: a topic, a Slack, a site whose rules read the topic.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::guests::guest;
use crate::kafka::{Incoming, Kafka, Outgoing};
use crate::site::Site;
use crate::slack::Slack;
use crate::{eventually_eq, unique};

/// A topic, a Slack and a site.
#[derive(Debug)]
pub struct Scene {
    /// Where the topic is.
    pub kafka: Kafka,
    /// Where notifications end.
    pub slack: Slack,
    /// The operator's folder.
    pub site: Site,
    /// The topic that the rules read.
    pub topic: String,
}

impl Scene {
    /// A scene with a topic of 4 partitions, and no rule yet.
    pub fn new(kafka: &Kafka, stem: &str) -> Self {
        let topic = unique(stem);
        kafka.create_topic(&topic, 4, &[]);
        let slack = Slack::start();
        let site = Site::new(kafka, &slack.api_url());
        Self { kafka: kafka.clone(), slack, site, topic }
    }

    /// A scene on the newest Kafka with one of the test guests as a rule of the same name.
    pub fn with_guest(stem: &str, name: &str) -> Self {
        let scene = Self::new(Kafka::newest(), stem);
        scene.rule(name, &guest(name), "");
        scene
    }

    /// Adds or replaces a rule on the topic; `toml` is what else its file says, tables last.
    pub fn rule(&self, name: &str, component: &Path, toml: &str) {
        self.site.rule(name, component, &self.toml(toml));
    }

    /// The text of a rule's file that reads the topic.
    pub fn toml(&self, more: &str) -> String {
        format!("topics = [{:?}]\nstale_after = \"off\"\n{more}\n", self.topic)
    }

    /// Writes messages for the test guests.
    pub fn say<S: AsRef<str>>(&self, messages: impl IntoIterator<Item = S>) {
        self.kafka.produce(&self.topic, messages.into_iter().map(|text| message(text.as_ref())));
    }

    /// The titles of what was posted, in order of the alphabet.
    pub fn titles(&self) -> Vec<String> {
        let mut titles: Vec<String> =
            self.slack.posts().into_iter().map(|post| post.title).collect();
        titles.sort();
        titles
    }

    /// Waits until exactly these were posted, in whatever order.
    ///
    /// # Panics
    /// When they are not, in time.
    pub fn await_titles<S: Into<String>>(&self, wanted: impl IntoIterator<Item = S>) {
        let mut wanted: Vec<String> = wanted.into_iter().map(Into::into).collect();
        wanted.sort();
        eventually_eq("what was posted", &wanted, || self.titles());
    }

    /// Waits until every record of the topic is done with: the group has committed its ends.
    ///
    /// # Panics
    /// When it has not, in time.
    pub fn await_committed(&self) {
        let ends = self.kafka.ends(&self.topic);
        eventually_eq("what is committed", &ends, || {
            let committed = self.kafka.committed(self.site.group(), &self.topic);
            // A partition without records has nothing to commit.
            committed.into_iter().map(|offset| offset.max(0)).collect()
        });
    }

    /// What was given up on so far.
    pub fn dead_letters(&self) -> Vec<Incoming> {
        self.kafka.read(&self.site.dead_letters())
    }

    /// Waits until there are exactly so many dead letters.
    ///
    /// # Panics
    /// When there are not, in time.
    pub fn await_dead_letters(&self, count: usize) -> Vec<Incoming> {
        eventually_eq("the number of dead letters", &count, || self.dead_letters().len());
        self.dead_letters()
    }
}

/// A record as the test guests read it.
pub fn message(text: &str) -> Outgoing {
    Outgoing::value(json!({ "host": "rpi-03", "message": text }).to_string()).key(text)
}

/// How often each of them is there.
pub fn counted<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_insert(0) += 1;
    }
    counts
}
