//! Tokens for SASL OAUTHBEARER: from a file, or by the OAuth 2.0 client-credentials grant
//! (RFC 6749 section 4.4).
//!
//! In: `[kafka.oauthbearer]`. Out: a token with its lifetime. Never: a secret in an error.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::config::OauthConfig;

/// A lifetime for tokens that do not tell theirs; librdkafka asks anew at four fifths of it.
const LIFETIME_UNKNOWN: Duration = Duration::from_secs(300);
/// The longest wait for a token endpoint.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(10);

/// A bearer token.
#[derive(Clone)]
pub struct Token {
    /// The token itself.
    pub value: String,
    /// Who it speaks for: the JWT's `sub`, or the client's id.
    pub principal: String,
    /// When it ends, milliseconds since the Unix epoch.
    pub expires_ms: i64,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read kafka.oauthbearer.token_file `{path}`: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The endpoint did not give a token.
    #[error("kafka.oauthbearer.token_url gave no token: {0}")]
    Endpoint(String),
}

/// Where tokens come from.
pub struct TokenSource {
    config: OauthConfig,
    last: Mutex<Option<Lent>>,
}

/// A token of the endpoint, which several clients may use.
struct Lent {
    token: Token,
    /// Half of its lifetime is over then, milliseconds since the Unix epoch. librdkafka asks for the
    /// next one at four fifths.
    until_ms: i64,
}

/// What a token endpoint answers (RFC 6749 section 5.1).
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
}

/// What is read of a JWT's claims (RFC 7519).
#[derive(Deserialize, Default)]
struct Claims {
    sub: Option<String>,
    exp: Option<i64>,
}

impl TokenSource {
    /// A source of tokens.
    pub fn new(config: OauthConfig) -> Self {
        Self { config, last: Mutex::default() }
    }

    /// A token that has at least half of its lifetime before it. Blocks, for at most ten seconds.
    ///
    /// # Errors
    /// When the file cannot be read or the endpoint gives none.
    pub fn token(&self) -> Result<Token, TokenError> {
        match &self.config {
            OauthConfig::TokenFile(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| TokenError::File { path: path.clone(), source })?;
                Ok(described(text.trim().to_owned(), "firebell", None))
            }
            OauthConfig::ClientCredentials { token_url, client_id, client_secret, scope } => {
                // Held while the endpoint is asked: clients that come meanwhile share its answer.
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let asked_ms = now_ms();
                if let Some(lent) = last.as_ref().filter(|lent| asked_ms < lent.until_ms) {
                    return Ok(lent.token.clone());
                }
                let mut form = vec![("grant_type", "client_credentials")];
                form.extend(scope.as_deref().map(|scope| ("scope", scope)));
                let body = form_encoded(&form);
                let request = request(token_url, client_id, client_secret.reveal(), body);
                // librdkafka asks from a thread of its own; a runtime of our own keeps this free
                // of the question which runtime that thread may be in.
                let answer = std::thread::scope(|scope| {
                    scope
                        .spawn(|| block_on(request))
                        .join()
                        .map_err(|_| endpoint("the request panicked"))
                })??;
                let token = described(answer.access_token, client_id, answer.expires_in);
                let until_ms = asked_ms + token.expires_ms.saturating_sub(asked_ms) / 2;
                *last = Some(Lent { token: token.clone(), until_ms });
                Ok(token)
            }
        }
    }
}

fn endpoint(text: impl ToString) -> TokenError {
    TokenError::Endpoint(text.to_string())
}

fn block_on<T>(future: impl Future<Output = Result<T, TokenError>>) -> Result<T, TokenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(endpoint)?.block_on(future)
}

async fn request(
    url: &str,
    client_id: &str,
    secret: &str,
    body: String,
) -> Result<Answer, TokenError> {
    crate::tls::install_crypto_provider();
    let client = reqwest::Client::builder().timeout(ENDPOINT_TIMEOUT).build().map_err(endpoint)?;
    let request = client
        .post(url)
        .basic_auth(client_id, Some(secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    // The address may carry a secret in its query: errors are shown without it.
    let answer = request.send().await.map_err(|error| endpoint(error.without_url()))?;
    if !answer.status().is_success() {
        return Err(endpoint(format!("it answered {}", answer.status())));
    }
    answer.json().await.map_err(|error| endpoint(error.without_url()))
}

/// `application/x-www-form-urlencoded`.
fn form_encoded(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                    char::from(byte).to_string()
                }
                b' ' => "+".to_owned(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
    pairs.join("&")
}

/// Reads principal and end of a token that is a JWT; others get `expires_in` or five minutes.
fn described(value: String, principal: &str, expires_in: Option<u64>) -> Token {
    let claims = value.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Claims =
        claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let lifetime = expires_in.map_or(LIFETIME_UNKNOWN, Duration::from_secs);
    let expires_ms = match claims.exp {
        Some(seconds) => seconds.saturating_mul(1_000),
        None => now_ms().saturating_add(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX)),
    };
    Token { principal: claims.sub.unwrap_or_else(|| principal.to_owned()), value, expires_ms }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_jwt_tells_its_principal_and_its_end() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"alerts","exp":1795393727}"#);
        let token = described(format!("e30.{claims}.sig"), "firebell", Some(60));
        assert_eq!((token.principal.as_str(), token.expires_ms), ("alerts", 1_795_393_727_000));
        let opaque = described("opaque".into(), "firebell", None);
        assert_eq!(opaque.principal, "firebell");
        assert!(opaque.expires_ms > 0);
    }

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(form_encoded(&[("scope", "a b/ü")]), "scope=a+b%2F%C3%BC");
    }

    /// An endpoint that numbers its tokens, which live for so many seconds.
    fn source(lifetime: u64) -> TokenSource {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let token_url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (mut stream, mut request) = (stream.unwrap(), [0; 4_096]);
                assert!(stream.read(&mut request).unwrap() > 0);
                let body =
                    format!(r#"{{"access_token":"token {number}","expires_in":{lifetime}}}"#);
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                let length = body.len();
                write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
            }
        });
        let (client_id, client_secret) = ("client".to_owned(), Secret::new("secret"));
        let scope = None;
        let config = OauthConfig::ClientCredentials { token_url, client_id, client_secret, scope };
        TokenSource::new(config)
    }

    #[test]
    fn clients_share_a_token_of_which_more_than_half_is_left() {
        let lasting = source(3_600);
        let values = [0; 3].map(|_| lasting.token().map(|token| token.value).unwrap());
        assert_eq!(values, ["token 0"; 3]);
        let ended = source(0);
        let values = [0; 2].map(|_| ended.token().map(|token| token.value).unwrap());
        assert_eq!(values, ["token 0", "token 1"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let source = TokenSource::new(OauthConfig::TokenFile("/nowhere/token".into()));
        let error = source.token().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("/nowhere/token"), "{error}");
    }
}
