//! Records as the seed's sources write them.

use serde_json::json;

use crate::kafka::Outgoing;

/// A line of sshd on a host, in the shape that the seed's connector (kafka-connect-syslog) writes.
#[derive(Debug, Clone)]
pub struct Syslog<'a> {
    /// The host that sent it.
    pub host: &'a str,
    /// What sshd said.
    pub line: &'a str,
    /// When, in milliseconds since the Unix epoch.
    pub date_ms: i64,
}

impl Syslog<'_> {
    /// The value: JSON with the connector's field names.
    pub fn json(&self) -> serde_json::Value {
        let (host, line) = (self.host, self.line);
        json!({
            "date": self.date_ms,
            "facility": 4,
            "host": host,
            "level": 6,
            "message": format!("{host} sshd[24150]: {line}"),
            "charset": "UTF-8",
            "remote_address": "/127.0.0.1:34003",
            "hostname": "127.0.0.1",
        })
    }

    /// The record; its timestamp is the time of ingest, here that of the line.
    pub fn record(&self) -> Outgoing {
        Outgoing::value(self.json().to_string())
            .key(r#"{"remote_address":"/127.0.0.1:34003"}"#)
            .timestamp_ms(self.date_ms)
    }
}

/// 2018-03-04 15:14:24 UTC: the seed's own moment.
pub const SEED_MS: i64 = 1_520_176_464_000;

/// Somebody tried `user` on `host`.
pub fn invalid_user(host: &str, user: &str, date_ms: i64) -> Outgoing {
    let line = format!("Invalid user {user} from 192.168.42.42");
    Syslog { host, line: &line, date_ms }.record()
}

/// A line that no rule of the seed wants.
pub fn accepted(host: &str, user: &str, date_ms: i64) -> Outgoing {
    let line = format!("Accepted publickey for {user} from 192.168.42.42 port 51514 ssh2");
    Syslog { host, line: &line, date_ms }.record()
}
