//! A Prometheus Alertmanager, by its API v2.
//!
//! It forgets an alert whose `endsAt` has passed, so an open one is told again and again
//! (`keep_alive.rs`); an event, which cannot end, is told once and passes by itself.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};

use super::document::{time, words};
use super::{Answer, Told, refusal};
use crate::config::AlertmanagerConfig;
use crate::delivery::http::{ClientError, client, exchange};
use crate::delivery::suppression::can_end;
use crate::outbox::Entry;
use crate::policy::Labels;
use crate::secret::Secret;

/// An alert that is not told again holds for so many times `resend_seconds`, as with Prometheus.
const RESENDS: i64 = 4;
/// Characters of Alertmanager's reason that are told.
const REASON_MAX: usize = 300;

/// An Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    http: reqwest::Client,
    url: Secret,
    token: Option<Secret>,
    pub(super) resend: Duration,
    /// The host's page, which alerts link to.
    page: Option<String>,
}

impl Alertmanager {
    /// An Alertmanager; alerts link to `page`, an address without a slash at its end.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: &AlertmanagerConfig, page: Option<&str>) -> Result<Self, ClientError> {
        let http = client(config.url.reveal(), config.request_timeout)?;
        let (url, token) = (config.url.clone(), config.token.clone());
        let page = page.map(|page| format!("{page}/host"));
        Ok(Self { http, url, token, resend: config.resend, page })
    }

    /// Tells it once.
    pub(super) async fn tell(&self, told: Told<'_>) -> Answer {
        let (alerts, standing) = self.alerts(&told);
        match self.post(&alerts).await {
            None => Answer::Taken { standing },
            Some(answer) => answer,
        }
    }

    /// Tells it that these alerts are still open; `None` = it has taken that.
    pub(super) async fn tell_again(&self, standing: &[Value], now_ms: i64) -> Option<Answer> {
        let ends = self.passes(now_ms);
        let alerts: Vec<Value> =
            standing.iter().map(|alert| ending(alert, &ends, now_ms)).collect();
        self.post(&alerts).await
    }

    /// Its version; for `firebell check`.
    ///
    /// # Errors
    /// Why there is none, without the address.
    pub async fn version(&self) -> Result<String, String> {
        let request = self.with_token(self.http.get(self.address("status")));
        match exchange(request).await {
            Ok((200, _, Some(body))) => {
                let status: Value = serde_json::from_slice(&body).unwrap_or_default();
                let version = status["versionInfo"]["version"].as_str();
                version.map(str::to_owned).ok_or_else(|| "it is no Alertmanager".to_owned())
            }
            Ok((status, ..)) => Err(format!("HTTP {status}")),
            Err((_, detail)) => Err(detail),
        }
    }

    /// What is posted about an entry, and what must be told again.
    fn alerts(&self, told: &Told<'_>) -> (Vec<Value>, Option<Value>) {
        let now = rfc3339(told.now_ms);
        let mut alert = self.alert(told);
        if told.is_over() {
            if let Some(standing) = told.standing {
                // Alertmanager knows an alert by its labels: those that it was told.
                alert["labels"] = standing["labels"].clone();
            }
            return (vec![ending(&alert, &now, told.now_ms)], None);
        }
        let mut alerts = vec![ending(&alert, &self.passes(told.now_ms), told.now_ms)];
        if let Some(standing) = told.standing.filter(|old| old["labels"] != alert["labels"]) {
            // To Alertmanager this is another alert, in whose place the new one comes.
            alerts.push(ending(standing, &now, told.now_ms));
        }
        let can_end = can_end(told.entry) && told.entry.digest.is_none();
        (alerts, can_end.then_some(alert))
    }

    /// The alert without its end.
    fn alert(&self, told: &Told<'_>) -> Value {
        let entry = told.entry;
        let began = told.standing.and_then(|standing| standing["startsAt"].as_str());
        let began = began.map_or_else(|| starts(entry, told.now_ms), str::to_owned);
        let mut alert = json!({
            "labels": labels(entry), "annotations": annotations(entry), "startsAt": began,
        });
        if let Some(page) = &self.page {
            alert["generatorURL"] = page.as_str().into();
        }
        alert
    }

    /// When an alert that is told now passes by itself.
    fn passes(&self, now_ms: i64) -> String {
        let resend = i64::try_from(self.resend.as_millis()).unwrap_or_default();
        rfc3339(now_ms.saturating_add(RESENDS * resend))
    }

    async fn post(&self, alerts: &[Value]) -> Option<Answer> {
        let request = self.with_token(self.http.post(self.address("alerts")));
        let request = request.header(CONTENT_TYPE, "application/json");
        let exchanged = exchange(request.body(Value::from(alerts).to_string())).await;
        let reason = match &exchanged {
            Ok((400.., _, Some(body))) => reason(body),
            _ => String::new(),
        };
        match refusal(exchanged) {
            Some(Answer::Never { detail }) => {
                Some(Answer::Never { detail: format!("{detail}{reason}") })
            }
            other => other,
        }
    }

    fn address(&self, what: &str) -> String {
        format!("{}/api/v2/{what}", self.url.reveal())
    }

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let Some(token) = &self.token else { return request };
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", token.reveal())) else {
            // Alertmanager's own refusal tells it.
            return request;
        };
        bearer.set_sensitive(true);
        request.header(AUTHORIZATION, bearer)
    }
}

/// An alert that ends then, and did not begin later than now.
fn ending(alert: &Value, ends: &str, now_ms: i64) -> Value {
    let mut alert = alert.clone();
    alert["endsAt"] = ends.into();
    let began = alert["startsAt"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if began.is_none_or(|began| began.as_millisecond() > now_ms) {
        alert["startsAt"] = rfc3339(now_ms).into();
    }
    alert
}

/// When an alert began: its event time, unless that is none or lies ahead.
fn starts(entry: &Entry, now_ms: i64) -> String {
    let event = Some(entry.event_time_ms).filter(|ms| *ms <= now_ms);
    event.and_then(time).unwrap_or_else(|| rfc3339(now_ms))
}

fn rfc3339(ms: i64) -> String {
    time(ms).unwrap_or_else(|| "1970-01-01T00:00:00Z".into())
}

/// The labels by which Alertmanager knows the alert, and by which it routes and silences.
fn labels(entry: &Entry) -> Map<String, Value> {
    let mut labels: Map<String, Value> = Map::new();
    for (name, value) in Labels::of(entry).iter() {
        labels.insert(label_name(name), value.into());
    }
    labels.entry("alertname").or_insert_with(|| entry.intent.rule.as_str().into());
    // Two alerts of a rule may have the same labels.
    labels.insert("firebell_alert".into(), entry.alert.to_string().into());
    labels
}

/// A name as every version of Alertmanager takes it.
fn label_name(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(fit).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// What people read.
fn annotations(entry: &Entry) -> Value {
    let notification = &entry.notification;
    let mut description = words(&notification.body);
    for (name, value) in &notification.fields {
        if !description.is_empty() {
            description.push('\n');
        }
        description.push_str(&format!("{name}: {}", words(value)));
    }
    json!({
        "summary": notification.title,
        "description": description,
        "record": entry.intent.record.to_string(),
    })
}

/// What Alertmanager says of what it refused, in one line.
fn reason(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let told: String = text.trim().chars().take(REASON_MAX).collect();
    if told.is_empty() { told } else { format!(": {}", told.escape_debug()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::world::entry;
    use crate::ledger::State;
    use crate::notification::{Kind, Severity, Span};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn alertmanager() -> Alertmanager {
        let config = AlertmanagerConfig {
            url: Secret::new("http://127.0.0.1:1"),
            token: None,
            request_timeout: Duration::from_secs(1),
            retry_for: Duration::ZERO,
            resend: Duration::from_secs(60),
        };
        Alertmanager::new(&config, Some("https://firebell.example.com")).unwrap()
    }

    fn told(entry: &Entry) -> Told<'_> {
        Told { entry, before: None, standing: None, now_ms: NOW_MS }
    }

    #[test]
    fn an_open_alert_holds_for_four_resends_and_is_told_again() {
        let mut fire = entry(1, "alertmanager:a", Kind::Fire, Some("k"));
        fire.event_time_ms = NOW_MS - 5_000;
        fire.notification.labels = vec![("host.name".into(), "rpi-03".into())];
        fire.notification.body = vec![Span::Text("words".into())];
        fire.notification.fields = vec![("from".into(), vec![Span::Code("1.2.3.4".into())])];
        let (alerts, standing) = alertmanager().alerts(&told(&fire));
        let alert = &alerts[0];
        assert_eq!(alert["startsAt"], "2023-11-14T22:13:15Z");
        assert_eq!(alert["endsAt"], "2023-11-14T22:17:20Z");
        assert_eq!(alert["generatorURL"], "https://firebell.example.com/host");
        assert_eq!(alert["annotations"]["description"], "words\nfrom: 1.2.3.4");
        assert_eq!(
            alert["labels"],
            json!({
                "alertname": "invalid-user", "rule": "invalid-user", "severity": "warning",
                "topic": "SYSLOG", "channel": "alertmanager:a", "host_name": "rpi-03",
                "firebell_alert": fire.alert.to_string(),
            })
        );
        let standing = standing.unwrap();
        assert_eq!(standing.get("endsAt"), None);
        assert_eq!(standing["labels"], alert["labels"]);
    }

    #[test]
    fn a_resolve_ends_what_was_told_by_its_labels_and_a_worse_one_takes_its_place() {
        let mut fire = entry(1, "alertmanager:a", Kind::Fire, Some("k"));
        let (_, standing) = alertmanager().alerts(&told(&fire));
        fire.notification.kind = Kind::Update;
        fire.notification.severity = Severity::Critical;
        let standing = standing.as_ref();
        let (alerts, worse) = alertmanager().alerts(&Told { standing, ..told(&fire) });
        let ends: Vec<_> = alerts.iter().map(|alert| &alert["endsAt"]).collect();
        assert_eq!(ends, ["2023-11-14T22:17:20Z", "2023-11-14T22:13:20Z"]);
        let severities: Vec<_> = alerts.iter().map(|alert| &alert["labels"]["severity"]).collect();
        assert_eq!(severities, ["critical", "warning"]);
        fire.notification.kind = Kind::Resolve;
        fire.notification.severity = Severity::Info;
        let standing = worse.as_ref();
        let (alerts, standing) = alertmanager().alerts(&Told { standing, ..told(&fire) });
        assert_eq!((alerts.len(), standing), (1, None));
        assert_eq!(alerts[0]["labels"]["severity"], "critical");
        assert_eq!(alerts[0]["endsAt"], "2023-11-14T22:13:20Z");
    }

    #[test]
    fn an_event_and_what_was_resolved_are_not_told_again() {
        let event = entry(1, "alertmanager:a", Kind::Fire, None);
        assert_eq!(alertmanager().alerts(&told(&event)).1, None);
        let update = entry(1, "alertmanager:a", Kind::Update, Some("k"));
        let before = Some(State::Resolved);
        let (alerts, standing) = alertmanager().alerts(&Told { before, ..told(&update) });
        assert_eq!((alerts[0]["endsAt"].as_str(), standing), (Some("2023-11-14T22:13:20Z"), None));
    }

    #[test]
    fn no_alert_begins_after_now() {
        for ms in [-1, NOW_MS + 1, i64::MAX] {
            let mut fire = entry(1, "alertmanager:a", Kind::Fire, None);
            fire.event_time_ms = ms;
            let (alerts, _) = alertmanager().alerts(&told(&fire));
            assert_eq!(alerts[0]["startsAt"], "2023-11-14T22:13:20Z");
        }
    }

    #[test]
    fn names_of_labels_fit_every_version() {
        let names = ["host", "a.b", "9x", "störung", "_ok"].map(label_name);
        assert_eq!(names, ["host", "a_b", "_9x", "st_rung", "_ok"]);
    }
}
