//! TLS to a broker: rustls as it comes, with the system's authorities or those of a file.

use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// How a broker's certificate is checked: against these authorities, else those of the system. They
/// are read now, so that a renewed file counts from the next connection on.
///
/// # Errors
/// When there are none, with what to do.
pub fn config(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match authorities {
        Some(path) => crate::tls::of_file(path)?,
        None => of_system()?,
    };
    // Not the process's own provider: there is none unless somebody sets it, for all.
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(Arc::new(config))
}

fn of_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Some of a system's may be odd, which is no reason to do without the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this system has no certificate authorities: install ca-certificates, or see \
                    --mqtt-ca"
            .to_owned());
    }
    Ok(roots)
}
