use super::*;
use crate::delivery::decision::News;
use crate::notification::{AlertId, IntentId, Notification, Severity};
use crate::record::RecordId;
use proptest::prelude::*;

mod evidence;
mod forms;
mod groups;
mod oracle;
mod replies;

const SEED: &str =
    "2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽";

fn entry(title: &str, body: Vec<Span>, fields: Vec<(String, Vec<Span>)>) -> Entry {
    let record = RecordId { topic: "SYSLOG".into(), partition: 0, offset: 42 };
    let intent = IntentId { record, rule: "invalid-user".into(), index: 0 };
    let notification = Notification {
        alert_key: None,
        window_start_ms: None,
        severity: Severity::Warning,
        kind: Kind::Fire,
        title: title.into(),
        body,
        fields,
        labels: vec![],
        channel: None,
        evidence: vec![],
        excerpt: None,
    };
    let event_time_ms = 1_520_176_464_000;
    Entry {
        alert: AlertId::of(&intent, event_time_ms, &notification),
        intent,
        channel: "general".into(),
        event_time_ms,
        rule_version: "ab12".into(),
        generation: 7,
        notification,
        is_stale: false,
        digest: None,
    }
}

const STORY: Story<'_> = Story { opened_by: "i", opened_ms: None, is_over: false };

fn manners() -> Manners {
    let mentions = [("oncall", "S0AB"), ("robin", "U0CD"), ("all", "channel")];
    Manners {
        mentions: mentions.map(|(name, id)| (name.into(), id.into())).into(),
        link_hosts: vec!["runbooks.example.com".into(), "*.grafana.example".into()],
        public_url: Some("https://firebell.example.com".into()),
        hides_values: false,
    }
}

fn render(entry: &Entry) -> Message {
    let opened_by = entry.intent.to_string();
    message(entry, &manners(), &Story { opened_by: &opened_by, ..STORY })
}

const ALLOWED: oracle::Allowed = oracle::Allowed {
    mentions: &["S0AB", "U0CD", "channel"],
    addresses: &["https://runbooks.example.com/", "https://firebell.example.com/host"],
};

/// What the oracle says of a message; nothing when it is good.
fn complaints(message: &Message) -> Vec<String> {
    let blocks = message.blocks.as_ref().unwrap_or(&Value::Null);
    oracle::wrong(&message.text, blocks, &message.metadata, &ALLOWED)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn the_seeds_message_is_the_notification_text() {
    let message = render(&entry(SEED, vec![], vec![]));
    assert_eq!(message.text, format!("🟡 {SEED}"));
    insta::assert_snapshot!(pretty(&message.blocks.unwrap()), @r##"
    [
      {
        "text": {
          "emoji": false,
          "text": "🟡 2018-03-04 15:14:24 👽 rpi-03 sshd[24150]: Invalid user mini from 192.168.42.42 👽",
          "type": "plain_text"
        },
        "type": "header"
      },
      {
        "elements": [
          {
            "elements": [
              {
                "fallback": "2018-03-04 15:14:24 UTC",
                "format": "{date_num} {time_secs}",
                "timestamp": 1520176464,
                "type": "date"
              },
              {
                "text": " · ",
                "type": "text"
              },
              {
                "text": "Firebell",
                "type": "link",
                "url": "https://firebell.example.com/host"
              }
            ],
            "type": "rich_text_section"
          }
        ],
        "type": "rich_text"
      },
      {
        "elements": [
          {
            "emoji": false,
            "text": "warning · firing · invalid-user · SYSLOG/0/42",
            "type": "plain_text"
          }
        ],
        "type": "context"
      }
    ]
    "##);
    insta::assert_snapshot!(pretty(&message.metadata), @r#"
    {
      "event_payload": {
        "id": "1523dd8babe18109bdc75b8f867102c1",
        "intent": "SYSLOG/0/42#invalid-user#0",
        "kind": "fire",
        "last_intent": "SYSLOG/0/42#invalid-user#0",
        "severity": "warning"
      },
      "event_type": "firebell_alert"
    }
    "#);
}

#[test]
#[allow(clippy::invisible_characters, reason = "word joiners are what keeps formatting off")]
fn every_kind_of_span_has_its_element() {
    let body = vec![
        Span::Text("User ".into()),
        Span::Code("<!channel>".into()),
        Span::Text(" tried ".into()),
        Span::Emphasis("*often*".into()),
        Span::Text("\n".into()),
        Span::Link { url: "https://runbooks.example.com/ssh?a=1".into(), label: "runbook".into() },
        Span::Link { url: "https://evil.example/".into(), label: "runbook".into() },
        Span::Mention("oncall".into()),
        Span::Mention("robin".into()),
        Span::Mention("all".into()),
        Span::Mention("nobody".into()),
        Span::Timestamp(1_520_176_464_386),
        Span::Code("line 1\nline 2".into()),
        Span::Text("end".into()),
    ];
    let fields = vec![("host".into(), vec![Span::Code("rpi-03".into())])];
    let mut entry = entry("A & B <@U1>", body, fields);
    entry.notification.kind = Kind::Resolve;
    let message = render(&entry);
    assert_eq!(message.text, "✅ A &amp; B &lt;@U1&gt;");
    let blocks = message.blocks.unwrap();
    assert_eq!(blocks[0]["text"]["text"], "✅ A & B <@U1>");
    let lines: Vec<String> = blocks[1]["elements"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|element| {
            let kind = element["type"].as_str().unwrap().to_owned();
            let inner = element["elements"].as_array().unwrap().iter().map(Value::to_string);
            std::iter::once(kind).chain(inner.map(|line| format!("  {line}")))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r##"
    rich_text_section
      {"text":"User ","type":"text"}
      {"style":{"code":true},"text":"<!channel>","type":"text"}
      {"text":" tried ","type":"text"}
      {"style":{"italic":true},"text":"*often*","type":"text"}
      {"text":"\n","type":"text"}
      {"text":"runbook","type":"link","url":"https://runbooks.example.com/ssh?a=1"}
      {"text":"runbook (https://evil.example/)","type":"text"}
      {"type":"usergroup","usergroup_id":"S0AB"}
      {"type":"user","user_id":"U0CD"}
      {"range":"channel","type":"broadcast"}
      {"text":"@nobody","type":"text"}
      {"fallback":"2018-03-04 15:14:24 UTC","format":"{date_num} {time_secs}","timestamp":1520176464,"type":"date"}
    rich_text_preformatted
      {"text":"line 1\nline 2","type":"text"}
    rich_text_section
      {"text":"end","type":"text"}
    rich_text_section
      {"style":{"bold":true},"text":"host: ","type":"text"}
      {"style":{"code":true},"text":"rpi-03","type":"text"}
    rich_text_section
      {"fallback":"2018-03-04 15:14:24 UTC","format":"{date_num} {time_secs}","timestamp":1520176464,"type":"date"}
      {"text":" · ","type":"text"}
      {"text":"Firebell","type":"link","url":"https://firebell.example.com/host"}
    "##);
    let plain = plain(&entry, &manners(), &STORY).text.replace('\u{2060}', "[j]");
    insta::assert_snapshot!(plain, @r#"
    ✅ A &amp; B &lt;@U1&gt;
    User &lt;!channel&gt; tried [j]*[j]often[j]*[j]
    runbook (https[j]://runbooks.example.com/ssh?a=1)runbook (https[j]://evil.example/)@oncall@robin@all@nobody2018-03-04 15:14:24 UTC
    line 1
    line 2
    end
    host: rpi-03
    2018-03-04 15:14:24 UTC
    warning · resolved · invalid-user · SYSLOG/0/42
    "#);
}

#[test]
fn a_link_goes_to_an_allowed_host_only() {
    let allowed = |url: &str| allowed_url(url, &manners()).is_some();
    for url in [
        "https://runbooks.example.com",
        "http://RUNBOOKS.example.com/x",
        "https://a.b.grafana.example/d/1",
        "https://runbooks.example.com:8443/x",
        // The parser folds full-width letters into the ones that they stand for.
        "https://ｒunbooks.example.com/",
    ] {
        assert!(allowed(url), "{url}");
    }
    for url in [
        "https://runbooks.example.com.evil.example/",
        "https://evil.example/runbooks.example.com",
        "https://runbooks.example.com@evil.example/",
        "https://me:secret@runbooks.example.com/",
        "https://grafana.example/",
        // Another host: the dot at the end, a letter that looks like ours.
        "https://runbooks.example.com./",
        "https://runb\u{43e}oks.example.com/",
        "https://xn--runboks-4nf.example.com/",
        "https://evilgrafana.example/",
        "javascript://runbooks.example.com/%0aalert(1)",
        "ftp://runbooks.example.com/",
        "//runbooks.example.com/",
        "runbooks.example.com",
        "",
    ] {
        assert!(!allowed(url), "{url}");
    }
    // Characters that parsers see differently are sent as this one saw them.
    let odd = allowed_url("https:\\\\runbooks.example.com\\x", &manners()).unwrap();
    assert_eq!(odd, "https://runbooks.example.com/x");
    let long = format!("https://runbooks.example.com/{}", "x".repeat(3_000));
    assert!(!allowed(&long));
}

#[test]
fn a_message_that_is_too_long_is_shortened_and_says_so() {
    let body = (0..500).map(|n| Span::Text(format!("{n} {} ", "\"".repeat(100)))).collect();
    let fields =
        (0..50).map(|n| (format!("field {n}"), vec![Span::Text("x".repeat(5_000))])).collect();
    let entry = entry(&"t".repeat(100_000), body, fields);
    let message = render(&entry);
    let json = message.blocks.clone().unwrap().to_string();
    assert!(units(&json) <= BLOCKS_UNITS_MAX, "{}", units(&json));
    assert!(json.contains("more characters") && json.contains("more fields"));
    assert!(units(&message.text) <= TEXT_UNITS_MAX && message.text.ends_with("more characters"));
    assert_eq!(render(&entry), message, "the same entry is always shown the same");
    assert!(units(&plain(&entry, &manners(), &STORY).text) <= TEXT_UNITS_MAX);
}

#[test]
fn an_empty_notification_still_says_which_rule_rang() {
    let message = render(&entry(" ", vec![Span::Text(String::new())], vec![]));
    assert_eq!(message.text, "🟡 invalid-user");
    let json = message.blocks.unwrap().to_string();
    // Slack refuses empty text elements.
    assert!(!json.contains(r#""text":"""#), "{json}");
}

fn span() -> impl Strategy<Value = Span> {
    let text = || {
        prop_oneof![
            any::<String>(),
            "[<>!@#&*_~`|a-z \n\"]{0,200}",
            Just("<!channel> <@U1> <#C1> <http://evil.example|x>".to_owned()),
            "x{3000,9000}",
        ]
    };
    let url = prop_oneof![
        text(),
        Just("https://runbooks.example.com/a".to_owned()),
        Just("https://evil.example/".to_owned()),
    ];
    prop_oneof![
        text().prop_map(Span::Text),
        text().prop_map(Span::Code),
        text().prop_map(Span::Emphasis),
        (url, text()).prop_map(|(url, label)| Span::Link { url, label }),
        prop_oneof![text(), Just("oncall".to_owned())].prop_map(Span::Mention),
        any::<i64>().prop_map(Span::Timestamp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_rule_returns_only_configured_mentions_and_links_come_out(
        title: String,
        body in proptest::collection::vec(span(), 0..30),
        records in proptest::collection::vec(any::<(String, i32, i64)>(), 0..25),
        fields in proptest::collection::vec((any::<String>(), proptest::collection::vec(span(), 0..4)), 0..25),
        excerpt in proptest::option::of("[<>!@#&*_~`|a-z \n\"\u{0}\u{202e}]{0,300}"),
        event_time_ms: i64,
        opened_ms: Option<i64>,
        is_over: bool,
        severity in prop::sample::select(MARKS.map(|(severity, _)| severity).to_vec()),
        before in prop::sample::select(MARKS.map(|(severity, _)| severity).to_vec()),
        kind in prop::sample::select(vec![Kind::Fire, Kind::Update, Kind::Resolve]),
    ) {
        let mut entry = entry(&title, body, fields);
        entry.event_time_ms = event_time_ms;
        entry.notification.severity = severity;
        entry.notification.kind = kind;
        let record = |(topic, partition, offset): (String, _, _)| RecordId {
            topic: topic.into(),
            partition,
            offset,
        };
        entry.notification.evidence = records.into_iter().map(record).collect();
        entry.notification.excerpt = excerpt;
        let story = Story { opened_ms, is_over, ..STORY };
        let full = message(&entry, &manners(), &story);
        prop_assert!(full.blocks.is_some(), "the least level always fits");
        let worse = News::Worse(before);
        let messages = [
            full,
            plain(&entry, &manners(), &story),
            reply(&entry, &manners(), &story, worse),
            reply(&entry, &manners(), &story, News::Over),
            reply_plain(&entry, &manners(), &story, worse),
            reply_plain(&entry, &manners(), &story, News::Over),
        ];
        for message in messages {
            let wrong = complaints(&message);
            prop_assert!(wrong.is_empty(), "{wrong:?}");
        }
    }
}
