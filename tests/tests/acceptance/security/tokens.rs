//! Tokens as Kafka takes them for tests, and an endpoint that gives them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use firebell_tests::now_ms;
use serde_json::json;

/// Who asks for tokens.
pub(super) const CLIENT_ID: &str = "firebell-client";
/// What the endpoint knows them by.
pub(super) const CLIENT_SECRET: &str = "client secret of the test";
/// How every token here begins: `{"alg":"none"}`.
pub(super) const HEADER: &str = "eyJhbGciOiJub25lIn0";
/// How long a token of the endpoint lives.
const LIFETIME: Duration = Duration::from_secs(6);

/// An unsecured JWS (RFC 7515 appendix A.5).
pub(super) fn unsecured(lifetime: Duration) -> String {
    let now = now_ms() / 1_000;
    let end = now + i64::try_from(lifetime.as_secs()).unwrap();
    let claims = json!({ "sub": "firebell", "iat": now, "exp": end }).to_string();
    format!("{HEADER}.{}.", URL_SAFE_NO_PAD.encode(claims))
}

/// An OAuth 2.0 token endpoint; ends when dropped.
pub(super) struct TokenEndpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    given: AtomicU64,
    refuses: AtomicBool,
    ended: AtomicBool,
}

impl TokenEndpoint {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ended.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(stream) = stream {
                    answer(stream, &serving);
                }
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// How many tokens were given.
    pub(super) fn given(&self) -> u64 {
        self.shared.given.load(Ordering::Acquire)
    }

    /// Whether it answers everybody with 401.
    pub(super) fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::Release);
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the thread.
        drop(TcpStream::connect(self.address));
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) {
    let wanted = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    let request = read_request(&mut stream);
    let known = request.contains(&wanted) && request.contains("grant_type=client_credentials");
    let (status, body) = if known && !shared.refuses.load(Ordering::Acquire) {
        shared.given.fetch_add(1, Ordering::AcqRel);
        let token = unsecured(LIFETIME);
        ("200 OK", json!({ "access_token": token, "expires_in": LIFETIME.as_secs() }).to_string())
    } else {
        ("401 Unauthorized", json!({ "error": "invalid_client" }).to_string())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    // A host that was killed meanwhile does not read its answer.
    let _read = stream.write_all((head + &body).as_bytes()).is_ok();
}

/// Head and body, which is all that comes before the form's end.
fn read_request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (mut request, mut part) = (String::new(), [0; 4_096]);
    while !request.contains("grant_type=client_credentials") {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(count) => request.push_str(&String::from_utf8_lossy(&part[..count])),
        }
    }
    request
}
