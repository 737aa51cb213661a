//! What Slack and other targets have in common: a client that repeats nothing, and one exchange.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, redirect, retry};

use super::verdict::Reply;
use crate::causes::with_causes;

/// The longest wait for a connection.
pub(super) const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Idle connections are closed before the other side closes them (Slack's edge does): a request on a
/// connection that is just being closed has an unclear end.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer; a page of Slack's history with large messages may have some megabytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The longest wait that is believed: whoever asks for more is asked again.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an HTTP client: {0}")]
pub struct ClientError(String);

/// A client for this address, which follows no redirect and repeats nothing.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn client(url: &str, timeout: Duration) -> Result<Client, ClientError> {
    crate::tls::install_crypto_provider();
    let mut builder = Client::builder()
        .user_agent(concat!("firebell/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_nodelay(true)
        // A redirected POST would be a second one, and perhaps to somebody else.
        .redirect(redirect::Policy::none())
        .retry(retry::never());
    if is_here(url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| ClientError(with_causes(&error.without_url())))
}

/// Whether an address is on this machine, where no proxy belongs.
fn is_here(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Status, `Retry-After` and body of an answer; the body is `None` when it broke off.
pub(super) type Answered = (u16, Option<Duration>, Option<Vec<u8>>);

/// Sends a request and reads the answer.
///
/// # Errors
/// When there is none: what is known of the request, and why, without the address.
pub(super) async fn exchange(
    request: reqwest::RequestBuilder,
) -> Result<Answered, (Reply, String)> {
    let response = request.send().await.map_err(|error| {
        let reply = match () {
            () if distrusts(&error) => Reply::Untrusted,
            () if error.is_connect() || error.is_builder() => Reply::NotSent,
            () => Reply::Broken,
        };
        // The address of a webhook is a secret.
        (reply, with_causes(&error.without_url()))
    })?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after =
        retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let retry_after = retry_after.map(|wait| wait.min(RETRY_AFTER_MAX));
    Ok((status, retry_after, whole(response).await))
}

/// Whether somebody answered whose certificate is not trusted.
fn distrusts(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        // What is in an I/O error is not its source; it may be another one.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match within {
            Some(within) => Some(within),
            None => error.source(),
        };
    }
    false
}

async fn whole(mut response: Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return None;
        }
        bytes.extend_from_slice(&chunk);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_is_found_however_deep_it_is() {
        let certificate = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let deep = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, certificate));
        assert!(distrusts(&deep));
        let other = rustls::Error::General("something else".into());
        assert!(!distrusts(&io::Error::other(other)) && !distrusts(&io::Error::other("text")));
    }
}
