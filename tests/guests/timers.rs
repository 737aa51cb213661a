//! Sets a timer for each record, by its host, and says `timer HOST due MS` when it is due.

use firebell_guests::{Config, Effects, Notification, Record, Rule, Subscription};
use firebell_rule::{Due, State, Timer};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Timers {
    /// From the record's event time to when the timer is due.
    after_ms: i64,
    /// By the wall clock instead of event time.
    wall_clock: bool,
    /// Stream time goes on after so long without records.
    idle_ms: Option<u64>,
}

impl Default for Timers {
    fn default() -> Self {
        Self { after_ms: 1000, wall_clock: false, idle_ms: None }
    }
}

impl Rule for Timers {
    fn new(config: Config) -> Result<Self, String> {
        config.parse()
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("host", "/host")
    }

    fn state(&self) -> State {
        let idle = self.idle_ms.map(std::time::Duration::from_millis);
        State { idle, ..State::new(1) }
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let due_ms = record.event_time_ms().unwrap_or_default() + self.after_ms;
        let due = if self.wall_clock { Due::wall_clock(due_ms) } else { Due::event_time(due_ms) };
        out.set_timer(record.text("host").unwrap_or_default(), due);
    }

    fn timer(&self, timer: &Timer, out: &mut Effects) {
        let (Due::EventTime(due_ms) | Due::WallClock(due_ms)) = timer.due;
        out.notify(Notification::fire(format!("timer {} due {due_ms}", timer.key_text())));
    }
}

firebell_guests::export!(Timers);
