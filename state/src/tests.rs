//! The whole state: against a naive model, and where plans and transactions meet.

mod model;
mod naive;
mod plans;
mod times;

use std::sync::Arc;

use crate::{
    Aggregate, Closing, Crossing, Evidence, Moment, Plan, RETENTION_MS, RuleState, Shape, Window,
};

fn window(name: &str, shape: Shape, aggregate: Aggregate, crossing: Crossing) -> Window {
    let (grace_ms, closing, evidence) = (0, Closing::None, 0);
    Window { name: name.into(), shape, aggregate, grace_ms, crossing, closing, evidence }
}

/// A window of every sort.
fn plan() -> Plan {
    let hopping = Shape::Hopping { size_ms: 20, advance_ms: 8 };
    let (three, two) = (Crossing::AtLeast(3.0), Crossing::AtLeast(2.0));
    let windows = vec![
        Window {
            grace_ms: 5,
            closing: Closing::Crossed,
            evidence: 2,
            ..window("burst", Shape::Tumbling(20), Aggregate::Count, three)
        },
        Window {
            closing: Closing::All,
            ..window("total", hopping, Aggregate::Sum, Crossing::AtLeast(5.0))
        },
        window("lowest", Shape::Tumbling(30), Aggregate::Min, Crossing::AtMost(-1.0)),
        Window { evidence: 1, ..window("users", Shape::Tumbling(20), Aggregate::Distinct, two) },
        Window {
            grace_ms: 10,
            evidence: 2,
            ..window("recent", Shape::Sliding(20), Aggregate::Count, three)
        },
        window("hosts", Shape::Sliding(25), Aggregate::Distinct, two),
        Window {
            grace_ms: 10,
            closing: Closing::Crossed,
            evidence: 3,
            ..window("visit", Shape::Session(10), Aggregate::Count, two)
        },
        Window {
            closing: Closing::All,
            ..window("pages", Shape::Session(12), Aggregate::Distinct, two)
        },
        window("balance", Shape::Sliding(15), Aggregate::Sum, Crossing::AtLeast(4.0)),
    ];
    Plan { version: 1, windows, ..Plan::default() }
}

fn state_of(plan: Plan) -> RuleState {
    plan.check().unwrap();
    let mut state = RuleState::new(64 << 20);
    state.adopt(Arc::new(plan));
    state
}

fn record(offset: i64) -> Evidence {
    Evidence { topic: "T".into(), partition: 1, offset, timestamp_ms: offset * 2 }
}

fn at(event_ms: i64) -> Moment {
    Moment { event_ms, stream_ms: event_ms }
}

/// What was sealed, as restored into a state of its own.
fn restored<'a>(
    entries: impl IntoIterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>,
    plan: Option<&Arc<Plan>>,
) -> RuleState {
    let mut state = RuleState::new(64 << 20);
    for (key, value) in entries {
        state.restore(key, Some(value)).unwrap();
    }
    if let Some(plan) = plan {
        state.adopt(Arc::clone(plan));
    }
    state
}
