//! What is to be done about an outbox entry, given what the ledger knows. A pure core.

use crate::ledger::{Entry as Known, Place, State};
use crate::notification::Kind;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Post a message.
    Post,
    /// Change this message.
    Update(Place),
    /// Nothing: its alert is open, and a second `fire` sends nothing.
    Duplicate,
    /// Nothing: this very entry was carried out before a restart.
    Repeated,
}

/// The step for an entry of `kind` at `offset`.
pub fn step(kind: Kind, offset: i64, known: Option<&Known>) -> Step {
    let Some(known) = known else { return Step::Post };
    if offset <= known.outbox_offset {
        return Step::Repeated;
    }
    match (kind, known.state, &known.place) {
        (_, State::Abandoned, _) => Step::Post,
        (Kind::Fire, State::Open, _) => Step::Duplicate,
        // What was resolved and comes again is news.
        (Kind::Fire, State::Resolved, _) => Step::Post,
        (Kind::Update | Kind::Resolve, _, Some(place)) => Step::Update(place.clone()),
        // A webhook's messages cannot be changed.
        (Kind::Update | Kind::Resolve, _, None) => Step::Post,
    }
}

/// The state of an alert after an entry of `kind` was carried out.
pub fn state_after(kind: Kind, before: Option<State>) -> State {
    match (kind, before) {
        (Kind::Resolve, _) | (Kind::Update, Some(State::Resolved)) => State::Resolved,
        (Kind::Fire | Kind::Update, _) => State::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(state: State, place: bool, outbox_offset: i64) -> Known {
        let place = place.then(|| Place { channel_id: "C1".into(), ts: "1.2".into() });
        Known {
            alert: "00000000000000000000000000000001".parse().unwrap(),
            channel: "general".into(),
            place,
            state,
            opened_by: String::new(),
            last_intent: String::new(),
            outbox_offset,
            updated_ms: 0,
        }
    }

    #[test]
    fn every_kind_in_every_state_has_its_step() {
        let place = Step::Update(Place { channel_id: "C1".into(), ts: "1.2".into() });
        use Kind::{Fire, Resolve, Update};
        use State::{Abandoned, Open, Resolved};
        for (kind, state, with_place, expected) in [
            (Fire, Open, true, Step::Duplicate),
            (Fire, Open, false, Step::Duplicate),
            (Fire, Resolved, true, Step::Post),
            (Fire, Abandoned, false, Step::Post),
            (Update, Open, true, place.clone()),
            (Update, Open, false, Step::Post),
            (Update, Resolved, true, place.clone()),
            (Update, Abandoned, false, Step::Post),
            (Resolve, Open, true, place),
            (Resolve, Open, false, Step::Post),
        ] {
            let known = known(state, with_place, 5);
            assert_eq!(step(kind, 6, Some(&known)), expected, "{kind:?} {state:?}");
            assert_eq!(step(kind, 5, Some(&known)), Step::Repeated, "{kind:?} {state:?}");
        }
        for kind in [Fire, Update, Resolve] {
            assert_eq!(step(kind, 0, None), Step::Post);
        }
    }

    #[test]
    fn an_alert_stays_resolved_until_it_fires_again() {
        assert_eq!(state_after(Kind::Resolve, Some(State::Open)), State::Resolved);
        assert_eq!(state_after(Kind::Update, Some(State::Resolved)), State::Resolved);
        assert_eq!(state_after(Kind::Update, None), State::Open);
        assert_eq!(state_after(Kind::Fire, Some(State::Resolved)), State::Open);
    }
}
