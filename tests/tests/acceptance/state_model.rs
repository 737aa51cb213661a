//! Rules that keep state, in evaluation without Kafka: whatever happens between the records, what they
//! say and keep is what a naive model says, and what one batch after the other would have given.
//!
//! A [`Cluster`] of two workers does what `host/src/worker.rs` does with transactions, restarts and
//! reassignments, on a Kafka that is three lists.

mod cluster;
mod log;
mod model;

use std::fs;
use std::sync::{Arc, OnceLock};

use firebell::engine::{Component, Described, Engine};
use firebell::evaluation::{Health, Repartition, Tick};
use firebell::limits::Limits;
use firebell::record::TopicPartition;
use firebell::rules::{Mode, Rule, RuleSet};
use firebell::subscription::Format;
use firebell_tests::guests::{guest, shipped};
use proptest::prelude::*;

use cluster::{Cluster, Input};
use model::{Kind, Seen};

/// What the rules are called.
const RULE: &str = "stateful";
/// The partitions of the users' topics; the second topic is there so that a rule reads two.
const SOURCES: [(&str, i32); 3] = [("SYSLOG", 0), ("SYSLOG", 1), ("AUTH", 0)];
/// The repartition topic and how many partitions it has.
const REPARTITION: (&str, i32) = ("g.repartition", 2);

/// The host of which the rules see nothing.
const UNSEEN: &str = "d";

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The owner of a partition evaluates so many of its records.
    Poll { partition: usize, records: usize },
    /// A worker begins a transaction with all that is pending.
    Begin { worker: usize },
    /// The transaction of a worker ends.
    End { worker: usize, commits: bool },
    /// A worker dies and begins anew; its open transaction may have been committed.
    Crash { worker: usize, commits: bool },
    /// A partition goes to the other worker.
    Move { partition: usize },
    /// The same, and its owner is told too late.
    Lose { partition: usize, commits: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let partition = || 0..SOURCES.len() + REPARTITION.1 as usize;
    let worker = || 0..2_usize;
    prop_oneof![
        12 => (partition(), 1..9_usize)
            .prop_map(|(partition, records)| Step::Poll { partition, records }),
        6 => worker().prop_map(|worker| Step::Begin { worker }),
        6 => (worker(), prop::bool::weighted(0.7))
            .prop_map(|(worker, commits)| Step::End { worker, commits }),
        1 => (worker(), any::<bool>())
            .prop_map(|(worker, commits)| Step::Crash { worker, commits }),
        2 => partition().prop_map(|partition| Step::Move { partition }),
        1 => (partition(), any::<bool>())
            .prop_map(|(partition, commits)| Step::Lose { partition, commits }),
    ]
}

/// A record: which partition, which host, how long after the one before (none: it has no time), and
/// whether the guest `kv` fails on it.
type Written = (usize, u8, Option<i64>, bool);

fn written() -> impl Strategy<Value = Vec<Written>> {
    let after_ms = proptest::option::weighted(0.97, prop_oneof![4 => 0..40_i64, 1 => -90..160_i64]);
    let record = (0..SOURCES.len(), 0..4_u8, after_ms, prop::bool::weighted(0.1));
    proptest::collection::vec(record, 1..60)
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Tumbling),
        Just(Kind::Hopping),
        Just(Kind::Sliding),
        Just(Kind::Session),
        Just(Kind::Timers { after_ms: 50 }),
        Just(Kind::Timers { after_ms: -30 }),
        Just(Kind::Kv),
        Just(Kind::Heartbeat),
    ]
}

/// The compiled components of the kinds, and what each describes.
fn described(kind: Kind) -> (Component, Described) {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    static COMPONENTS: OnceLock<[Component; 4]> = OnceLock::new();
    let components = COMPONENTS.get_or_init(|| {
        let engine = ENGINE.get_or_init(|| Engine::new(None).unwrap());
        [guest("counter"), guest("timers"), guest("kv"), shipped("heartbeat")]
            .map(|path| engine.compile(&fs::read(path).unwrap()).unwrap())
    });
    let component = components[match kind {
        Kind::Tumbling | Kind::Hopping | Kind::Sliding | Kind::Session => 0,
        Kind::Timers { .. } => 1,
        Kind::Kv => 2,
        Kind::Heartbeat => 3,
    }]
    .clone();
    let mut instance = component.instantiate(&RULE.into(), &Limits::DEFAULT).unwrap();
    let described = instance.describe(&kind.config()).unwrap();
    (component, described)
}

fn rule_set(kind: Kind, keyed: bool) -> Arc<RuleSet> {
    let (component, described) = described(kind);
    let mut subscription = described.subscription.clone();
    subscription.topics = vec!["SYSLOG".into(), "AUTH".into()];
    let rule = Rule {
        name: RULE.into(),
        version: component.hash().to_owned(),
        component,
        config_json: kind.config(),
        // Time goes on by records that the rule does not see.
        conditions: vec![format!("{} != '{UNSEEN}'", kind.host_field())],
        described: described.subscription,
        plan: Arc::new(described.plan),
        keyed,
        tables: firebell::tables::TableSet::default(),
        subscription,
        format: Format::Json,
        channels: vec!["general".into()],
        emit: vec![],
        mode: Mode::Active,
        stale_after: None,
        limits: Limits { quarantine_after: 0, ..Limits::DEFAULT },
        health: Health::default(),
    };
    Arc::new(RuleSet::new(1, [Arc::new(rule)]).unwrap())
}

/// The records as they lie in their partitions.
fn inputs(kind: Kind, written: &[Written]) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    for (topic, partition) in SOURCES {
        inputs.push(Input { partition: TopicPartition::new(topic, partition), records: vec![] });
    }
    let mut now_ms = [1_000_000_i64; SOURCES.len()];
    for (partition, host, after_ms, fails) in written {
        now_ms[*partition] += after_ms.unwrap_or(0) * kind.pace();
        let records = &mut inputs[*partition].records;
        records.push(Seen {
            offset: records.len() as i64,
            timestamp_ms: after_ms.map_or(-1, |_| now_ms[*partition]),
            host: char::from(b'a' + host).to_string(),
            fails: *fails,
        });
    }
    inputs
}

fn check(kind: Kind, routed: bool, compacts: bool, written: &[Written], steps: &[Step]) {
    let set = rule_set(kind, !routed);
    let routes = routed && set.rules.values().any(|rule| rule.routes_by().is_some());
    let repartition = Repartition { topic: REPARTITION.0.into(), partitions: REPARTITION.1 };
    let inputs = inputs(kind, written);
    let mut cluster = Cluster::new(&set, inputs, routes.then_some(repartition), compacts);
    for step in steps {
        match *step {
            Step::Poll { partition, records } => cluster.poll(partition, records),
            Step::Begin { worker } => cluster.begin(worker),
            Step::End { worker, commits } => cluster.end(worker, commits),
            Step::Crash { worker, commits } => cluster.crash(worker, commits),
            Step::Move { partition } => cluster.reassign(partition),
            Step::Lose { partition, commits } => cluster.lose(partition, commits),
        }
    }
    cluster.finish();
    cluster.check_routing();
    for (partition, seen) in cluster.evaluated() {
        let expected = model::run(kind, RULE, &seen, cluster.fed_by());
        let said = cluster.said(&partition);
        assert_eq!(said, expected, "{partition} of {kind:?}");
        cluster.check_against_one_batch(&partition);
    }
}

proptest! {
    #[test]
    fn batches_transactions_restarts_and_moves_change_nothing_that_a_rule_says_or_keeps(
        kind in kind(),
        routed in any::<bool>(),
        compacts in any::<bool>(),
        written in written(),
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        check(kind, routed, compacts, &written, &steps);
    }
}

#[test]
fn a_rule_says_the_same_by_way_of_the_repartition_topic_as_without() {
    // One partition each, so that the order of records is the same.
    let after_ms = |n: i64| if n % 50 == 49 { 200 } else { (n * 37) % 60 - 15 };
    let written: Vec<Written> =
        (0..200).map(|n| (0, (n % 3) as u8, Some(after_ms(n)), false)).collect();
    for kind in [Kind::Tumbling, Kind::Hopping, Kind::Sliding, Kind::Session, Kind::Heartbeat] {
        let mut said = [true, false].map(|routed| {
            let repartition = Repartition { topic: REPARTITION.0.into(), partitions: 1 };
            let set = rule_set(kind, !routed);
            let inputs = inputs(kind, &written);
            let mut cluster = Cluster::new(&set, inputs, routed.then_some(repartition), false);
            cluster.finish();
            cluster.entries()
        });
        assert!(!said[0].is_empty(), "{kind:?}");
        // What is not the rule's: the partition that its state belongs to.
        said.iter_mut().flatten().for_each(|entry| entry.generation = 0);
        let [routed, direct] = said;
        assert_eq!(routed, direct, "{kind:?}");
    }
}

/// Two hosts by way of one repartition partition: one came in the first partition alone, and is silent for
/// ten seconds of the other's records.
fn drifted() -> (Cluster, TopicPartition) {
    let kind = Kind::Heartbeat;
    let repartition = Repartition { topic: REPARTITION.0.into(), partitions: 1 };
    let mut written: Vec<Written> = vec![(0, 0, Some(0), false), (1, 1, Some(0), false)];
    // A tenth of a second each, as `pace` has it.
    written.extend((0..100).map(|_| (1, 1, Some(10), false)));
    let set = rule_set(kind, false);
    let mut cluster = Cluster::new(&set, inputs(kind, &written), Some(repartition), false);
    cluster.finish();
    (cluster, TopicPartition::new(REPARTITION.0, 0))
}

/// The wall clock says nothing but that so much time went by.
const TICK: Tick =
    Tick { wall_ms: 2_000_000, quiet_ms: 0, since_ms: 0, caught_up: false, lifts: false };

fn titles(entries: &[firebell::outbox::Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.notification.title.as_str()).collect()
}

#[test]
fn what_is_earlier_than_what_is_read_first_is_not_late_before_all_have_come() {
    // Three of one host in a second long ago, and one much later that is read first.
    let hour = 360_000;
    let written: Vec<Written> = vec![
        (1, 2, Some(0), false),
        (1, 2, Some(0), false),
        (1, 2, Some(0), false),
        (0, 2, Some(hour), false),
    ];
    let poll = |partition, records| Step::Poll { partition, records };
    check(Kind::Tumbling, true, false, &written, &[poll(0, 1), poll(1, 3)]);
    let inputs = inputs(Kind::Tumbling, &written);
    let repartition = Repartition { topic: REPARTITION.0.into(), partitions: 1 };
    let set = rule_set(Kind::Tumbling, false);
    let mut cluster = Cluster::new(&set, inputs, Some(repartition), false);
    cluster.poll(0, 1);
    cluster.finish();
    assert_eq!(titles(&cluster.entries()), ["count c 3"]);
}

#[test]
fn what_was_set_before_there_was_a_time_is_told_alike_however_records_are_cut() {
    let written: Vec<Written> = vec![(1, 0, None, false), (1, 0, Some(0), false)];
    let steps = [Step::Poll { partition: 1, records: 1 }];
    check(Kind::Timers { after_ms: -30 }, false, false, &written, &steps);
}

#[test]
fn the_slowest_partition_holds_time_until_all_that_waited_is_known_to_have_come() {
    let (mut cluster, partition) = drifted();
    assert_eq!(titles(&cluster.entries()), [""; 0], "records of the first may be on their way");
    assert_eq!(titles(&cluster.tick(&partition, TICK)), [""; 0]);
    // Silence, but nobody knows whether it is one of the sources.
    let quiet = Tick { quiet_ms: 60_000, since_ms: 60_000, ..TICK };
    assert_eq!(titles(&cluster.tick(&partition, quiet)), [""; 0]);
    let lifted = cluster.tick(&partition, Tick { lifts: true, ..TICK });
    assert_eq!(titles(&lifted), ["No record of a for 1 second"]);
    // Found out when the others had come so far, and told once.
    assert_eq!(lifted[0].event_time_ms, 1_010_000);
    assert_eq!(titles(&cluster.tick(&partition, Tick { lifts: true, ..TICK })), [""; 0]);
}

#[test]
fn what_ticks_did_at_one_offset_has_ids_of_its_own() {
    let (mut cluster, partition) = drifted();
    let first = cluster.tick(&partition, Tick { lifts: true, ..TICK });
    let (wall_ms, ms) = (TICK.wall_ms + 60_000, 60_000);
    let silent = Tick { wall_ms, quiet_ms: ms, since_ms: ms, caught_up: true, lifts: false };
    let second = cluster.tick(&partition, silent);
    assert_eq!(titles(&second), ["No record of b for 1 second"]);
    assert_eq!(first[0].intent.record, second[0].intent.record, "nothing came between them");
    assert_ne!(first[0].intent, second[0].intent);
}
