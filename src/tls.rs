//! TLS to a server: whom to trust, and what was wrong with a connection, in words, and what to do.

use rustls::CertificateError::{
    Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
    NotValidYetContext, UnknownIssuer,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::error::Error as StdError;
use std::path::Path;

/// The authorities in a file of PEM.
///
/// # Errors
/// When it cannot be read, or has no certificate.
pub fn of_file(path: &Path) -> Result<RootCertStore, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let pem = std::fs::read(path)
        .map_err(|error| wrong(format!("cannot read: {}", crate::error::words(error))))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("no PEM: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong(
            "no certificate in it, which begins with -----BEGIN CERTIFICATE-----".into(),
        ));
    }
    Ok(roots)
}

/// What TLS was stopped by, if an error is of TLS at all; `authorities` is the option that names a file
/// with those that are trusted.
pub fn why(error: &(dyn StdError + 'static), authorities: &str) -> Option<String> {
    Some(match find(error)? {
        rustls::Error::InvalidCertificate(why) => match why {
            UnknownIssuer => format!(
                "nobody who is trusted here has signed the server's certificate: name who has with \
                 {authorities}"
            ),
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                "the server's certificate is not valid today: it has expired, or the clock of this \
                 machine is wrong"
                    .to_owned()
            }
            NotValidForName | NotValidForNameContext { .. } => {
                "the server's certificate is for another name than the URL has".to_owned()
            }
            other => format!("the server's certificate is not accepted: {other}"),
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS at this port".to_owned(),
        other => format!("no TLS: {other}"),
    })
}

/// The error of TLS among the causes of another one; an I/O error has its own inside.
fn find<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        cause = match this.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => this.source(),
        };
    }
    None
}
