//! Counts records by host, as eight bytes under `count/HOST`, and says `v2 HOST N`. It reads what
//! `migrates_v1` left; with `[config] refuse = true` it does not, and with `refuse_host` where that host is
//! in it. With `trap = true` it takes the state over and fails on every record.

use firebell_guests::{Config, Effects, Notification, Record, Rule, Subscription};
use firebell_rule::{Entries, State};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MigratesV2 {
    #[serde(default)]
    refuse: bool,
    refuse_host: Option<String>,
    #[serde(default)]
    trap: bool,
}

impl Rule for MigratesV2 {
    fn new(config: Config) -> Result<Self, String> {
        config.parse()
    }

    fn subscribe(&self) -> Subscription {
        Subscription::new().text("host", "/host")
    }

    fn state(&self) -> State {
        State::new(2)
    }

    fn record(&self, record: &Record<'_>, out: &mut Effects) {
        let host = record.text("host").unwrap_or_default();
        let key = format!("count/{host}");
        let seen = out.get(&key).and_then(|seen| seen.try_into().ok());
        let count = seen.map_or(0, u64::from_le_bytes) + 1;
        out.put(&key, count.to_le_bytes(), None);
        assert!(!self.trap, "count {count} is one too many");
        out.notify(Notification::fire(format!("v2 {host} {count}")));
    }

    fn migrate(&self, from: u32, entries: Entries) -> Result<Entries, String> {
        let is_refused = |host: &[u8]| Some(host) == self.refuse_host.as_deref().map(str::as_bytes);
        if self.refuse || from != 1 || entries.iter().any(|(host, _)| is_refused(host)) {
            return Err(format!("version {from} can't be read"));
        }
        let entry = |(host, count): (Vec<u8>, Vec<u8>)| {
            let count: Option<u64> = str::from_utf8(&count).ok()?.parse().ok();
            Some(([b"count/", &*host].concat(), count?.to_le_bytes().to_vec()))
        };
        let entries: Option<Entries> = entries.into_iter().map(entry).collect();
        entries.ok_or_else(|| "a count is no number".into())
    }
}

firebell_guests::export!(MigratesV2);
