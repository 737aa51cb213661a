//! Whether what `[kafka.properties]` says of TLS and SASL goes together: librdkafka looks at each property
//! by itself, and tells the rest when it connects, in its own words.

use std::collections::BTreeMap;
use std::path::Path;

use super::properties::is_of_sasl;
use crate::config::Context;
use crate::config::reader::Table;
use crate::nearest::nearest;
use crate::secret::Secret;

/// The mechanisms of SASL in this binary, by the names that librdkafka compares with.
const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// Properties that name a file.
const FILES: &[&str] =
    &["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location"];

/// Looks at the properties together. `has_tokens` = there is `[kafka.oauthbearer]`.
pub(super) fn check(
    table: &Table<'_, '_>,
    properties: &BTreeMap<String, Secret>,
    has_tokens: bool,
    context: Context<'_>,
) {
    let protocol = properties.get("security.protocol").map(Secret::reveal);
    if protocol.map_or(has_tokens, is_of_sasl) {
        check_mechanism(table, properties, has_tokens);
    }
    for name in FILES {
        let Some(path) = properties.get(*name).map(Secret::reveal) else { continue };
        // librdkafka finds the system's certificates by this word.
        let is_there = path == "probe" || Path::new(path).exists();
        if !is_there && !context.environment.assume(format!("file {path}")) {
            // Not which one: it may come from a variable that holds something else.
            let cure = "name a file that this user may read, by its whole path";
            table.problem(name, "names a file that is not there", cure);
        }
    }
}

fn check_mechanism(table: &Table<'_, '_>, properties: &BTreeMap<String, Secret>, has_tokens: bool) {
    let named = ["sasl.mechanism", "sasl.mechanisms"];
    let named = named.iter().find_map(|name| Some((*name, properties.get(*name)?.reveal())));
    let Some((key, mechanism)) = named else {
        if !has_tokens {
            let cure = "write \"sasl.mechanism\" = \"SCRAM-SHA-512\", or \"PLAIN\", as the broker \
                        wants it; for tokens write [kafka.oauthbearer]";
            table.problem(
                "security.protocol",
                "asks for a login, and there is no \"sasl.mechanism\"",
                cure,
            );
        }
        return;
    };
    match mechanism {
        "OAUTHBEARER" if has_tokens => {}
        "OAUTHBEARER" => {
            let cure = "write [kafka.oauthbearer] with token_file, or with token_url, client_id and \
                        client_secret_env";
            table.problem(key, "is OAUTHBEARER, and nothing says where tokens come from", cure);
        }
        _ if has_tokens => {
            let message = "is there, and so is [kafka.oauthbearer]";
            table.problem(key, message, "keep one of the two");
        }
        "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => {
            for name in ["sasl.username", "sasl.password"] {
                if !properties.contains_key(name) && !table.has(name) {
                    let message = format!("is {mechanism}, and there is no \"{name}\"");
                    let cure = match name {
                        "sasl.password" => "write \"sasl.password\" = { env = \"KAFKA_PASSWORD\" }",
                        _ => {
                            "write \"sasl.username\" = \"firebell\", or whatever the broker knows it by"
                        }
                    };
                    table.problem(key, message, cure);
                }
            }
        }
        "GSSAPI" => {
            let message = "is Kerberos, which is not in this binary";
            table.problem(
                key,
                message,
                "use one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER",
            );
        }
        other => {
            let upper = other.to_ascii_uppercase();
            let cure = match nearest(&upper, MECHANISMS.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it is one of {}", MECHANISMS.join(", ")),
            };
            // It may come from a variable that holds something else.
            table.problem(key, "is no mechanism of this binary", cure);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::check;

    const LOGIN: &str = "\"sasl.username\" = \"u\"\n\"sasl.password\" = { env = \"PASSWORD\" }";

    /// One problem of these lines under `[kafka.properties]`.
    fn told(lines: &str, problem: &str) {
        check("kafka.properties", lines, &[&format!("firebell.toml:{problem}")]);
    }

    #[test]
    fn a_login_needs_a_mechanism_that_is_there() {
        told(
            &format!("\"security.protocol\" = \"SASL_SSL\"\n{LOGIN}"),
            "7: kafka.properties.\"security.protocol\": asks for a login, and there is no \"sasl.mechanism\"; write \"sasl.mechanism\" = \"SCRAM-SHA-512\", or \"PLAIN\", as the broker wants it; for tokens write [kafka.oauthbearer]",
        );
        let with = |mechanism: &str, problem: &str| {
            let lines = format!(
                "\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"{mechanism}\"\n{LOGIN}"
            );
            told(&lines, &format!("8: kafka.properties.\"sasl.mechanism\": {problem}"));
        };
        with("scram-sha512", "is no mechanism of this binary; did you mean \"SCRAM-SHA-512\"?");
        with(
            "DIGEST-MD5",
            "is no mechanism of this binary; it is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER",
        );
        with(
            "GSSAPI",
            "is Kerberos, which is not in this binary; use one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER",
        );
        with(
            "OAUTHBEARER",
            "is OAUTHBEARER, and nothing says where tokens come from; write [kafka.oauthbearer] with token_file, or with token_url, client_id and client_secret_env",
        );
    }

    #[test]
    fn a_login_by_name_needs_both_and_goes_with_no_tokens() {
        let plain = "\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"PLAIN\"";
        told(
            &format!("{plain}\n\"sasl.username\" = \"u\""),
            "8: kafka.properties.\"sasl.mechanism\": is PLAIN, and there is no \"sasl.password\"; write \"sasl.password\" = { env = \"KAFKA_PASSWORD\" }",
        );
        let tokens = "[kafka.oauthbearer]\ntoken_url = \"https://id/token\"\nclient_id = \"f\"\nclient_secret_env = \"PASSWORD\"";
        told(
            &format!("{plain}\n{LOGIN}\n{tokens}"),
            "8: kafka.properties.\"sasl.mechanism\": is there, and so is [kafka.oauthbearer]; keep one of the two",
        );
    }

    #[test]
    fn files_of_certificates_are_there() {
        told(
            "\"security.protocol\" = \"SSL\"\n\"ssl.ca.location\" = \"/no/such/ca.pem\"",
            "8: kafka.properties.\"ssl.ca.location\": names a file that is not there; name a file that this user may read, by its whole path",
        );
    }
}
