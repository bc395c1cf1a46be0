//! The instance's certificate authority: made once, kept in the data directory, asked for a leaf
//! certificate per host name.
//!
//! Clients trust it by `AWS_CA_BUNDLE` and its kin; sandboxes find it in their own certificate
//! bundle. Only names that belong at the instance get a leaf: AWS's host names, `localhost`, and the
//! names that the operator gives.

use std::{
    collections::HashMap,
    fs, io,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::egress::is_aws_host;

/// More names than this are minted but not remembered.
const CACHED_NAMES: usize = 1024;

/// The authority cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The files.
    #[error("the certificate authority in `{0}` cannot be read or written: {1}")]
    Files(PathBuf, io::Error),
    /// The key or the certificate.
    #[error("the certificate authority is not usable: {0}; remove ca.pem and ca-key.pem to make a new one")]
    Certificate(#[from] rcgen::Error),
    /// The leaf's key.
    #[error("the certificate authority's leaf key is not usable: {0}")]
    Leaf(#[from] rustls::Error),
}

/// Mints leaf certificates by server name.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    extra_names: Vec<String>,
    leaves: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    /// Where the CA certificate lies, for clients.
    pub certificate: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads `dir/ca.pem` and `dir/ca-key.pem`, or makes them (the key with mode 0600).
    ///
    /// # Errors
    /// When the files cannot be read or written, or do not hold a key.
    pub fn open(dir: &Path, extra_names: Vec<String>) -> Result<Self, AuthorityError> {
        let certificate = dir.join("ca.pem");
        let key_file = dir.join("ca-key.pem");
        let at = |path: &Path, error| AuthorityError::Files(path.to_owned(), error);
        let key = if key_file.exists() {
            KeyPair::from_pem(&fs::read_to_string(&key_file).map_err(|e| at(&key_file, e))?)?
        } else {
            let key = KeyPair::generate()?;
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key_file).map_err(|e| at(&key_file, e))?;
            io::Write::write_all(&mut file, key.serialize_pem().as_bytes()).map_err(|e| at(&key_file, e))?;
            file.sync_all().map_err(|e| at(&key_file, e))?;
            key
        };
        let params = authority_params()?;
        if !certificate.exists() {
            let pem = params.clone().self_signed(&key)?.pem();
            fs::write(&certificate, pem).map_err(|e| at(&certificate, e))?;
        }
        Ok(Self {
            issuer: Issuer::new(params, key),
            leaf_key: KeyPair::generate()?,
            extra_names,
            leaves: Mutex::new(HashMap::new()),
            certificate,
        })
    }

    /// The CA's certificate followed by the system's: what `AWS_CA_BUNDLE` points at.
    ///
    /// # Errors
    /// When the CA certificate cannot be read.
    pub fn bundle(&self) -> io::Result<String> {
        let mut bundle = fs::read_to_string(&self.certificate)?;
        for system in ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"] {
            if let Ok(certificates) = fs::read_to_string(system) {
                bundle.push_str(&certificates);
                break;
            }
        }
        Ok(bundle)
    }

    /// A server configuration that answers every name it may with a leaf of its own.
    #[must_use]
    pub fn server_config(self: &Arc<Self>) -> Arc<rustls::ServerConfig> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    fn may_name(&self, name: &str) -> bool {
        is_aws_host(name) || name == "localhost" || name.ends_with(".localhost") || self.extra_names.iter().any(|n| n == name)
    }

    fn leaf(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut leaves = self.leaves.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(leaf) = leaves.get(name) {
            return Some(Arc::clone(leaf));
        }
        let leaf = Arc::new(self.mint(name).ok()?);
        if leaves.len() < CACHED_NAMES {
            leaves.insert(name.to_owned(), Arc::clone(&leaf));
        }
        Some(leaf)
    }

    fn mint(&self, name: &str) -> Result<CertifiedKey, AuthorityError> {
        let mut names = vec![name.to_owned()];
        if name == "localhost" {
            names.extend([IpAddr::from([127, 0, 0, 1]).to_string(), "::1".to_owned()]);
            names.extend(self.extra_names.iter().cloned());
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.chars().take(64).collect::<String>());
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()));
        Ok(CertifiedKey::new(vec![certificate.der().clone()], any_supported_type(&key)?))
    }
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tenantry instance CA");
    Ok(params)
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A client that names an IP address sends no server name.
        let name = hello.server_name().unwrap_or("localhost").to_ascii_lowercase();
        if self.may_name(&name) { self.leaf(&name) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temp() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tenantry-authority-{}-{:?}", std::process::id(), std::thread::current().id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn made_once_and_read_again() {
        let dir = temp();
        let first = Authority::open(&dir, vec![]).unwrap();
        let pem = fs::read_to_string(&first.certificate).unwrap();
        let again = Authority::open(&dir, vec![]).unwrap();
        assert_eq!(pem, fs::read_to_string(&again.certificate).unwrap());
        assert!(again.leaf("sts.us-east-1.amazonaws.com").is_some());
        assert!(again.may_name("bucket.s3.amazonaws.com") && again.may_name("localhost"));
        assert!(!again.may_name("example.com") && !again.may_name("amazonaws.com.example.com"));
        fs::remove_dir_all(dir).unwrap();
    }
}
