//! A digest: alerts about old records that are told in one message instead of one each.
//!
//! A pure core: sums that are the same in whatever order their parts come, and the words for them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::limits::cut;
use crate::notification::{Kind, Notification, Severity, Span};

/// Titles that are kept as examples.
const SAMPLES_MAX: usize = 5;
/// Bytes of each.
const SAMPLE_BYTES_MAX: usize = 300;
/// What the alert key of a digest begins with; the day follows.
const KEY: &str = "$digest ";

/// Alerts that were not posted one by one.
///
/// Its JSON is what the outbox, the ledger and the changelog hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many.
    pub count: u64,
    /// Event time of the oldest, milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// Event time of the newest.
    pub last_ms: i64,
    /// A few of their titles.
    pub samples: Vec<String>,
}

impl Digest {
    /// One alert.
    pub fn of(event_time_ms: i64, title: &str) -> Self {
        let mut sample = title.replace(['\r', '\n'], " ");
        cut(&mut sample, SAMPLE_BYTES_MAX);
        Self { count: 1, first_ms: event_time_ms, last_ms: event_time_ms, samples: vec![sample] }
    }

    /// Adds others. The first titles stay.
    pub fn add(&mut self, others: Self) {
        self.count = self.count.saturating_add(others.count);
        self.first_ms = self.first_ms.min(others.first_ms);
        self.last_ms = self.last_ms.max(others.last_ms);
        for sample in others.samples {
            if self.samples.len() >= SAMPLES_MAX {
                break;
            }
            if !self.samples.contains(&sample) {
                self.samples.push(sample);
            }
        }
    }

    /// What is said of them, for the alert `key`.
    pub fn notification(&self, rule: &str, key: String) -> Notification {
        Notification {
            alert_key: Some(key),
            window_start_ms: None,
            severity: Severity::Info,
            // Posts where there is no message of this day yet, and changes it where there is.
            kind: Kind::Update,
            title: self.title(rule),
            body: self.body(rule),
            fields: vec![],
            labels: vec![],
            channel: None,
            evidence: vec![],
            excerpt: None,
        }
    }

    fn title(&self, rule: &str) -> String {
        let (first, last) = (minute(self.first_ms), minute(self.last_ms));
        let when = if first == last { first } else { format!("{first} to {last}") };
        match self.count {
            1 => format!("1 older alert of {rule}, {when} UTC, was not posted"),
            count => {
                format!("{count} older alerts of {rule}, {when} UTC, were not posted one by one")
            }
        }
    }

    fn body(&self, rule: &str) -> Vec<Span> {
        let mut body = vec![];
        if self.count > self.samples.len() as u64 {
            body.push(Span::Text("Some of them:\n".into()));
        }
        body.extend(self.samples.iter().map(|sample| Span::Text(format!("• {sample}\n"))));
        body.extend([
            Span::Text("They are older than ".into()),
            Span::Code("stale_after".into()),
            Span::Text(" allows; ".into()),
            Span::Code("stale_after = \"off\"".into()),
            Span::Text(" in ".into()),
            Span::Code(format!("{rule}.toml")),
            Span::Text(" posts each.".into()),
        ]);
        body
    }
}

/// The alert key of a day's digest: all workers and partitions share one message a day. No rule can
/// mean it by accident.
pub fn key_of_day(now_ms: i64) -> String {
    format!("{KEY}{}", format_utc(now_ms, "%Y-%m-%d"))
}

/// The day in the alert key of a digest.
pub fn day_of_key(key: &str) -> Option<&str> {
    key.strip_prefix(KEY)
}

fn minute(ms: i64) -> String {
    format_utc(ms, "%Y-%m-%d %H:%M")
}

fn format_utc(ms: i64, format: &str) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(instant) => instant.strftime(format).to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED_MS: i64 = 1_520_176_464_000;
    const BURST_MS: i64 = 1_521_649_260_000;

    fn words(digest: &Digest) -> String {
        let spans = digest.notification("invalid-user", String::new()).body;
        let word = |span: &Span| match span {
            Span::Text(text) | Span::Code(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        spans.iter().map(word).collect()
    }

    #[test]
    fn many_alerts_are_told_with_their_number_their_time_and_the_cure() {
        let mut sum = Digest::of(SEED_MS, "a");
        (0..36).for_each(|n| sum.add(Digest::of(BURST_MS, &format!("b{n}"))));
        let notification = sum.notification("invalid-user", key_of_day(BURST_MS));
        assert_eq!(
            notification.title,
            "37 older alerts of invalid-user, 2018-03-04 15:14 to 2018-03-21 16:21 UTC, were not \
             posted one by one"
        );
        assert_eq!(notification.alert_key.as_deref(), Some("$digest 2018-03-21"));
        assert_eq!(day_of_key("$digest 2018-03-21"), Some("2018-03-21"));
        assert_eq!((notification.kind, notification.severity), (Kind::Update, Severity::Info));
        assert_eq!(
            words(&sum),
            "Some of them:\n• a\n• b0\n• b1\n• b2\n• b3\nThey are older than stale_after allows; \
             stale_after = \"off\" in invalid-user.toml posts each."
        );
    }

    #[test]
    fn one_alert_is_told_as_one() {
        let one = Digest::of(SEED_MS, "two\r\nlines");
        assert_eq!(
            one.title("invalid-user"),
            "1 older alert of invalid-user, 2018-03-04 15:14 UTC, was not posted"
        );
        assert!(words(&one).starts_with("• two  lines\nThey are older"));
    }

    #[test]
    fn a_title_that_is_long_is_cut_and_one_that_comes_again_is_shown_once() {
        let mut sum = Digest::of(0, &"ä".repeat(400));
        assert!(sum.samples[0].len() <= SAMPLE_BYTES_MAX && sum.samples[0].ends_with('…'));
        sum.add(Digest::of(1, "same"));
        sum.add(Digest::of(2, "same"));
        assert_eq!((sum.count, sum.samples.len()), (3, 2));
    }

    #[test]
    fn its_json_is_written_down() {
        let json = serde_json::to_string(&Digest::of(SEED_MS, "a")).unwrap();
        let expected =
            format!(r#"{{"count":1,"first_ms":{SEED_MS},"last_ms":{SEED_MS},"samples":["a"]}}"#);
        assert_eq!(json, expected);
        // A newer member is none that this one must know.
        let newer = expected.replace("\"count\"", "\"more\":1,\"count\"");
        assert_eq!(serde_json::from_str::<Digest>(&newer).unwrap(), Digest::of(SEED_MS, "a"));
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_how_they_are_cut(
            times in proptest::collection::vec(0_i64..1_000, 1..30),
            cut in any::<prop::sample::Index>(),
        ) {
            let of = |times: &[i64]| {
                let each = times.iter().map(|ms| Digest::of(*ms, &ms.to_string()));
                each.reduce(|mut sum, one| { sum.add(one); sum })
            };
            let whole = of(&times).unwrap();
            let (front, back) = times.split_at(cut.index(times.len()));
            let mut parts = of(front).into_iter().chain(of(back));
            let mut sum = parts.next().unwrap();
            parts.for_each(|part| sum.add(part));
            prop_assert_eq!(sum, whole);
        }
    }
}
