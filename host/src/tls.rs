//! The cryptography of HTTPS: rustls with ring, which needs no more than a C compiler.

/// Makes ring the process's provider; may be called again and again.
pub fn install_crypto_provider() {
    // An error means that it is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default().is_ok();
}
