//! HTTPS in front of a stand-in that speaks HTTP, whose handshakes fail as they are told to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// What becomes of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// It succeeds, with a certificate of an issuer that is trusted.
    Good,
    /// The certificate is of an issuer that nobody knows.
    Untrusted,
    /// The other side does not speak TLS.
    Broken,
}

/// A running front; ends when dropped.
#[derive(Debug)]
pub struct TlsFront {
    shared: Arc<Shared>,
    port: u16,
    dir: TempDir,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Shared {
    handshake: Mutex<Handshake>,
    /// Connections that came.
    connections: AtomicUsize,
}

impl TlsFront {
    /// Starts one in front of what listens there.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(behind: SocketAddr, handshake: Handshake) -> Self {
        let dir = tempfile::Builder::new().prefix("firebell-tls-").tempdir().unwrap();
        let (good, issuer) = certified("known");
        let (untrusted, _) = certified("stranger");
        std::fs::write(dir.path().join("issuer.pem"), issuer).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = AtomicUsize::new(0);
        let shared = Arc::new(Shared { handshake: Mutex::new(handshake), connections });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::AcqRel);
                let handshake = *serving.handshake.lock().unwrap_or_else(PoisonError::into_inner);
                let acceptor = match handshake {
                    Handshake::Good => Some(good.clone()),
                    Handshake::Untrusted => Some(untrusted.clone()),
                    Handshake::Broken => None,
                };
                tokio::spawn(serve(stream, acceptor, behind));
            }
        });
        Self { shared, port, dir, _runtime: runtime }
    }

    /// Its address, without a slash at its end.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The PEM file of the issuer that is to be trusted.
    pub fn issuer(&self) -> PathBuf {
        self.dir.path().join("issuer.pem")
    }

    /// What becomes of handshakes from now on.
    pub fn set(&self, handshake: Handshake) {
        *self.shared.handshake.lock().unwrap_or_else(PoisonError::into_inner) = handshake;
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }
}

/// Hands what comes on, when there is a handshake; what goes wrong is what is wanted.
async fn serve(mut stream: TcpStream, acceptor: Option<TlsAcceptor>, behind: SocketAddr) {
    let Some(acceptor) = acceptor else {
        let _read = stream.read(&mut [0; 1_024]).await.is_ok();
        let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        let _written = stream.write_all(page).await.is_ok();
        return;
    };
    let Ok(mut secured) = acceptor.accept(stream).await else { return };
    let Ok(mut plain) = TcpStream::connect(behind).await else { return };
    let _ended = copy_bidirectional(&mut secured, &mut plain).await.is_ok();
}

/// What accepts with a certificate for `localhost`, and the PEM of its issuer.
fn certified(name: &str) -> (TlsAcceptor, String) {
    let (issuers_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&issuers_key).unwrap().pem();
    let issuer = Issuer::new(params, issuers_key);
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), pem)
}
