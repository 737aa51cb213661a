//! `[kafka]`.

use std::time::Duration;

use super::reader::Table;
use super::secrets::{self, Told};
use super::slack::is_http_url;
use super::{Context, KafkaConfig, OauthConfig, OffsetReset};
use crate::secret::Secret;

mod login;
mod properties;

/// How often effects are committed while a backlog is worked off; every 10 ms would cost a third of
/// the throughput.
const COMMIT_INTERVAL_MS_DEFAULT: i64 = 100;

/// Partitions of the outbox and the ledger: so many hosts can deliver side by side.
const INTERNAL_PARTITIONS_DEFAULT: i64 = 4;

/// Letters that Kafka allows a topic's name, less those that we append (`.dead-letters`).
const GROUP_ID_LENGTH_MAX: usize = 200;

/// Threads that evaluate; more than cores do not help.
const WORKERS_MAX: i64 = 512;

/// Reads the section. `http_port` tells processes on one host apart; `None` = there is no page, or on
/// a port that nobody knows before.
pub(super) fn read(
    mut table: Table<'_, '_>,
    context: Context<'_>,
    http_port: Option<u16>,
) -> KafkaConfig {
    let bootstrap_servers = read_servers(&mut table);
    let group_id = table.text("group_id").unwrap_or("firebell").to_owned();
    check_name(&table, "group_id", &group_id, GROUP_ID_LENGTH_MAX);
    let instance_id = match table.text("instance_id") {
        Some(text) => {
            check_name(&table, "instance_id", text, GROUP_ID_LENGTH_MAX);
            text.to_owned()
        }
        None => default_instance_id(&table, &context.environment.hostname, http_port),
    };
    let resets = [("latest", OffsetReset::Latest), ("earliest", OffsetReset::Earliest)];
    let interval = table.whole("commit_interval_ms", 1..=30_000);
    let workers = table.whole("workers", 0..=WORKERS_MAX).unwrap_or(0);
    let partitions = table.whole("internal_partitions", 1..=1_000);
    let config = KafkaConfig {
        bootstrap_servers,
        group_id,
        instance_id,
        auto_offset_reset: table.word("auto_offset_reset", &resets).unwrap_or_default(),
        commit_interval: Duration::from_millis(
            interval.unwrap_or(COMMIT_INTERVAL_MS_DEFAULT).unsigned_abs(),
        ),
        workers: match usize::try_from(workers) {
            Ok(0) | Err(_) => context.environment.cores.max(1),
            Ok(workers) => workers,
        },
        static_membership: table.flag("static_membership").unwrap_or(false),
        internal_partitions: partitions
            .unwrap_or(INTERNAL_PARTITIONS_DEFAULT)
            .try_into()
            .unwrap_or(i32::MAX),
        replication_factor: read_replication_factor(&mut table),
        properties: properties::read(table.table("properties"), context, table.has("oauthbearer")),
        oauthbearer: read_oauthbearer(table.table("oauthbearer"), context),
    };
    table.finish();
    config
}

/// `bootstrap_servers`: HOST:PORT, comma-separated.
fn read_servers(table: &mut Table<'_, '_>) -> String {
    let servers =
        table.required_text("bootstrap_servers", "\"127.0.0.1:9092\"").unwrap_or_default();
    for server in servers.split(',').map(str::trim).filter(|_| !servers.is_empty()) {
        // A listener's name may stand before it, as in Kafka's own files.
        let address = server.split_once("://").map_or(server, |(_, address)| address);
        let valid = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !valid {
            let cure = "write HOST:PORT, several with commas between";
            table.problem("bootstrap_servers", format!("\"{server}\" is not an address"), cure);
        }
    }
    servers.into()
}

/// A name that becomes part of topics' names and transactional ids.
fn check_name(table: &Table<'_, '_>, key: &str, name: &str, length_max: usize) {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.chars().all(legal) || name.len() > length_max || name.starts_with('.') {
        let cure = format!(
            "it becomes part of topic names: letters, digits, `.`, `_` and `-`, {length_max} at most"
        );
        table.problem(key, format!("\"{name}\" cannot be used"), cure);
    }
}

/// `HOSTNAME-PORT`: unique on a host, and the same after a restart. Without a port nothing is both,
/// and two processes of the same id would fence each other for ever.
fn default_instance_id(table: &Table<'_, '_>, hostname: &str, http_port: Option<u16>) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
    let host: String = hostname.chars().take(GROUP_ID_LENGTH_MAX).map(legal).collect();
    let Some(port) = http_port else {
        let message = "is missing, and without a page on a known port ([http] listen) nothing tells \
                       this host from another one on this machine";
        let cure = format!(
            "write instance_id = \"{host}-1\" under [kafka]: another one for each host of the group"
        );
        table.missing("instance_id", message, &cure);
        return host;
    };
    format!("{host}-{port}")
}

/// -1 = the broker's default.
fn read_replication_factor(table: &mut Table<'_, '_>) -> i32 {
    let factor = table.whole("replication_factor", -1..=100).unwrap_or(-1);
    if factor == 0 {
        let cure = "write 1 or more, or -1 for the broker's default";
        table.problem("replication_factor", "0 is out of range", cure);
    }
    factor.try_into().unwrap_or(-1)
}

/// `[kafka.oauthbearer]`: a token's file, or the client-credentials grant.
fn read_oauthbearer(mut table: Table<'_, '_>, context: Context<'_>) -> Option<OauthConfig> {
    if !table.exists() {
        return None;
    }
    let token_file = table.text("token_file");
    let has_url = table.has("token_url");
    let config = if let Some(written) = token_file {
        if has_url {
            let message = "`token_file` and `token_url` are both there";
            table.problem("token_file", message, "keep one of them");
        }
        if let Err(error) = secrets::from_file(written, context) {
            table.problem("token_file", error.message, error.cure);
        }
        for key in ["token_url", "client_id", "scope", "client_secret_env", "client_secret_file"] {
            table.text(key);
        }
        Some(OauthConfig::TokenFile(context.path(written)))
    } else {
        let token_url =
            table.required_text("token_url", "\"https://HOST/oauth2/token\"").unwrap_or("");
        if !token_url.is_empty() && !is_http_url(token_url) {
            let message = format!("\"{token_url}\" is not an http(s) address");
            table.problem("token_url", message, "write the token endpoint's address");
        }
        let client_id = table.required_text("client_id", "\"firebell\"").unwrap_or("").to_owned();
        let told = secrets::told(&mut table, "client_secret_env", "client_secret_file", context);
        if told.is_none() {
            let cure = "write client_secret_env = \"NAME\" or client_secret_file = \"PATH\"";
            table.missing("client_secret_env", "there is no client secret", cure);
        }
        let scope = table.text("scope").map(str::to_owned);
        told.flatten().map(|Told { secret, .. }| OauthConfig::ClientCredentials {
            token_url: token_url.to_owned(),
            client_id,
            client_secret: secret,
            scope,
        })
    };
    table.finish();
    config
}

impl KafkaConfig {
    /// What every Kafka client of this host is given: the servers, `[kafka.properties]`, and for
    /// [`KafkaConfig::oauthbearer`] the mechanism, unless the operator named another.
    pub fn client_properties(&self) -> Vec<(String, Secret)> {
        let mut all = vec![("bootstrap.servers".to_owned(), Secret::new(&*self.bootstrap_servers))];
        if self.oauthbearer.is_some() {
            let own = |names: &[&str]| names.iter().any(|&name| self.properties.contains_key(name));
            if !own(&["sasl.mechanism", "sasl.mechanisms"]) {
                all.push(("sasl.mechanisms".into(), Secret::new("OAUTHBEARER")));
            }
            if !own(&["security.protocol"]) {
                all.push(("security.protocol".into(), Secret::new("SASL_SSL")));
            }
        }
        all.extend(self.properties.iter().map(|(name, value)| (name.clone(), value.clone())));
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, check, environment, parse, problems};
    use crate::config::{Config, OauthConfig};
    use crate::secret::Secret;

    #[test]
    fn without_a_port_of_its_own_a_host_must_be_named() {
        for listen in ["off", "127.0.0.1:0"] {
            let text = format!("{GOOD}[http]\nlisten = \"{listen}\"\n");
            assert_eq!(
                problems(&text),
                [
                    "firebell.toml:1: kafka.instance_id: is missing, and without a page on a known port ([http] listen) nothing tells this host from another one on this machine; write instance_id = \"web-1-1\" under [kafka]: another one for each host of the group"
                ]
            );
            let named = text.replace("[slack]", "instance_id = \"web-1-b\"\n[slack]");
            assert_eq!(parse(&named).unwrap().kafka.instance_id, "web-1-b");
        }
        let text = format!("{GOOD}[http]\nlisten = \"0.0.0.0:80\"\n");
        assert_eq!(parse(&text).unwrap().kafka.instance_id, "web-1-80");
    }

    #[test]
    fn properties_of_librdkafka_are_handed_on_except_ours() {
        let text = GOOD.replace("[slack]", "[kafka.properties]\n\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.password\" = { env = \"PASSWORD\" }\n\"sasl.username\" = \"u\"\n\"socket.keepalive.enable\" = true\n\"fetch.min.bytes\" = 1_000\n\"security.protocol\" = \"SASL_SSL\"\n[slack]");
        let all = parse(&text).unwrap().kafka.client_properties();
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(
            all,
            [
                ("bootstrap.servers", "k:9092"),
                ("fetch.min.bytes", "1000"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.password", "p"),
                ("sasl.username", "u"),
                ("security.protocol", "SASL_SSL"),
                ("socket.keepalive.enable", "true"),
            ]
        );
        check(
            "kafka.properties",
            "\"group.id\" = \"x\"\n\"sasl.password\" = { env = \"NOPE\" }\nsasl.username = \"u\"",
            &[
                "firebell.toml:7: kafka.properties.\"group.id\": is set by Firebell itself; write it as `group_id` under [kafka]",
                "firebell.toml:8: kafka.properties.\"sasl.password\": environment variable NOPE is not set; set it before the start: export NOPE=…",
                "firebell.toml:9: kafka.properties.sasl: does not say where its value is; write { env = \"NAME\" } or { file = \"PATH\" }; a name with points stands in quotes: \"sasl.password\" = …",
            ],
        );
    }

    #[test]
    fn a_password_that_no_protocol_asks_for_is_told() {
        let cure = "write \"security.protocol\" = \"SASL_SSL\", or \"SASL_PLAINTEXT\" where the network may see the password";
        for (line, protocol) in [("", "plaintext"), ("\"security.protocol\" = \"ssl\"\n", "ssl")] {
            let told = format!(
                "firebell.toml:{}: kafka.properties.\"sasl.password\": is not used with security.protocol {protocol}: nobody logs in; {cure}",
                7 + line.len().min(1)
            );
            let lines = format!("{line}\"sasl.password\" = {{ env = \"PASSWORD\" }}");
            check("kafka.properties", &lines, &[&told]);
        }
        let tokens = format!(
            "{GOOD}[kafka.properties]\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n[kafka.oauthbearer]\ntoken_url = \"https://id/token\"\nclient_id = \"f\"\nclient_secret_env = \"PASSWORD\"\n"
        );
        assert!(parse(&tokens).is_ok());
    }

    #[test]
    fn a_property_that_librdkafka_does_not_take_is_told_without_its_secret() {
        check(
            "kafka.properties",
            "\"sasl.pasword\" = { env = \"PASSWORD\" }\n\"security.protocol\" = \"TLS\"\n\"fetch.min.bytes\" = { env = \"TOKEN\" }\n\"a.b\" = 1",
            &[
                "firebell.toml:7: kafka.properties.\"sasl.pasword\": librdkafka knows no such property; did you mean \"sasl.password\"?",
                "firebell.toml:8: kafka.properties.\"security.protocol\": librdkafka refuses it: Invalid value \"TLS\" for configuration property \"security.protocol\"; its values are in librdkafka's CONFIGURATION.md",
                "firebell.toml:9: kafka.properties.\"fetch.min.bytes\": librdkafka refuses the value that is there; its values are in librdkafka's CONFIGURATION.md",
                "firebell.toml:10: kafka.properties.\"a.b\": librdkafka knows no such property; its names are in librdkafka's CONFIGURATION.md",
            ],
        );
    }

    #[test]
    fn oauthbearer_is_a_file_or_the_client_credentials() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "eyJ\n").unwrap();
        let parse = |lines: &str| {
            let text = format!("{GOOD}[kafka.oauthbearer]\n{lines}\n");
            Config::parse(&folder.path().join("f.toml"), &text, &environment())
        };
        let config = parse("token_file = \"token\"").unwrap().kafka;
        assert!(
            matches!(&config.oauthbearer, Some(OauthConfig::TokenFile(path)) if path.ends_with("token"))
        );
        let properties = config.client_properties();
        assert!(properties.contains(&("sasl.mechanisms".into(), Secret::new("OAUTHBEARER"))));
        assert!(properties.contains(&("security.protocol".into(), Secret::new("SASL_SSL"))));
        let config = parse("token_url = \"https://id/token\"\nclient_id = \"f\"\nclient_secret_env = \"PASSWORD\"\nscope = \"kafka\"").unwrap();
        assert!(matches!(config.kafka.oauthbearer, Some(OauthConfig::ClientCredentials { .. })));
        check(
            "kafka.oauthbearer",
            "scope = \"x\"",
            &[
                "firebell.toml:6: kafka.oauthbearer.client_secret_env: there is no client secret; write client_secret_env = \"NAME\" or client_secret_file = \"PATH\"",
                "firebell.toml:6: kafka.oauthbearer.token_url: is missing; write token_url = \"https://HOST/oauth2/token\" under [kafka.oauthbearer]",
                "firebell.toml:6: kafka.oauthbearer.client_id: is missing; write client_id = \"firebell\" under [kafka.oauthbearer]",
            ],
        );
    }
}
