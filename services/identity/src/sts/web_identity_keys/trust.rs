//! Which certificates of issuers are believed: those under the system's roots, and those whose chain ends
//! in a certificate that the provider's thumbprints name.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use tenantry_federation::Certificate;
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

/// Where systems keep the certificates that they trust.
const BUNDLES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// The system's roots, read at first use.
#[derive(Default)]
pub(super) struct Roots(OnceLock<Arc<RootCertStore>>);

impl Roots {
    fn get(&self) -> Arc<RootCertStore> {
        Arc::clone(self.0.get_or_init(|| Arc::new(read())))
    }
}

fn read() -> RootCertStore {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let mut store = RootCertStore::empty();
    for path in named.into_iter().chain(BUNDLES.map(PathBuf::from)) {
        if let Ok(certificates) = CertificateDer::pem_file_iter(&path) {
            store.add_parsable_certificates(certificates.filter_map(Result::ok));
        }
        if !store.is_empty() {
            break;
        }
    }
    store
}

/// How a client speaks to an issuer.
pub(super) fn client(roots: &Roots, thumbprints: &[String]) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier { provider: Arc::clone(&provider), roots: roots.get(), thumbprints: thumbprints.to_vec() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    thumbprints: Vec<String>,
}

impl Verifier {
    fn under(
        &self,
        roots: Arc<RootCertStore>,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider)).build().map_err(|_| unknown())?;
        verifier.verify_server_cert(end, chain, name, &[], now)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let by_system = self.under(Arc::clone(&self.roots), end, chain, name, now);
        let top = chain.last().unwrap_or(end);
        if by_system.is_ok() || !self.thumbprints.contains(&Certificate::thumbprint(top)) {
            return by_system;
        }
        // The rest of the chain, the name and the dates are held against it as against any root.
        let mut roots = RootCertStore::empty();
        roots.add(top.clone().into_owned())?;
        self.under(Arc::new(roots), end, chain, name, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
