//! The contract's types and those of the crate that keeps state.

use firebell_state as kept;

use crate::__private::{self as raw, wit};
use crate::state::as_ms;
use crate::{Aggregate, Closing, Crossing, FieldType, Shape, State, Subscription, Window};

/// The plan, if a host would take it.
pub(super) fn checked(state: &State, subscription: &Subscription) -> Result<kept::Plan, String> {
    let plan = plan(state);
    if plan.version == 0 && !plan.is_empty() {
        return Err("state() keeps something as version 0: begin it with `State::new(1)`".into());
    }
    plan.check().map_err(|error| error.to_string())?;
    let field_type = |name: &str| {
        let field = subscription.fields.iter().find(|field| field.name == name);
        field.map(|field| field.field_type)
    };
    if let Some(name) = &plan.key_by
        && field_type(name).is_none()
    {
        return Err(format!("state is kept by field `{name}`, which subscribe() does not declare"));
    }
    if let Some(name) = &plan.event_time
        && field_type(name) != Some(FieldType::Integer)
    {
        return Err(format!(
            "the event time is field `{name}`, which subscribe() does not declare as integer"
        ));
    }
    Ok(plan)
}

fn plan(state: &State) -> kept::Plan {
    kept::Plan {
        version: state.version,
        key_by: state.key_by.as_deref().map(str::to_owned),
        event_time: state.event_time.as_deref().map(str::to_owned),
        windows: state.windows.iter().map(window).collect(),
        tables: state.tables.iter().map(|table| table.clone().into_owned()).collect(),
        idle_ms: state.idle.map(|idle| as_ms(idle).unsigned_abs()),
    }
}

fn window(window: &Window) -> kept::Window {
    kept::Window {
        name: window.name.clone().into_owned(),
        shape: match window.shape {
            Shape::Tumbling(size) => kept::Shape::Tumbling(as_ms(size)),
            Shape::Hopping { size, advance } => {
                kept::Shape::Hopping { size_ms: as_ms(size), advance_ms: as_ms(advance) }
            }
            Shape::Sliding(size) => kept::Shape::Sliding(as_ms(size)),
            Shape::Session(gap) => kept::Shape::Session(as_ms(gap)),
        },
        aggregate: match window.aggregate {
            Aggregate::Count => kept::Aggregate::Count,
            Aggregate::Sum => kept::Aggregate::Sum,
            Aggregate::Min => kept::Aggregate::Min,
            Aggregate::Max => kept::Aggregate::Max,
            Aggregate::Distinct => kept::Aggregate::Distinct,
        },
        grace_ms: as_ms(window.grace),
        crossing: match window.crossing {
            Crossing::Never => kept::Crossing::Never,
            Crossing::AtLeast(value) => kept::Crossing::AtLeast(value),
            Crossing::AtMost(value) => kept::Crossing::AtMost(value),
        },
        closing: match window.closing {
            Closing::None => kept::Closing::None,
            Closing::Crossed => kept::Closing::Crossed,
            Closing::All => kept::Closing::All,
        },
        evidence: window.evidence,
    }
}

/// A window as the contract has it.
pub(super) fn lower_window(state: kept::WindowState) -> wit::WindowState {
    let evidence = |evidence: kept::Evidence| wit::Evidence {
        topic: evidence.topic.to_string(),
        partition: evidence.partition,
        offset: evidence.offset,
        timestamp: evidence.timestamp_ms,
    };
    wit::WindowState {
        window: state.window,
        key: state.key,
        start: state.start_ms,
        end: state.end_ms,
        value: state.value,
        count: state.count,
        evidence: state.evidence.into_iter().map(evidence).collect(),
    }
}

/// Something that time did, as the contract has it.
pub(super) fn lower_firing(firing: kept::Firing) -> raw::Firing {
    match firing {
        kept::Firing::Timer { key, due } => {
            let due = match due {
                kept::Due::EventTime(ms) => wit::Due::EventTime(ms),
                kept::Due::WallClock(ms) => wit::Due::WallClock(ms),
            };
            raw::Firing::Timer(raw::Timer { key, due })
        }
        kept::Firing::Closed(state) => raw::Firing::Closed(lower_window(state)),
    }
}
