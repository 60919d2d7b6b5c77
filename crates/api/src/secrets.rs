//! Sealing of secrets at rest: AES-256-GCM under the server's master key.

use aes_gcm::aead::{Aead, KeyInit, Nonce, Payload};
use aes_gcm::{Aes256Gcm, Key};
use feitian_base::{Error, Kind, Result, id};

const NONCE_BYTES: usize = 12;

/// Seals and opens secrets. What it writes can be read only with the same master key and under the same name.
#[derive(Clone)]
pub struct Secrets {
    cipher: Aes256Gcm,
}

/// A secret in clear. It is overwritten when dropped and never printed.
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text; an error when it is not UTF-8.
    pub fn as_str(&self) -> Result<&str> {
        std::str::from_utf8(&self.0).map_err(|_| corrupt("the opened secret is not text"))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without a reader the compiler may leave out the writes above.
        std::hint::black_box(&self.0);
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secrets {
    /// `master` is the content of the master key file.
    pub fn new(master: &[u8; 32]) -> Self {
        Self { cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(*master)) }
    }

    /// The sealed form of `secret`: a random nonce of 12 bytes, then the ciphertext with its tag.
    ///
    /// `name` (an access id, a setting's key) is authenticated with it: a sealed secret that is moved to another row does
    /// not open there.
    pub fn seal(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = id::random_bytes();
        let body = self
            .cipher
            .encrypt(&Nonce::<Aes256Gcm>::from(nonce), Payload { msg: secret, aad: name.as_bytes() })
            .expect("AES-GCM takes messages of this size");
        [nonce.as_slice(), &body].concat()
    }

    /// Opens what [`Secrets::seal`] wrote under the same `name`. [`Kind::Corrupt`] when it does not open.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Secret> {
        let failed =
            || corrupt(format!("the sealed secret of '{name}' does not open: wrong master key or damaged row"));
        let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(failed)?;
        let payload = Payload { msg: body, aad: name.as_bytes() };
        self.cipher.decrypt(&Nonce::<Aes256Gcm>::from(*nonce), payload).map(Secret).map_err(|_| failed())
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "InternalServerError", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_under_its_name_and_key() {
        let secrets = Secrets::new(&[7; 32]);
        let sealed = secrets.seal("AK1", b"s3cret");
        assert_eq!(secrets.open("AK1", &sealed).unwrap().as_bytes(), b"s3cret");
        assert_ne!(sealed, secrets.seal("AK1", b"s3cret"), "the nonce is random");
        for (keys, name, bytes) in [
            (&secrets, "AK2", sealed.clone()),
            (&Secrets::new(&[8; 32]), "AK1", sealed.clone()),
            (&secrets, "AK1", sealed[..11].to_vec()),
            (&secrets, "AK1", [&sealed[..sealed.len() - 1], &[sealed[sealed.len() - 1] ^ 1]].concat()),
        ] {
            assert_eq!(keys.open(name, &bytes).unwrap_err().kind(), Kind::Corrupt);
        }
    }
}
