//! A port of a broker that asks its clients for more than to connect.

/// One port for clients, with its security.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// `SSL`, `SASL_SSL` or `SASL_PLAINTEXT`.
    pub protocol: &'static str,
    /// Kafka's name of the SASL mechanism, when there is one.
    pub mechanism: Option<&'static str>,
    /// Its properties, without `listener.name.NAME.` before them.
    pub properties: Vec<(String, String)>,
}

impl Listener {
    /// Its lines of `server.properties`.
    pub(super) fn lines(&self) -> Vec<String> {
        let name = self.name.to_ascii_lowercase();
        let mechanism = self.mechanism.map(|mechanism| ("sasl.enabled.mechanisms", mechanism));
        let more = self.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let all = mechanism.into_iter().chain(more);
        all.map(|(key, value)| format!("listener.name.{name}.{key}={value}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_a_listener_bear_its_name() {
        let properties = vec![("scram-sha-512.sasl.jaas.config".to_owned(), "x".to_owned())];
        let mechanism = Some("SCRAM-SHA-512");
        let listener =
            Listener { name: "SCRAM".into(), protocol: "SASL_SSL", mechanism, properties };
        assert_eq!(
            listener.lines(),
            [
                "listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512\n",
                "listener.name.scram.scram-sha-512.sasl.jaas.config=x\n",
            ]
        );
    }
}
