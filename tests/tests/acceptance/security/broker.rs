//! A broker that asks who is there, on a port for each way of saying so.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use firebell_tests::certificates::{Certificates, STORE_PASSWORD};
use xtask::kafka::{Broker, Listener, NEWEST, Options};

/// The user of the host, and their password.
pub(super) const CLIENT: (&str, &str) = ("firebell", "kafka-password-of-the-test");
/// How long a connection lasts on one token, milliseconds.
const SESSION_MS: &str = "4000";

/// The broker and the certificates for it; they go when the last test that uses them has ended.
pub(super) struct Secured {
    pub(super) broker: Broker,
    pub(super) certificates: Certificates,
}

impl Secured {
    /// The one that all tests which run at the same time share.
    pub(super) fn broker() -> Arc<Self> {
        static SHARED: Mutex<Weak<Secured>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secured) = shared.upgrade() {
            return secured;
        }
        let secured = Arc::new(Self::start());
        *shared = Arc::downgrade(&secured);
        secured
    }

    fn start() -> Self {
        let certificates = Certificates::of(&["broker", "client"]);
        let listeners = vec![
            mutual(&certificates),
            sasl(
                &certificates,
                "PLAIN",
                &format!(
                    "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"broker\" password=\"unused\" user_{}=\"{}\";",
                    CLIENT.0, CLIENT.1
                ),
            ),
            scram(&certificates, "SCRAM-SHA-256"),
            scram(&certificates, "SCRAM-SHA-512"),
            oauth(&certificates),
        ];
        let options = Options { listeners, ..Options::default() };
        Self { broker: Broker::start(NEWEST, &options).unwrap(), certificates }
    }
}

/// The broker's side of TLS.
fn tls(certificates: &Certificates) -> Vec<(String, String)> {
    let store = certificates.store("broker").display().to_string();
    [
        ("ssl.keystore.type", "PKCS12"),
        ("ssl.keystore.location", &store),
        ("ssl.keystore.password", STORE_PASSWORD),
        ("ssl.key.password", STORE_PASSWORD),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn mutual(certificates: &Certificates) -> Listener {
    let mut properties = tls(certificates);
    let trusted = certificates.certificate("client").display().to_string();
    for (name, value) in [
        ("ssl.client.auth", "required"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &trusted),
    ] {
        properties.push((name.to_owned(), value.to_owned()));
    }
    Listener { name: "MUTUAL".into(), protocol: "SSL", mechanism: None, properties }
}

fn sasl(certificates: &Certificates, mechanism: &'static str, login: &str) -> Listener {
    let mut properties = tls(certificates);
    let prefix = mechanism.to_ascii_lowercase();
    properties.push((format!("{prefix}.sasl.jaas.config"), login.to_owned()));
    let name = mechanism.to_owned();
    Listener { name, protocol: "SASL_SSL", mechanism: Some(mechanism), properties }
}

fn scram(certificates: &Certificates, mechanism: &'static str) -> Listener {
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    sasl(certificates, mechanism, login)
}

/// Takes Kafka's unsecured tokens: everything is as with signed ones, but for the signature.
fn oauth(certificates: &Certificates) -> Listener {
    let login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";";
    let mut listener = sasl(certificates, "OAUTHBEARER", login);
    listener.name = "OAUTH".into();
    for (name, value) in [
        (
            "oauthbearer.sasl.server.callback.handler.class",
            "org.apache.kafka.common.security.oauthbearer.internals.unsecured.\
             OAuthBearerUnsecuredValidatorCallbackHandler",
        ),
        ("oauthbearer.connections.max.reauth.ms", SESSION_MS),
    ] {
        listener.properties.push((name.to_owned(), value.to_owned()));
    }
    listener
}
