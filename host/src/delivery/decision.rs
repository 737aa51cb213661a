//! What is to be done about an outbox entry, given what the ledger knows. A pure core.

use crate::digest::day_of_key;
use crate::ledger::{Entry as Known, Place, State};
use crate::notification::{Kind, Severity};
use crate::outbox::Entry;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Post a message.
    Post,
    /// Change this message.
    Update(Place),
    /// Nothing: its alert is open, and a second `fire` sends nothing; or it is over, and a second `resolve`.
    Duplicate,
    /// Nothing: this very entry was carried out before a restart.
    Repeated,
    /// Nothing: it is about an alert that nobody was told of.
    Untold,
}

/// The step for an entry at `offset`.
pub fn step(entry: &Entry, offset: i64, known: Option<&Known>) -> Step {
    let (kind, is_stale) = (entry.notification.kind, entry.is_stale);
    let Some(known) = known else {
        // The end of something is no news to those who never heard of it.
        let is_news = kind != Kind::Resolve && !is_stale;
        return if is_news { Step::Post } else { Step::Untold };
    };
    if offset <= known.outbox_offset {
        return Step::Repeated;
    }
    match (kind, known.state, &known.place) {
        (_, State::Abandoned | State::Suppressed, _) if is_stale => Step::Untold,
        (Kind::Resolve, State::Suppressed, _) => Step::Untold,
        (_, State::Abandoned | State::Suppressed, _) => Step::Post,
        (Kind::Fire, State::Open, _) => Step::Duplicate,
        // It is over already, and its message says so.
        (Kind::Resolve, State::Resolved, _) if entry.digest.is_none() => Step::Duplicate,
        // What was resolved and comes again is news.
        (Kind::Fire, State::Resolved, _) => Step::Post,
        (Kind::Update | Kind::Resolve, _, Some(place)) => Step::Update(place.clone()),
        // A webhook's messages cannot be changed; whoever was told of an alert is told of its end.
        (Kind::Update, _, None) if is_stale => Step::Untold,
        (Kind::Update | Kind::Resolve, _, None) => Step::Post,
    }
}

/// What is to be said in the thread of an alert's message, since nobody is notified of its change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It got worse than this.
    Worse(Severity),
    /// It is over.
    Over,
}

/// What an entry at `offset` has to say in the thread; `None` = nothing, or it was said.
pub fn news(entry: &Entry, offset: i64, known: &Known) -> Option<News> {
    let is_open = known.state == State::Open && known.place.is_some();
    let is_plain = !entry.is_stale && entry.digest.is_none();
    let is_told = offset <= known.outbox_offset
        || known.last_reply.as_ref().is_some_and(|last| *last == entry.intent.to_string());
    if !is_open || !is_plain || is_told {
        return None;
    }
    let severity = entry.notification.severity;
    match (entry.notification.kind, &known.told) {
        (Kind::Resolve, _) => Some(News::Over),
        (Kind::Update, Some(told)) if severity > told.severity => Some(News::Worse(told.severity)),
        (Kind::Fire | Kind::Update, _) => None,
    }
}

/// Whether an alert still fires after an entry: only then a message that somebody deleted is posted anew.
pub fn is_firing(entry: &Entry, known: Option<&Known>) -> bool {
    state_after(entry.notification.kind, known.map(|known| known.state)) == State::Open
}

/// A digest's entry as it is told: with all that its message tells already. `None` = no digest, or
/// nothing is to be added.
pub fn summed(entry: &Entry, known: Option<&Known>) -> Option<Entry> {
    let own = entry.digest.as_ref()?;
    // Where no message can be changed, each tells its own.
    let told = known.filter(|known| known.place.is_some())?.digest.as_ref()?;
    let mut sum = told.clone();
    sum.add(own.clone());
    let key = entry.notification.alert_key.clone().unwrap_or_default();
    let mut notification = sum.notification(&entry.intent.rule, key);
    notification.kind = entry.notification.kind;
    Some(Entry { notification, digest: Some(sum), ..entry.clone() })
}

/// The day of a digest, as it is told.
pub fn day(entry: &Entry) -> Option<&str> {
    entry.digest.as_ref()?;
    day_of_key(entry.notification.alert_key.as_deref()?)
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
    use crate::delivery::tests::world::entry;
    use crate::digest::Digest;
    use crate::ledger::Told;

    fn known(state: State, place: bool, outbox_offset: i64) -> Known {
        let place = place.then(|| Place { channel_id: "C1".into(), ts: "1.2".into() });
        let alert = "00000000000000000000000000000001".parse().unwrap();
        Known { place, outbox_offset, ..Known::new(alert, "general", String::new(), state) }
    }

    fn of(kind: Kind, is_stale: bool) -> Entry {
        Entry { is_stale, ..entry(1, "general", kind, Some("key")) }
    }

    #[test]
    fn every_kind_in_every_state_has_its_step() {
        let place = Step::Update(Place { channel_id: "C1".into(), ts: "1.2".into() });
        use Kind::{Fire, Resolve, Update};
        use State::{Abandoned, Open, Resolved, Suppressed};
        // What is done about one that is news, and about one that is stale.
        for (kind, state, with_place, news, stale) in [
            (Update, Open, true, &place, &place),
            (Update, Open, false, &Step::Post, &Step::Untold),
            (Update, Resolved, true, &place, &place),
            (Update, Abandoned, false, &Step::Post, &Step::Untold),
            (Resolve, Open, true, &place, &place),
            (Resolve, Open, false, &Step::Post, &Step::Post),
            (Resolve, Abandoned, false, &Step::Post, &Step::Untold),
            (Update, Suppressed, false, &Step::Post, &Step::Untold),
            (Resolve, Suppressed, false, &Step::Untold, &Step::Untold),
            (Fire, Suppressed, false, &Step::Post, &Step::Untold),
            // Those that are stale are counted, and never come here.
            (Fire, Open, true, &Step::Duplicate, &Step::Duplicate),
            (Fire, Open, false, &Step::Duplicate, &Step::Duplicate),
            (Fire, Resolved, true, &Step::Post, &Step::Post),
            (Resolve, Resolved, true, &Step::Duplicate, &Step::Duplicate),
            (Resolve, Resolved, false, &Step::Duplicate, &Step::Duplicate),
            (Fire, Abandoned, false, &Step::Post, &Step::Untold),
        ] {
            let known = known(state, with_place, 5);
            for (is_stale, expected) in [(false, news), (true, stale)] {
                let entry = of(kind, is_stale);
                let case = format!("{kind:?} {state:?} {is_stale}");
                assert_eq!(step(&entry, 6, Some(&known)), *expected, "{case}");
                assert_eq!(step(&entry, 5, Some(&known)), Step::Repeated, "{case}");
            }
        }
    }

    #[test]
    fn what_changes_an_alert_that_nobody_knows_is_told_only_if_it_is_news() {
        for (kind, is_stale, expected) in [
            (Kind::Fire, false, Step::Post),
            (Kind::Update, false, Step::Post),
            (Kind::Update, true, Step::Untold),
            (Kind::Resolve, false, Step::Untold),
            (Kind::Resolve, true, Step::Untold),
        ] {
            assert_eq!(step(&of(kind, is_stale), 0, None), expected, "{kind:?} {is_stale}");
        }
    }

    #[test]
    fn a_digest_is_told_with_all_that_its_message_tells() {
        let digest =
            |count, first_ms, last_ms| Digest { count, first_ms, last_ms, samples: vec![] };
        let own = Entry { digest: Some(digest(2, 50, 70)), ..of(Kind::Update, false) };
        let told = |place, told| Known { digest: told, ..known(State::Open, place, 5) };
        let summed = |known: Option<&Known>| summed(&own, known).and_then(|entry| entry.digest);
        assert_eq!(summed(Some(&told(true, Some(digest(3, 60, 90))))), Some(digest(5, 50, 90)));
        // The message cannot be changed, is not there, or tells nothing yet.
        assert_eq!(summed(Some(&told(false, Some(digest(3, 60, 90))))), None);
        assert_eq!(summed(Some(&told(true, None))), None);
        assert_eq!(summed(None), None);
    }

    fn told(severity: Severity) -> Option<Told> {
        Some(Told { opened_ms: 0, rule: "r".into(), title: "t".into(), severity })
    }

    #[test]
    fn what_gets_worse_or_ends_is_news_once_and_where_a_message_stands() {
        use Severity::{Critical, Error, Info, Warning};
        let open = Known { told: told(Warning), ..known(State::Open, true, 5) };
        let update = |severity| {
            let mut entry = of(Kind::Update, false);
            entry.notification.severity = severity;
            entry
        };
        for (severity, expected) in [
            (Info, None),
            (Warning, None),
            (Error, Some(News::Worse(Warning))),
            (Critical, Some(News::Worse(Warning))),
        ] {
            assert_eq!(news(&update(severity), 6, &open), expected, "{severity:?}");
            assert_eq!(news(&update(severity), 5, &open), None, "repeated");
        }
        let (worse, over) = (update(Critical), of(Kind::Resolve, false));
        assert_eq!(news(&over, 6, &open), Some(News::Over));
        let said = Known { last_reply: Some(over.intent.to_string()), ..open.clone() };
        let resolved = Known { state: State::Resolved, ..open.clone() };
        let webhook = Known { place: None, ..open.clone() };
        for known in [said, resolved, webhook] {
            assert_eq!((news(&over, 6, &known), news(&worse, 6, &known)), (None, None));
        }
        assert_eq!(news(&of(Kind::Resolve, true), 6, &open), None, "stale");
        assert_eq!(news(&Entry { digest: Some(Digest::of(0, "a")), ..worse }, 6, &open), None);
        assert_eq!(news(&of(Kind::Fire, false), 6, &open), None);
    }

    #[test]
    fn only_what_fires_is_posted_anew() {
        let firing = |kind, state| is_firing(&of(kind, false), Some(&known(state, true, 5)));
        assert!(firing(Kind::Update, State::Open) && !firing(Kind::Resolve, State::Open));
        assert!(!firing(Kind::Update, State::Resolved) && firing(Kind::Fire, State::Resolved));
    }

    #[test]
    fn an_alert_stays_resolved_until_it_fires_again() {
        assert_eq!(state_after(Kind::Resolve, Some(State::Open)), State::Resolved);
        assert_eq!(state_after(Kind::Update, Some(State::Resolved)), State::Resolved);
        assert_eq!(state_after(Kind::Update, None), State::Open);
        assert_eq!(state_after(Kind::Fire, Some(State::Resolved)), State::Open);
    }
}
