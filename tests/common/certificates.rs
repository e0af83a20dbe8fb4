//! Certificates of servers on this machine, made by openssl.
#![allow(dead_code)] // without features nobody asks

use crate::common::tool;
use tempfile::TempDir;

/// Two authorities, `ours.pem` and `strange.pem`, and certificates of the first one for 127.0.0.1 with
/// the key `server.key`: `good.pem`, and `expired.pem` of long ago.
pub struct Certificates(TempDir);

impl Certificates {
    /// `None`, and that is said, where a tool for it is not installed.
    pub fn new() -> Option<Self> {
        let (Some(_), Some(_)) = (tool("openssl"), tool("faketime")) else { return None };
        let dir = TempDir::new().unwrap();
        let made = std::process::Command::new("sh")
            .current_dir(dir.path())
            .args(["-euc", COMMANDS])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(Self(dir))
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

const COMMANDS: &str = "
    for ca in ours strange; do
        openssl req -x509 -newkey rsa:2048 -nodes -keyout $ca.key -out $ca.pem -days 30 -subj /CN=$ca
    done
    openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost
    echo subjectAltName=IP:127.0.0.1 > names
    sign='openssl x509 -req -in server.csr -CA ours.pem -CAkey ours.key -CAcreateserial -days 10'
    $sign -extfile names -out good.pem
    faketime '2001-01-01' $sign -extfile names -out expired.pem
";
