//! An address that takes JSON, signed when there is a secret.

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::document::{document, key};
use super::{Answer, Told, refusal, signature};
use crate::config::WebhookConfig;
use crate::delivery::http::{ClientError, client, exchange};
use crate::secret::Secret;

/// The same at every attempt at the same news: a receiver that has seen it needs no second one.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Seconds since the Unix epoch at which this attempt began.
const TIMESTAMP: HeaderName = HeaderName::from_static("x-firebell-timestamp");
/// See [`signature`].
const SIGNATURE: HeaderName = HeaderName::from_static("x-firebell-signature");

/// A webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    http: reqwest::Client,
    url: Secret,
    secret: Option<Secret>,
    group: String,
}

impl Webhook {
    /// A webhook of a host of this group.
    pub(super) fn new(config: &WebhookConfig, group: &str) -> Result<Self, ClientError> {
        let http = client(config.url.reveal(), config.request_timeout)?;
        let (url, secret) = (config.url.clone(), config.secret.clone());
        Ok(Self { http, url, secret, group: group.to_owned() })
    }

    /// Sends the document once.
    pub(super) async fn tell(&self, name: &str, told: Told<'_>) -> Answer {
        let body = document(&told, name, &self.group).to_string();
        let seconds = told.now_ms.div_euclid(1_000);
        let mut request = self
            .http
            .post(self.url.reveal())
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, key(told.entry, name))
            .header(TIMESTAMP, HeaderValue::from(seconds));
        if let Some(secret) = &self.secret {
            let signed = signature(secret.reveal().as_bytes(), seconds, body.as_bytes());
            request = request.header(SIGNATURE, signed);
        }
        let exchanged = exchange(request.body(body)).await;
        refusal(exchanged).unwrap_or(Answer::Taken { standing: None })
    }
}
