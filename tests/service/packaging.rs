//! What is packaged agrees with the program: manual page, completions, service, README.
//!
//! `BLESS=1 cargo test --test service packaging` writes the manual page, the completions and the README's
//! table of protocols anew.

use crate::common;
use crate::common::*;
use clap::Arg;
use clap_complete::{Shell, generate};
use serialshark::framing::PROTOCOLS;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;

const PAGE: &str = "packaging/serialshark.1";
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "packaging/completions/serialshark.bash"),
    (Shell::Zsh, "packaging/completions/_serialshark"),
    (Shell::Fish, "packaging/completions/serialshark.fish"),
];

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The file is what the program would have it be.
fn agrees(path: &str, wanted: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, wanted).unwrap();
    }
    assert!(
        read(path) == wanted,
        "{path} is not up to date: BLESS=1 cargo test --test service packaging"
    );
}

/// The long options as clap knows them.
fn long_options() -> Vec<String> {
    let mut command = serialshark::cli::command();
    command.build();
    command.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect()
}

/// Words of a text that look like long options.
fn options_in(text: &str) -> Vec<&str> {
    // But for the picture of how it works.
    let text = text.lines().filter(|line| !line.contains("---") && !line.contains("->"));
    text.flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')))
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .collect()
}

/// What `program` says of the packaged files; nothing if it is not there.
fn ask(program: &str, args: &[&str]) -> Option<(String, String)> {
    let output = tool(program)?.args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
    Some((text(&output.stdout), text(&output.stderr)))
}

#[test]
fn the_manual_page_is_what_the_program_knows() {
    let mut options = Vec::new();
    clap_mangen::Man::new(serialshark::cli::command())
        .render_options_section(&mut options)
        .unwrap();
    let options = text(&options);
    let (preamble, options) = options.split_once(".SH OPTIONS\n").unwrap();
    // What mandoc would have it be.
    let options = options.replace(".br\n\n.br\n", ".sp\n");
    let page = read("packaging/serialshark.1.in")
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@OPTIONS@\n", &format!("{preamble}{options}"));
    agrees(PAGE, &page);
}

/// What clap has fish do for commands is in the way of the options' values.
fn commands_for_fish() -> String {
    let mut script = String::new();
    for word in serialshark::cli::command().get_subcommands() {
        let (name, about) = (word.get_name(), word.get_about().unwrap().to_string());
        let about = about.replace('\'', "\\'");
        writeln!(script, "complete -c serialshark -n __fish_is_first_token -a {name} -d '{about}'")
            .unwrap();
        for option in word.get_arguments().filter_map(Arg::get_long) {
            if name != "capture" && option != "help" {
                let condition = format!("\"__fish_seen_subcommand_from {name}\"");
                writeln!(script, "complete -c serialshark -n {condition} -l {option}").unwrap();
            }
        }
    }
    script
}

#[test]
fn completions_are_what_the_program_knows() {
    for (shell, path) in COMPLETIONS {
        let mut script = Vec::new();
        let is_fish = shell == Shell::Fish;
        let mut command = serialshark::cli::command();
        if is_fish {
            command = serialshark::cli::capture_options();
        }
        generate(shell, &mut command, "serialshark", &mut script);
        let commands = if is_fish { commands_for_fish() } else { String::new() };
        agrees(path, &(text(&script) + &commands));
    }
}

#[test]
fn the_manual_page_renders_without_a_warning() {
    if let Some((page, warnings)) =
        ask("groff", &["-man", "-Tutf8", "-ww", "-P-bcou", "-rLL=100n", PAGE])
    {
        assert_eq!(warnings, "");
        for section in ["SYNOPSIS", "EXAMPLES", "SIGNALS", "FILES", "EXIT STATUS", "SEE ALSO"] {
            assert!(page.contains(section), "{section}: {page}");
        }
    }
    if let Some((complaints, _)) = ask("mandoc", &["-T", "lint", "-W", "warning", PAGE]) {
        assert_eq!(complaints, "");
    }
}

#[test]
fn manual_page_readme_and_help_name_the_same_options() {
    let known = long_options();
    let plain = |page: String| page.replace("\\-", "-").replace("\\fR", " ").replace("\\fB", " ");
    let page = plain(read(PAGE));
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for option in &known {
        assert!(options_in(&page).contains(&option.as_str()), "{option} is not in {PAGE}");
        assert!(options_in(&text(&help)).contains(&option.as_str()), "{option} is not in --help");
    }
    // Of other programs, or of other commands.
    let others = ["--install", "--uninstall", "--json", "--now", "--release", "--path", "--test"];
    let others = [&others[..], &["--baseline", "--fail-on", "--html", "--latency"]].concat();
    let mut pages = vec![(PathBuf::from(PAGE), plain(read("packaging/serialshark.1.in")))];
    pages.extend(guides().into_iter().map(|path| (path.clone(), read(path))));
    for (path, says) in pages {
        for option in options_in(&says) {
            let is_known = known.iter().any(|known| known == option) || others.contains(&option);
            assert!(is_known, "{} names {option}, which there is not", path.display());
        }
    }
}

/// The pages that people read.
fn guides() -> Vec<PathBuf> {
    let mut guides = ["README.md", "SECURITY.md", "hardware/README.md", "benches/README.md"]
        .map(PathBuf::from)
        .to_vec();
    guides.extend(std::fs::read_dir("docs").unwrap().map(|file| file.unwrap().path()));
    assert!(guides.len() > 8, "{guides:?}");
    guides
}

#[test]
fn the_readmes_table_of_protocols_is_that_of_the_program() {
    let mut table = String::from("| name | what | default line | link type |\n|---|---|---|---|\n");
    for row in PROTOCOLS {
        let line = format!("{} {}", row.line.baud, row.line.format);
        writeln!(table, "| `{}` | {} | {line} | {} |", row.name, row.help, row.link_type.0)
            .unwrap();
    }
    let readme = read("README.md");
    let begin = readme.find("<!-- begin of protocols").unwrap();
    let begin = begin + readme[begin..].find('\n').unwrap() + 1;
    let end = readme.find("<!-- end of protocols").unwrap();
    agrees("README.md", &format!("{}{table}{}", &readme[..begin], &readme[end..]));
}

/// What links of a page lead to: path and anchor.
fn links(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let targets = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let targets = targets.filter(|target| !target.contains("://"));
    targets.map(|target| target.split_once('#').unwrap_or((target, "")))
}

/// The anchors that GitHub gives to a page's headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    };
    headings.map(anchor).collect()
}

/// A path without its `..`.
fn plain_path(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
        plain
    })
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for path in guides() {
        let page = read(&path);
        for (target, anchor) in links(&page) {
            let file = match target {
                "" => path.clone(),
                target => plain_path(&path.parent().unwrap().join(target)),
            };
            let shown = path.display();
            assert!(file.is_file(), "{shown}: {target} is not there");
            let is_there = anchor.is_empty() || anchors(&read(&file)).iter().any(|a| a == anchor);
            assert!(is_there, "{shown}: {target}#{anchor} is no heading");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

/// `deny.toml` has the crates whose licence is a rarer one, and `cargo deny` sees that it has all.
#[test]
fn the_copyright_file_says_the_licences_of_what_is_built_in() {
    let (deny, said): (toml::Table, _) =
        (read("deny.toml").parse().unwrap(), read("packaging/copyright"));
    let paragraphs: Vec<_> = said.split("\n\n").collect();
    let has_text = |name: &str| {
        let text = format!("License: {name}\n ");
        assert!(paragraphs.iter().any(|it| it.starts_with(&text)), "no text of {name}");
    };
    let words = |list: &toml::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    words(&deny["licenses"]["allow"]).iter().for_each(|name| has_text(name));
    for exception in deny["licenses"]["exceptions"].as_array().unwrap() {
        let name = exception["crate"].as_str().unwrap();
        let files = format!("Files: vendor/{name}*\n");
        let paragraph = paragraphs.iter().find(|it| it.starts_with(&files));
        let paragraph = paragraph.unwrap_or_else(|| panic!("nothing on {name}"));
        let licences = paragraph.split("License: ").nth(1).unwrap();
        for licence in words(&exception["allow"]) {
            assert!(licences.split(' ').any(|word| word.trim() == licence), "{name}: {licence}");
            has_text(&licence);
        }
    }
}

/// What is in the package's directory of documentation, as in the project's: the README's links
/// work there as well.
fn packaged_documentation() -> BTreeSet<PathBuf> {
    const DOCUMENTATION: &str = "usr/share/doc/serialshark/";
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let mut files = BTreeSet::new();
    for asset in assets {
        let [from, to] = [0, 1].map(|n| asset[n].as_str().unwrap());
        let Some(place) = to.strip_prefix(DOCUMENTATION) else { continue };
        let from = Path::new(from);
        let Some(extension) = from.to_str().unwrap().split_once("/*.").map(|(_, ext)| ext) else {
            let is_directory = place.is_empty() || place.ends_with('/');
            let name = if is_directory { from.file_name().unwrap() } else { "".as_ref() };
            files.insert(Path::new(place).join(name).components().collect());
            continue;
        };
        for file in std::fs::read_dir(from.parent().unwrap()).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|other| other == extension) {
                files.insert(Path::new(place).join(file.file_name().unwrap()));
            }
        }
    }
    files
}

#[test]
fn the_package_has_what_its_documentation_links_to() {
    let packaged = packaged_documentation();
    for page in guides() {
        assert!(packaged.contains(&page), "{} is not in the package", page.display());
        for (target, _) in links(&read(&page)).filter(|(target, _)| !target.is_empty()) {
            let file = plain_path(&page.parent().unwrap().join(target));
            let shown = page.display();
            assert!(packaged.contains(&file), "{shown}: {target} is not in the package");
        }
    }
}

/// Each example of the help is an example of the manual page.
#[test]
fn the_helps_examples_are_in_the_manual_page() {
    let page = read(PAGE).replace("\\-", "-");
    let (_, help, _) = run(&["--help"]);
    let help = text(&help);
    let examples = help.split("Examples:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for line in examples.lines() {
        let example = line.trim().split("  ").next().unwrap();
        let example = example.replace("check-config trunk", "check-config /etc/serialshark/trunk");
        assert!(page.contains(&example), "{example}");
    }
}

#[test]
fn shells_complete_options_and_values() {
    let [bash, zsh, fish] = COMPLETIONS.map(|(_, path)| path);
    let words = |line: &str| -> String {
        let typed: Vec<&str> = line.split(' ').collect();
        let [.., previous, current] = typed[..] else { panic!("{line}") };
        let script = format!(
            "source {bash}; COMP_WORDS=({line}); COMP_CWORD={}; \
             _serialshark serialshark '{current}' '{previous}'; echo \"${{COMPREPLY[*]}}\"",
            typed.len() - 1
        );
        ask("bash", &["-c", &script]).unwrap().0
    };
    assert_eq!(words("serialshark --buf"), "--buffer-size\n");
    assert_eq!(words("serialshark --protocol ri"), "riot\n");
    assert_eq!(words("serialshark /dev/null --fif"), "--fifo\n");
    assert_eq!(words("serialshark po"), "ports\n");
    assert_eq!(words("serialshark extcap --in"), "--install\n");

    for (line, wanted) in [
        ("--buf", "--buffer-size"),
        ("-p ri", "riot"),
        ("/dev/null --fif", "--fifo"),
        ("po", "ports"),
        ("extcap --ins", "--install"),
    ] {
        let script = format!("source {fish}; complete -C 'serialshark {line}'");
        if let Some((completions, _)) = ask("fish", &["--no-config", "-c", &script]) {
            assert!(completions.starts_with(wanted), "{line}: {completions}");
        }
    }

    // The file must be a function of its own name, found by compinit.
    let dir = Path::new(zsh).parent().unwrap().display();
    let script = format!(
        "fpath=({dir} $fpath); autoload -Uz compinit; compinit -u -D; \
         print $_comps[serialshark]; autoload +X _serialshark && zsh -n {zsh}"
    );
    if let Some((registered, complaints)) = ask("zsh", &["-fc", &script]) {
        assert_eq!((registered.as_str(), complaints.as_str()), ("_serialshark\n", ""));
    }
}

const UNIT: &str = "packaging/serialshark@.service";

/// The unit with the binary under test, under a name of an instance.
fn unit(dir: &TempDir) -> String {
    let unit = read(UNIT).replace("/usr/bin/serialshark", env!("CARGO_BIN_EXE_serialshark"));
    assert!(unit.contains(&format!("ExecStart={}", env!("CARGO_BIN_EXE_serialshark"))));
    std::fs::write(dir.path().join("serialshark@.service"), unit).unwrap();
    dir.path().join("serialshark@trunk.service").to_str().unwrap().to_owned()
}

#[test]
fn systemd_finds_no_fault_with_the_service() {
    let dir = TempDir::new().unwrap();
    if let Some((said, complaints)) =
        ask("systemd-analyze", &["verify", "--man=no", "--recursive-errors=no", &unit(&dir)])
    {
        assert_eq!((said.as_str(), complaints.as_str()), ("", ""));
    }
}

#[test]
fn the_service_is_not_exposed() {
    let dir = TempDir::new().unwrap();
    let threshold = "--threshold=20"; // 2.0, above which it fails
    if let Some((said, _)) =
        ask("systemd-analyze", &["security", "--offline=true", threshold, &unit(&dir)])
    {
        assert!(said.contains(" OK "), "{said}");
    }
}

/// The names in a set of system calls, those of the sets in it too.
fn calls(set: &str) -> Option<BTreeSet<String>> {
    let (said, _) = ask("systemd-analyze", &["syscall-filter", set])?;
    let mut names = BTreeSet::new();
    for name in said.lines().skip(1).map(str::trim).filter(|name| !name.starts_with('#')) {
        match name.starts_with('@') {
            true => names.extend(calls(name)?),
            false => _ = names.insert(name.to_owned()),
        }
    }
    Some(names)
}

/// A run with a port, a FIFO, a file set and a socket calls nothing but that.
#[test]
fn the_services_filter_allows_what_the_program_calls() {
    let filters: Vec<String> = read(UNIT)
        .lines()
        .filter_map(|line| Some(line.strip_prefix("SystemCallFilter=")?.to_owned()))
        .collect();
    let [allowed, refused] = &filters[..] else { panic!("{filters:?}") };
    let Some(mut allowed) = calls(allowed) else { return };
    for set in refused.trim_start_matches('~').split(' ') {
        let refused = calls(set).unwrap();
        allowed.retain(|name| !refused.contains(name));
    }
    assert!(allowed.contains("read") && !allowed.contains("mount"));

    let Some(mut command) = tool("strace") else { return };
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let pty = Pty::new();
    command.args(["-f", "-qq", "-e", "signal=none", "-o", &at("calls"), "--"]);
    command.arg(env!("CARGO_BIN_EXE_serialshark")).stdin(Stdio::null());
    command.args([pty.path(), "--fifo", &at("fifo"), "--unix", &at("socket"), "--tcp", "0"]);
    command.args(["-w", &at("a.pcapng"), "-C", "1k", "-W", "2", "--history", "9", "-c", "400"]);
    let mut program = Program::spawn(command);
    program.wait_for_nth(3, "waiting for a reader");
    for _ in 0..2 {
        let mut reader = FifoReader::open(Path::new(&at("fifo")));
        pty.send(&mstp(0, 1, 2, &[]));
        reader.record().unwrap();
    }
    let mut client = UnixStream::connect(at("socket")).unwrap();
    client.read_exact(&mut [0; 24]).unwrap();
    for n in 2..400 {
        pty.send(&numbered_frame(n));
    }
    assert!(program.wait().success(), "{:?}", program.stderr());
    let seen = read(at("calls"));
    let seen: BTreeSet<&str> = seen
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once('('))
        .map(|(name, _)| name)
        // What strace itself starts it with.
        .filter(|name| !name.is_empty() && *name != "execve" && !name.starts_with('<'))
        .collect();
    for call in ["mknodat", "renameat", "inotify_add_watch", "unlinkat", "ioctl", "accept4"] {
        assert!(seen.contains(call), "{call} was not called: {seen:?}");
    }
    let missing: Vec<_> = seen.iter().filter(|name| !allowed.contains(**name)).collect();
    assert!(missing.is_empty(), "the service may not call {missing:?}");
}

/// As it is, and with all that it has in comments.
#[test]
fn the_example_of_a_configuration_is_right() {
    let example = read("packaging/serialshark.toml");
    let whole: Vec<&str> =
        example.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let settings: Vec<&str> = whole.into_iter().filter(|line| line.contains(" = ")).collect();
    assert!(settings.len() > 5, "{settings:?}");
    let dir = TempDir::new().unwrap();
    for (name, text) in [("bare.toml", example.clone()), ("whole.toml", settings.join("\n"))] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let (code, says, complaints) = run(&["check-config", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{complaints}");
        // But for the port, which is another one for everybody.
        assert!(complaints.lines().all(|line| line.ends_with(" is not there now")), "{complaints}");
        assert!(common::text(&says).contains("from /dev/serialshark/ft232r-AB0KX3Q2"), "{says:?}");
    }
}

#[test]
fn the_tests_that_security_md_names_are_there() {
    let page = read("SECURITY.md");
    let named: Vec<_> = page.split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 15, "{named:?}");
    for (file, test) in named.into_iter().filter(|(file, _)| *file != "file") {
        let found = std::fs::read_dir("tests").unwrap().flatten().any(|subject| {
            let text = std::fs::read_to_string(subject.path().join(format!("{file}.rs")));
            text.is_ok_and(|text| text.contains(&format!("#[test]\nfn {test}() {{")))
        });
        assert!(found, "{file}::{test} is not there");
    }
}

/// systemd looks a name up in /proc/devices when the service starts; the driver of an adapter that is
/// plugged in later is not there yet, and the service would never get it.
#[test]
fn the_service_admits_drivers_that_are_loaded_after_it() {
    let unit = read("packaging/serialshark@.service");
    let allowed: Vec<_> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("DeviceAllow=")?.strip_suffix(" rw"))
        .collect();
    for device in &allowed {
        let number = device.strip_prefix("char-").unwrap();
        assert!(number.parse::<u32>().is_ok(), "{device} is resolved too early");
    }
    // Of the kernel's devices.txt: ttyS, ttyACM, ttyUSB, ttyAMA, ttymxc.
    for number in [4, 166, 188, 204, 207] {
        assert!(allowed.contains(&format!("char-{number}").as_str()), "{number}");
    }
}
