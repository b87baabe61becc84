//! The certificates of the embedded broker: an authority that lasts as long as the state, and a certificate that is made with every start.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use propeller_embed::broker::TlsListener;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    UpError,
    state::{State, private_directory, replace},
};
use crate::args::MqttArgs;

/// Why certificates can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file of them.
    #[error("can't read or write it")]
    File(#[from] io::Error),
    /// What is there isn't one. Devices trust it, so it isn't made anew by itself.
    #[error(
        "the authority in it is damaged: put a copy of the files back, or move them away; without them, every device needs \
         `propeller proplet add NAME --replace` and the new file"
    )]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
    /// One of them.
    #[error("can't make it")]
    Make(#[from] rcgen::Error),
}

/// The listener for devices, and the certificate of the authority that they are to trust.
pub fn listener(args: &MqttArgs, host: &str, state: &State) -> Result<Option<(TlsListener, String)>, UpError> {
    let Some(bind) = args.mqtts_listen else { return Ok(None) };
    let made = files(host, state.path("tls"));
    let (listener, ca) = made.map_err(|source| UpError::Certificate {
        path: state.path("tls"),
        source,
    })?;
    Ok(Some((TlsListener { bind, ..listener }, ca)))
}

fn files(host: &str, folder: PathBuf) -> Result<(TlsListener, String), CertificateError> {
    private_directory(&folder)?;
    let (ca, issuer) = authority(&folder)?;
    let key = KeyPair::generate()?;
    let names = [host, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, host);
    let certificate = params.signed_by(&key, &issuer)?;
    let listener = TlsListener {
        bind: ([127, 0, 0, 1], 0).into(),
        certificate: folder.join("broker.pem"),
        key: folder.join("broker-key.pem"),
    };
    replace(&listener.certificate, certificate.pem().as_bytes())?;
    replace(&listener.key, key.serialize_pem().as_bytes())?;
    Ok((listener, ca))
}

/// Its key is written last, so that where there is a key, devices may know the certificate.
fn authority(folder: &Path) -> Result<(String, Issuer<'static, KeyPair>), CertificateError> {
    let (certificate_path, key_path) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "propeller up");
    // Whatever is there and can't be used is told. Another authority would lock every device out.
    let read = |path: &Path| fs::read_to_string(path).map_err(unreadable);
    if key_path.exists() {
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(damaged)?;
        let certificate = read(&certificate_path)?;
        CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(damaged)?;
        return Ok((certificate, Issuer::new(params, key)));
    }
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    replace(&certificate_path, certificate.as_bytes())?;
    replace(&key_path, key.serialize_pem().as_bytes())?;
    Ok((certificate, Issuer::new(params, key)))
}

fn unreadable(error: io::Error) -> CertificateError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData => damaged(error),
        _ => error.into(),
    }
}

fn damaged(why: impl Error + Send + Sync + 'static) -> CertificateError {
    CertificateError::Damaged(why.into())
}
