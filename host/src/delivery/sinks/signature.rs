//! What proves to a receiver that we sent something, and when: HMAC-SHA256 (RFC 2104). Pure.

use sha2::{Digest, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// The header's value for a body sent at `seconds` since the Unix epoch: `v1=` and the HMAC of
/// `SECONDS.BODY` in hexadecimal digits.
pub fn signature(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    let message = [format!("{seconds}.").as_bytes(), body].concat();
    format!("v1={}", hex(&hmac(secret, &message)))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut key = [0; BLOCK];
    if secret.len() > BLOCK {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let inner = Sha256::new().chain_update(key.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(key.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_of_rfc_4231() {
        // Test cases 1, 2 and 6: a short key, a word, a key that is longer than a block.
        let told = |key: &[u8], message: &[u8]| hex(&hmac(key, message));
        assert_eq!(
            told(&[0x0b; 20], b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            told(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            told(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn the_time_is_signed_with_the_body() {
        let one = signature(b"secret", 1, b"1.body");
        assert!(one.starts_with("v1=") && one.len() == 67);
        assert_ne!(one, signature(b"secret", 2, b"1.body"));
        assert_ne!(one, signature(b"other", 1, b"1.body"));
    }
}
