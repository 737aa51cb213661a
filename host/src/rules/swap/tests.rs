//! What two sets differ in, and from which record on.

use super::*;
use crate::engine::Engine;
use crate::evaluation::Health;
use crate::limits::Limits;
use crate::rules::{Mode, Rule};
use crate::shipped;
use crate::subscription::{Format, Subscription};
use crate::tables::TableSet;

fn set(generation: u64, rules: &[(&str, &str, &str)]) -> RuleSet {
    let engine = Engine::new(None).unwrap();
    let component = engine.compile(shipped::find("notify-relay").unwrap().component).unwrap();
    let rule = |(name, version, topic): &(&str, &str, &str)| {
        let subscription =
            Subscription { topics: vec![(*topic).into()], fields: vec![], condition: None };
        Arc::new(Rule {
            name: (*name).into(),
            version: (*version).into(),
            component: component.clone(),
            config_json: "{}".into(),
            described: subscription.clone(),
            plan: Arc::default(),
            keyed: false,
            tables: TableSet::default(),
            subscription,
            conditions: vec![],
            format: Format::Json,
            channels: vec!["general".into()],
            emit: vec![],
            mode: Mode::Active,
            stale_after: None,
            limits: Limits::default(),
            health: Health::default(),
        })
    };
    RuleSet::new(generation, rules.iter().map(rule)).unwrap()
}

#[test]
fn a_swap_is_told_for_every_partition_that_the_rule_reads() {
    let old = set(
        1,
        &[("changed", "1", "A"), ("gone", "1", "B"), ("moved", "1", "A"), ("same", "1", "A")],
    );
    let new = set(
        2,
        &[("changed", "2", "A"), ("moved", "2", "B"), ("new", "1", "A"), ("same", "1", "A")],
    );
    let partition = |topic: &str, number| TopicPartition::new(topic, number);
    let positions = [(partition("A", 0), 10), (partition("B", 1), 20), (partition("C", 2), 30)];
    let swaps = Swap::of(&old, &new, &positions);
    assert!(swaps.iter().all(|swap| swap.generation == 2));
    let told: Vec<_> = swaps.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "rule changed changes its version at A/0/10",
            "rule gone ends at B/1/20",
            "rule moved ends at A/0/10",
            "rule moved begins at B/1/20",
            "rule new begins at A/0/10",
        ]
    );
    assert_eq!(swaps[0].old_version.as_deref(), Some("1"));
    assert_eq!(swaps[0].new_version.as_deref(), Some("2"));
    assert_eq!(Swap::of(&new, &new, &positions), []);
}
