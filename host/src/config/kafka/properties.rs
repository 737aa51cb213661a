//! `[kafka.properties]`: handed to librdkafka, which is asked whether it takes them.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka_sys::types::RDKafkaConfRes;
use toml::de::DeValue;

use super::login;
use crate::config::Context;
use crate::config::reader::Table;
use crate::config::secrets::{self, NoSecret};
use crate::nearest::nearest;
use crate::secret::Secret;

/// Properties of librdkafka that are ours, and the cure.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "write it as `bootstrap_servers` under [kafka]"),
    ("metadata.broker.list", "write it as `bootstrap_servers` under [kafka]"),
    ("group.id", "write it as `group_id` under [kafka]"),
    ("auto.offset.reset", "write it as `auto_offset_reset` under [kafka]"),
    ("group.instance.id", "write it as `instance_id` under [kafka]"),
    ("transactional.id", "leave it out: it is made of `group_id` and `instance_id`"),
    ("enable.auto.commit", "leave it out: offsets are committed with their effects"),
    ("enable.auto.offset.store", "leave it out: offsets are committed with their effects"),
    ("enable.idempotence", "leave it out: producers are transactional"),
    ("isolation.level", "leave it out: only committed records are read"),
    ("partition.assignment.strategy", "leave it out: it is cooperative-sticky"),
    ("enable.partition.eof", "leave it out: the host needs it as it is"),
];

/// Properties of somebody who means to log in.
const LOGIN: &[&str] = &["sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"];

/// Properties that operators set: a slip finds the nearest.
const COMMON: &[&str] = &[
    "client.rack",
    "compression.type",
    "enable.ssl.certificate.verification",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "max.poll.interval.ms",
    "message.max.bytes",
    "metadata.max.age.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "transaction.timeout.ms",
];

/// `[kafka.properties]`: librdkafka's own, a secret as `{ env = "NAME" }` or `{ file = "PATH" }`.
/// `has_tokens` = there is `[kafka.oauthbearer]`, which chooses a protocol where none is chosen here.
pub(super) fn read(
    table: Table<'_, '_>,
    context: Context<'_>,
    has_tokens: bool,
) -> BTreeMap<String, Secret> {
    let mut properties = BTreeMap::new();
    for (name, value) in table.entries() {
        if let Some((_, cure)) = OURS.iter().find(|(ours, _)| *ours == name) {
            table.problem(name, "is set by Firebell itself", *cure);
            continue;
        }
        match read_value(&table, name, value, context) {
            Ok(Some((secret, shown))) => {
                if let Err(error) = accepted(name, &secret, shown) {
                    table.problem(name, error.message, error.cure);
                }
                properties.insert(name.into(), secret);
            }
            Ok(None) => {}
            Err(error) => table.problem(name, error.message, error.cure),
        }
    }
    let protocol = properties.get("security.protocol").map(Secret::reveal);
    let is_used = protocol.map_or(has_tokens, is_of_sasl);
    let idle = LOGIN.iter().find(|name| properties.contains_key(**name) && !is_used);
    if let Some(name) = idle {
        let protocol = protocol.unwrap_or("plaintext");
        let message = format!("is not used with security.protocol {protocol}: nobody logs in");
        let cure = "write \"security.protocol\" = \"SASL_SSL\", or \"SASL_PLAINTEXT\" where the \
                    network may see the password";
        table.problem(name, message, cure);
    }
    login::check(&table, &properties, has_tokens, context);
    properties
}

/// Whether clients log in under a protocol.
pub(super) fn is_of_sasl(protocol: &str) -> bool {
    protocol.to_ascii_lowercase().starts_with("sasl_")
}

/// A property's value, and whether the file shows it; `None` = it has not the right type.
fn read_value(
    table: &Table<'_, '_>,
    name: &str,
    value: &toml::Spanned<DeValue<'_>>,
    context: Context<'_>,
) -> Result<Option<(Secret, bool)>, NoSecret> {
    let shown = |text: &str| Ok(Some((Secret::new(text), true)));
    let hidden = |secret| Some((secret, false));
    match value.get_ref() {
        DeValue::String(text) => shown(text),
        DeValue::Integer(digits) => shown(digits.as_str()),
        DeValue::Float(digits) => shown(digits.as_str()),
        DeValue::Boolean(truth) => shown(&truth.to_string()),
        DeValue::Table(place) => {
            let text = |key| place.get(key).and_then(|value| value.get_ref().as_str());
            match (text("env"), text("file"), place.len()) {
                (Some(variable), None, 1) => secrets::from_variable(variable, context).map(hidden),
                (None, Some(file), 1) => {
                    secrets::from_file(file, context).map(|(_, secret)| hidden(secret))
                }
                _ => Err(NoSecret {
                    message: "does not say where its value is".into(),
                    cure: "write { env = \"NAME\" } or { file = \"PATH\" }; a name with points \
                           stands in quotes: \"sasl.password\" = …"
                        .into(),
                }),
            }
        }
        DeValue::Datetime(_) | DeValue::Array(_) => {
            let expected = "a text, or { env = \"NAME\" }, or { file = \"PATH\" }";
            table.wrong_type(name, expected, value);
            Ok(None)
        }
    }
}

/// Asks librdkafka whether it knows a property and takes its value. Its own errors repeat the value,
/// so that they are only shown when the file shows it as well.
fn accepted(name: &str, value: &Secret, shown: bool) -> Result<(), NoSecret> {
    let mut config = ClientConfig::new();
    config.set(name, value.reveal());
    let Err(KafkaError::ClientConfig(result, description, ..)) = config.create_native_config()
    else {
        return Ok(());
    };
    if result == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN {
        let cure = match nearest(name, COMMON.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "its names are in librdkafka's CONFIGURATION.md".into(),
        };
        return Err(NoSecret { message: "librdkafka knows no such property".into(), cure });
    }
    let message = match shown {
        true => format!("librdkafka refuses it: {description}"),
        false => "librdkafka refuses the value that is there".into(),
    };
    Err(NoSecret { message, cure: "its values are in librdkafka's CONFIGURATION.md".into() })
}
