//! Configuration files: the same names and rules as the command line's, and errors that say where.

use crate::common;
use crate::common::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, text: &str) -> String {
        let path = self.path("trunk.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// The message, without the directory of the file.
fn wrong(text: &str) -> String {
    let desk = Desk::new();
    let file = desk.file(text);
    let (code, stdout, stderr) = run(&["check-config", &file]);
    assert_eq!((code, common::text(&stdout)), (1, String::new()), "{text}: {stderr}");
    let (code, stdout, said) = run(&["--config", &file]);
    assert_eq!((code, common::text(&stdout)), (2, String::new()), "{text}: {said}");
    assert_eq!(stderr, said, "both say the same");
    let dir = format!("{}/", desk.0.path().display());
    stderr.strip_prefix("serialshark: ").unwrap().replace(&dir, "")
}

#[test]
fn a_file_is_as_good_as_a_command_line() {
    let desk = Desk::new();
    let out = desk.path("out.pcapng");
    let file = desk.file(&format!(
        "# a trunk\nport = \"sim:mstp\"\nwrite = ['{}']\ncount = 7\nbaud = 76_800\nquiet = 1\n",
        out.display()
    ));
    let (code, stdout, stderr) = run(&["--config", &file]);
    assert_eq!((code, stdout.len(), stderr.as_str()), (0, 0, ""));
    let capture = std::fs::read(&out).unwrap();
    let packets = tshark(&["-r", "-"], &capture);
    assert!(packets.is_none_or(|packets| packets.lines().count() == 7));

    let (code, stdout, stderr) = run(&["check-config", &file]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let says = format!(
        "{file}: ok: reads mstp from sim:mstp at 76800 baud; writes file {}\n",
        out.display()
    );
    assert_eq!(text(&stdout), says);
}

#[cfg(feature = "mqtt")]
#[test]
fn a_file_that_is_looked_at_says_whom_it_tells_and_no_password() {
    let desk = Desk::new();
    let file = desk.file("port = 'sim:mstp'\nmqtt = 'mqtt://me:s3cret@192.0.2.1/a'\nfifo = 'f'\n");
    let (code, stdout, stderr) = run(&["check-config", &file]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        text(&stdout).ends_with("writes FIFO f; tells mqtt://192.0.2.1:1883/a\n"),
        "{stdout:?}"
    );
}

#[test]
fn the_command_line_wins_over_the_file() {
    let desk = Desk::new();
    let out = desk.path("out.pcap");
    let file = desk.file(&format!(
        "ports = ['sim:riot', 'tcp:192.0.2.1:99']\nwrite = '{}'\ncount = 7\nquiet = 2\n",
        out.display()
    ));
    let (code, stdout, stderr) =
        run(&["-v", "sim:mstp", "-c", "3", "--config", &file, "--write", "-"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(pcap_records(&stdout).len(), 3);
    assert!(!out.exists());
    for key in ["ports", "write", "count", "quiet"] {
        let says = format!("{file}: {key}: the command line wins");
        assert!(stderr.contains(&says), "{key}: {stderr}");
    }
    assert!(stderr.contains("reading mstp"), "-v wins over quiet: {stderr}");
}

#[test]
fn what_is_no_toml_is_shown_with_its_line() {
    let said = wrong("port = 'sim:mstp'\n\nbaud = fast\n");
    assert!(said.starts_with("trunk.toml:3: "), "{said}");
    assert!(said.contains("\n  hint: ") && said.ends_with("here it is: baud = fast\n"), "{said}");
    let said = wrong("port = 'sim:mstp'\nport = 'sim:riot'\n");
    assert!(said.starts_with("trunk.toml:2: duplicate key"), "{said}");
    let said = wrong("port = 'sim:mstp\n");
    assert!(said.starts_with("trunk.toml:1: ") && said.lines().count() == 2, "{said}");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let said = wrong("port = 'sim:mstp'\nbuad = 38400\n");
    assert_eq!(said, "trunk.toml:2: unknown key: buad\n  hint: did you mean baud?\n");
    assert!(wrong("rotate_size = 1").ends_with("did you mean rotate-size?\n"));
    assert!(wrong("prt = 'sim:mstp'").ends_with("did you mean port?\n"));
    for key in ["xyzzy", "b", "help", "''", "\"a b=c\"", "[serial]\nbaud"] {
        let said = wrong(&format!("{key} = 1\n"));
        assert!(said.contains(":1: unknown key: ") && said.contains("  hint: "), "{said}");
    }
    assert!(wrong("config = 'other.toml'").contains("cannot name another"));
}

#[test]
fn a_wrong_type_or_value_names_file_line_and_key() {
    for (line, says) in [
        ("baud = 0", "baud: invalid value '0': takes bits per second, such as 38400, or auto"),
        ("baud = 38.4", "baud: expected a string or a whole number, found the number 38.4"),
        ("baud = [38400]", "baud: expected a string or a whole number, found a list"),
        (
            "protocol = 'can'",
            "protocol: invalid value 'can'\n  hint: one of mstp, modbus, modbus-ascii",
        ),
        ("channel = 27", "channel: invalid value '27': 27 is not in 0..=26"),
        ("force = 'yes'", "force: expected true or false, found the string \"yes\""),
        ("verbose = true", "verbose: expected a number, 0 to 9, found true"),
        ("verbose = 1000", "verbose: expected a number, 0 to 9, found the number 1000"),
        ("tcp = true", "tcp: expected a string, a whole number, or a list of them, found true"),
        ("rotate-size = '1.5'", "rotate-size: invalid value '1.5': expected millions of bytes"),
        ("write = ''", "write: invalid value ''"),
    ] {
        let said = wrong(&format!("# a comment\nport = 'sim:mstp'\n{line}\n"));
        assert!(said.starts_with(&format!("trunk.toml:3: {says}")), "{line}: {said}");
    }
    let said = wrong("port = 'sim:mstp'\nfifo = [\n  'a',\n  1.5,\n]\n");
    assert!(said.starts_with("trunk.toml:4: fifo: expected a list of strings or whole"), "{said}");
    assert!(wrong("port = '--force'").contains("--force is an option, not a port"));
}

#[test]
fn what_options_mean_together_is_the_command_lines_rule() {
    assert!(wrong("channel = 15\nport = 'sim:mstp'").contains("mstp has no channels"));
    assert!(wrong("port = 'sim:mstp'\nrotate-size = 1").contains("need a file"));
    assert!(wrong("").contains("no port given: add port = "));
    let said = wrong("port = 'sim:mstp'\nquiet = 1\nverbose = 1\n");
    assert!(said.starts_with("trunk.toml: ") && said.contains("cannot be used with"), "{said}");
}

#[test]
fn check_config_looks_at_each_file_and_leaves_no_trace() {
    let desk = Desk::new();
    let pty = Pty::new();
    let fifo = desk.path("fifo");
    let good = desk.file(&format!("port = '{}'\nfifo = '{}'\n", pty.path(), fifo.display()));
    // Held by another serialshark, the port could not be opened.
    let program = Program::start([pty.path(), "--fifo", desk.path("other").to_str().unwrap()]);
    program.wait_for("waiting for a reader");
    let (code, stdout, stderr) = run(&["check-config", "/nowhere/a.toml", &good]);
    assert_eq!(code, 1);
    let missing = "/nowhere/a.toml: cannot read: No such file or directory\n  hint: ";
    assert!(stderr.contains(missing), "{stderr}");
    assert!(text(&stdout).contains(&format!("writes FIFO {}", fifo.display())), "{stdout:?}");
    assert!(!Path::new(&fifo).exists());

    for args in [&["check-config"][..], &["check-config", "--all"]] {
        let (code, _, stderr) = run(args);
        assert!(
            code == 2 && stderr.contains("Usage: serialshark check-config <FILE>..."),
            "{stderr}"
        );
    }
    let (code, stdout, _) = run(&["check-config", "--help"]);
    assert!(code == 0 && text(&stdout).contains("Usage: serialshark check-config <FILE>..."));
}

#[test]
fn a_switch_a_list_and_a_number_are_what_would_be_typed() {
    let desk = Desk::new();
    let out = desk.path("out.pcap");
    std::fs::write(&out, "old").unwrap();
    let text = format!("port = 'sim:mstp'\ncount = 0x2\nforce = true\nwrite = '{}'", out.display());
    let (code, _, stderr) = run(&["--config", &desk.file(&text)]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(pcap_records(&std::fs::read(&out).unwrap()).len(), 2);
    let off = desk.file(&text.replace("true", "false"));
    let (code, _, stderr) = run(&["--config", &off]);
    assert!(code == 1 && stderr.contains("exists and is not empty"), "{stderr}");
    let several = desk.file("ports = ['sim:mstp', 'sim:riot=in']\ntcp = [19000, '[::1]:19001']");
    let (code, stdout, stderr) = run(&["check-config", &several]);
    assert_eq!(code, 0, "{stderr}");
    let says = "reads mstp from sim:mstp at 38400 baud, riot from sim:riot at 115200 baud; \
                writes TCP 19000, TCP [::1]:19001\n";
    assert!(common::text(&stdout).ends_with(says), "{stdout:?}");
}

#[test]
fn ports_may_be_tables_with_settings_of_their_own() {
    let desk = Desk::new();
    let file = desk.file(
        "baud = 19200\nwrite = '/tmp/x.pcapng'\n\
         [[port]]\nname = '/dev/a'\nprotocol = 'mstp'\nbaud = 9600\nline = '8E1'\n\
         [[port]]\nname = 'tcp:moxa,7:4001'\ndirection = 'in'\n\
         [[port]]\nname = '/dev/b'\nprotocol = 'pinoccio'\ninit = 'a,b'\n",
    );
    let (code, stdout, stderr) = run(&["check-config", &file]);
    assert_eq!(code, 0, "{stderr}");
    for port in ["/dev/a", "/dev/b"] {
        assert!(stderr.contains(&format!("trunk.toml: {port} is not there now\n")), "{stderr}");
    }
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    let says = "reads mstp from /dev/a at 9600 baud 8E1, mstp from tcp:moxa,7:4001 at 19200 baud, \
                pinoccio from /dev/b at 19200 baud; writes file";
    assert!(text(&stdout).contains(says), "{}", text(&stdout));
    for (table, says) in [
        ("port = [{ name = 'sim:mstp' }, 'sim:riot']\nwrite = 'a.pcapng'", ""),
        ("[[port]]\nbaud = 1", "trunk.toml:1: a port without a name\n  hint: name = "),
        (
            "[[port]]\nname = 'x'\nbauds = 1",
            "trunk.toml:3: unknown key of a port: bauds\n  hint: a port has name, protocol, baud",
        ),
        (
            "[[port]]\nname = 'x'\nbaud = true",
            "trunk.toml:3: baud: expected a string or a whole number, found true",
        ),
        (
            "[[port]]\nname = 'x'\nbaud = 'fast'",
            "x,baud=fast: invalid value 'fast' for '--baud <RATE>'",
        ),
        ("[[port]]\nname = ['x']", "name: expected a string"),
        ("[[write]]\nname = 'x'", "expected a list of strings"),
    ] {
        if says.is_empty() {
            assert_eq!(run(&["check-config", &desk.file(table)]).0, 0);
        } else {
            let said = wrong(table);
            assert!(said.contains(says), "{table}: {said}");
        }
    }
}
