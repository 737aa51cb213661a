//! Rules that keep state, called natively.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use firebell_rule::testing::{Harness, Outcome, Row};
use firebell_rule::{
    Closing, Config, Due, Effects, Entries, Notification, Record, Rule, State, Subscription, Timer,
    Window, WindowState,
};

/// Does what the text says, word by word, with the key `k`.
struct Does;

/// Keeps windows in step with records.
struct DoesInStep;

fn subscription() -> Subscription {
    Subscription::new().text("do", "/do").text("k", "/k").float("n", "/n")
}

fn state() -> State {
    let ten = Duration::from_millis(10);
    State::new(1)
        .key_by("k")
        .table("t")
        .window(Window::tumbling("count", ten).count().at_least(3.0).evidence(2))
        .window(Window::tumbling("sum", ten).sum().at_least(5.0).tell_closed(Closing::Crossed))
        .window(Window::session("items", ten).distinct().at_least(2.0).tell_closed(Closing::All))
        .window(Window::tumbling("bursts", ten * 100).count())
}

fn say(out: &mut Effects, text: String) {
    out.notify(Notification::fire(text));
}

fn act(record: &Record<'_>, out: &mut Effects) {
    let k = record.text("k").unwrap_or("k");
    let now_ms = record.event_time_ms().unwrap_or_default();
    for word in record.text("do").unwrap_or_default().split(' ') {
        match word {
            "count" => out.window("count").add(k),
            "sum" => out.window("sum").add_value(k, record.float("n").unwrap_or(2.0)),
            "item" => out.window("items").add_item(k, record.float("n").unwrap_or(0.0).to_string()),
            "wrong" => out.window("sum").add(k),
            "unknown" => out.window("cuont").add(k),
            "open" => {
                let open = out.window("count").open(k);
                say(
                    out,
                    format!("open {:?}", open.iter().map(|open| open.value).collect::<Vec<_>>()),
                );
            }
            "get" => {
                let value: Option<i64> = out.get_as(k);
                say(out, format!("{k} is {value:?}"));
            }
            "put" => out.put_as(k, &now_ms, Duration::from_millis(5)),
            "text" => out.put(k, "no number", None),
            "insert" => {
                let new = out.insert(k, "1", None);
                say(out, format!("new {new}"));
            }
            "delete" => out.delete(k),
            "timer" => out.set_timer(k, Due::event_time(now_ms + 4)),
            "past" => out.set_timer(k, Due::event_time(now_ms - 3)),
            "wall" => out.set_timer(k, Due::wall_clock(1000)),
            "clear" => out.clear_timer(k),
            "table" => {
                let value = out.table("t").get(k);
                say(out, format!("table {value:?}"));
            }
            "fail" => out.fail("told to"),
            _ => {}
        }
    }
    say(out, format!("record {now_ms}"));
}

fn crossed(window: &WindowState, out: &mut Effects) {
    // What is kept must not depend on how records came in batches.
    let told = out.get_as::<u32>("told").unwrap_or_default() + 1;
    out.put_as("told", &told, None);
    let WindowState { window: name, start_ms, value, count, .. } = window;
    say(out, format!("{told}. {name} {} {start_ms} {value} {count}", window.key_text()));
}

impl Rule for Does {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        subscription()
    }

    fn state(&self) -> State {
        state()
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        act(record, out);
    }

    fn crossed(&self, window: &WindowState, record: &Record<'_>, out: &mut Effects) {
        assert!(record.text("do").is_some(), "the record is the one that made it cross");
        if record.text("do").unwrap().contains("nested") {
            out.window("bursts").add("all");
        }
        crossed(window, out);
    }

    fn closed(&self, window: &WindowState, out: &mut Effects) {
        let WindowState { window: name, end_ms, value, .. } = window;
        say(out, format!("closed {name} {end_ms} {value}"));
        out.window("bursts").add("closed");
    }

    fn timer(&self, timer: &Timer, out: &mut Effects) {
        let Timer { due, stream_time_ms, wall_clock_ms, .. } = timer;
        say(out, format!("timer {} {due:?} {stream_time_ms} {wall_clock_ms:?}", timer.key_text()));
    }
}

impl Rule for DoesInStep {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        subscription()
    }

    fn state(&self) -> State {
        state().in_step()
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        act(record, out);
    }

    fn crossed(&self, window: &WindowState, _: &Record<'_>, out: &mut Effects) {
        if window.window == "count" {
            out.window("sum").add_value(&window.key, 4.0);
        }
        let sums = out.window("sum").open(&window.key);
        say(out, format!("sums {:?}", sums.iter().map(|sum| sum.value).collect::<Vec<_>>()));
        crossed(window, out);
    }
}

firebell_rule::export!(Does);

fn row(timestamp_ms: i64, words: &str) -> Row {
    Row::new().timestamp_ms(timestamp_ms).set("do", words)
}

fn titles(outcome: &Outcome) -> Vec<&str> {
    outcome.notifications().iter().map(|notification| notification.title.as_str()).collect()
}

fn titles_of<R: Rule>(batches: impl IntoIterator<Item = Vec<Row>>) -> Vec<String> {
    let mut rule = Harness::<R>::new("{}").unwrap();
    let mut all = vec![];
    for batch in batches {
        let outcome = rule.evaluate(batch).unwrap();
        all.extend(titles(&outcome).into_iter().map(str::to_owned));
        rule.restart();
    }
    all
}

/// Words and times from a counter's bits: much of what can be done, in many orders.
fn many_rows(seed: u64) -> Vec<Row> {
    const WORDS: [&str; 14] = [
        "count",
        "count",
        "sum",
        "item",
        "open",
        "get",
        "put",
        "insert",
        "delete",
        "timer",
        "past",
        "clear",
        "count sum",
        "",
    ];
    let mut bits = seed;
    let mut next = |below: u64| {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (bits >> 33) % below
    };
    let mut now_ms = 100;
    let mut rows = vec![];
    for _ in 0..60 {
        now_ms += [0, 0, 1, 2, -3, 6][next(6) as usize];
        let words = format!("{} {}", WORDS[next(14) as usize], WORDS[next(14) as usize]);
        let key = ["a", "b"][next(2) as usize];
        rows.push(row(now_ms, &words).set("k", key).set("n", next(4) as f64));
    }
    rows
}

#[test]
fn how_records_come_in_batches_makes_no_difference() {
    for seed in 0..60 {
        let rows = many_rows(seed);
        let one_by_one = titles_of::<Does>(rows.iter().map(|row| vec![row.clone()]));
        assert!(one_by_one.len() > rows.len());
        assert_eq!(titles_of::<Does>([rows.clone()]), one_by_one, "seed {seed}");
        assert_eq!(titles_of::<Does>(rows.chunks(7).map(<[Row]>::to_vec)), one_by_one);
        let in_step = titles_of::<DoesInStep>(rows.iter().map(|row| vec![row.clone()]));
        assert_eq!(titles_of::<DoesInStep>([rows]), in_step, "in step, seed {seed}");
    }
}

#[test]
fn a_window_tells_once_with_the_record_that_made_it_cross() {
    let rule = Harness::<Does>::new("{}").unwrap();
    let outcome = rule.evaluate((0..5).map(|ms| row(ms, "count"))).unwrap();
    assert_eq!(
        titles(&outcome),
        ["record 0", "record 1", "record 2", "1. count k 0 3 3", "record 3", "record 4"]
    );
    assert_eq!(outcome.effects[3].row, 2);
    let again = rule.evaluate([row(6, "count"), row(10, "count")]).unwrap();
    assert_eq!(titles(&again), ["record 6", "record 10"]);
}

#[test]
fn a_value_is_gone_after_its_time_and_an_insert_says_whether_it_was_new() {
    let rows = [row(0, "put get"), row(4, "get"), row(5, "get insert"), row(5, "insert")];
    assert_eq!(
        titles_of::<Does>([rows.to_vec()]),
        [
            "k is Some(0)",
            "record 0",
            "k is Some(0)",
            "record 4",
            "k is None",
            "new true",
            "record 5",
            "new false",
            "record 5",
        ]
    );
}

#[test]
fn a_timer_comes_before_the_record_that_makes_it_due() {
    let outcome = Harness::<Does>::new("{}").unwrap();
    let outcome = outcome.evaluate([row(0, "timer"), row(3, ""), row(9, ""), row(9, "")]).unwrap();
    assert_eq!(
        titles(&outcome),
        ["record 0", "record 3", "timer k EventTime(4) 4 None", "record 9", "record 9"]
    );
    assert_eq!(outcome.effects[2].row, 2);
}

#[test]
fn a_timer_for_the_past_comes_at_once_and_time_does_not_go_back() {
    assert_eq!(
        titles_of::<Does>([vec![row(7, ""), row(7, "past"), row(7, "")]]),
        ["record 7", "record 7", "timer k EventTime(4) 7 None", "record 7"]
    );
}

#[test]
fn time_goes_on_without_records_and_by_the_wall_clock() {
    let rule = Harness::<Does>::new("{}").unwrap();
    rule.evaluate([row(0, "timer"), row(1, "wall").set("k", "w"), row(2, "sum sum sum")]).unwrap();
    assert_eq!(titles(&rule.advance_to(3).unwrap()), [""; 0]);
    assert_eq!(
        titles(&rule.advance_to(50).unwrap()),
        ["timer k EventTime(4) 4 None", "closed sum 10 6"]
    );
    assert_eq!(titles(&rule.wall_clock_at(999).unwrap()), [""; 0]);
    assert_eq!(
        titles(&rule.wall_clock_at(1001).unwrap()),
        ["timer w WallClock(1000) 50 Some(1001)"]
    );
}

#[test]
fn a_call_that_fails_changes_nothing() {
    let rule = Harness::<Does>::new("{}").unwrap();
    let failed = rule.evaluate([row(0, "text count"), row(1, "count fail"), row(2, "count")]);
    assert_eq!(failed.unwrap_err(), "told to");
    assert_eq!(rule.value("k"), None);
    let outcome = rule.evaluate([row(3, "count"), row(3, "open")]).unwrap();
    assert_eq!(titles(&outcome), ["record 3", "open [1.0]", "record 3"]);
}

#[test]
fn a_value_of_another_type_fails_the_record() {
    let rule = Harness::<Does>::new("{}").unwrap();
    let error = rule.evaluate([row(0, "text"), row(1, "get")]).unwrap_err();
    assert!(error.starts_with("the value of `k` is of another type: "), "{error}");
}

#[test]
fn a_record_that_is_too_late_is_left_out_and_counted() {
    let rule = Harness::<Does>::new("{}").unwrap();
    let outcome = rule.evaluate([row(30, "count"), row(2, "count"), row(3, "open")]).unwrap();
    assert_eq!(titles(&outcome), ["record 30", "record 2", "open []", "record 3"]);
    assert_eq!(outcome.late, 1);
}

#[test]
fn evidence_says_where_the_first_records_are() {
    /// Shows evidence.
    struct Shows;
    impl Rule for Shows {
        fn new(_: Config) -> Result<Self, String> {
            Ok(Self)
        }
        fn subscribe(&self) -> Subscription {
            subscription().topic("SYSLOG")
        }
        fn state(&self) -> State {
            state()
        }
        fn record(&self, _: &Record<'_>, out: &mut Effects) {
            out.window("count").add("k");
        }
        fn crossed(&self, window: &WindowState, _: &Record<'_>, out: &mut Effects) {
            say(out, window.evidence_text());
        }
    }
    let rule = Harness::<Shows>::new("{}").unwrap();
    rule.evaluate([Row::new().timestamp_ms(1)]).unwrap();
    let outcome = rule.evaluate([Row::new().timestamp_ms(1), Row::new().timestamp_ms(2)]).unwrap();
    assert_eq!(titles(&outcome), ["SYSLOG/0/0, SYSLOG/0/1"]);
}

#[test]
fn a_table_is_read_by_key() {
    let rule = Harness::<Does>::new("{}").unwrap();
    rule.table("t", "k", Some(b"v"));
    assert_eq!(titles(&rule.evaluate([row(0, "table")]).unwrap())[0], "table Some([118])");
    rule.table("t", "k", None);
    assert_eq!(titles(&rule.evaluate([row(0, "table")]).unwrap())[0], "table None");
}

/// Reads the state of `Does` if the configuration says so.
struct Next(bool);

impl Rule for Next {
    fn new(config: Config) -> Result<Self, String> {
        Ok(Self(config.as_json().contains("take")))
    }

    fn subscribe(&self) -> Subscription {
        subscription()
    }

    fn state(&self) -> State {
        State { version: 2, ..state() }
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        act(record, out);
    }

    fn migrate(&self, from: u32, entries: Entries) -> Result<Entries, String> {
        if !self.0 {
            return Err(format!("not from {from}"));
        }
        Ok(entries.into_iter().map(|(key, _)| (key, b"7".to_vec())).collect())
    }
}

#[test]
fn a_new_version_takes_over_values_and_windows_or_says_why_not() {
    let old = || {
        let old = Harness::<Does>::new("{}").unwrap();
        old.evaluate([row(0, "text count count")]).unwrap();
        old
    };
    let new = old().reload::<Next>(r#"{"take": 1}"#).unwrap();
    let outcome = new.evaluate([row(1, "get open")]).unwrap();
    assert_eq!(titles(&outcome), ["k is Some(7)", "open [2.0]", "record 1"]);
    assert_eq!(old().reload::<Next>("{}").err().as_deref(), Some("not from 1"));
    let backwards = new.reload::<Does>("{}").err().unwrap();
    assert_eq!(backwards, "this rule can't read the state that version 2 of it left");
}

#[test]
#[should_panic(
    expected = "window `cuont` was not declared by state(); declared: count, sum, items"
)]
fn an_undeclared_window_is_a_mistake_that_tests_find() {
    titles_of::<Does>([vec![row(0, "unknown")]]);
}

#[test]
#[should_panic(expected = "window `sum` is Sum: add to it by add_value(), not add()")]
fn adding_in_the_wrong_way_is_a_mistake_that_tests_find() {
    titles_of::<Does>([vec![row(0, "wrong")]]);
}

#[test]
#[should_panic(expected = "declare `.in_step()` in state()")]
fn windows_in_crossed_are_a_mistake_unless_they_are_in_step() {
    titles_of::<Does>([(0..3).map(|ms| row(ms, "count nested")).collect()]);
}

/// Keeps a value without saying so.
struct Forgets;

impl Rule for Forgets {
    fn new(_: Config) -> Result<Self, String> {
        Ok(Self)
    }

    fn subscribe(&self) -> Subscription {
        subscription()
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        act(record, out);
    }
}

#[test]
#[should_panic(expected = "return `State::new(1)` from it")]
fn keeping_without_saying_so_is_a_mistake_that_tests_find() {
    titles_of::<Forgets>([vec![row(0, "put")]]);
}
