//! The names of the files of one set.

use crate::sys::os_string;
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{Local, NaiveDateTime, NaiveTime, Timelike as _};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

const TIME: &str = "%Y%m%d%H%M%S";
const TIME_LEN: usize = 14;

/// How the files of a set are called.
#[derive(Debug, PartialEq, Eq)]
pub enum Names {
    /// As Wireshark's ring buffer calls them: `trunk_00001_20261123190000.pcapng`.
    Numbered {
        /// Before the number.
        prefix: Vec<u8>,
        /// Behind the time.
        suffix: Vec<u8>,
    },
    /// As tcpdump calls them: the words of strftime(3) in the name become the time. A file that
    /// would have the name of one that is there gets a number: `trunk_19h_00002.pcapng`.
    Timed {
        /// Before the number, with words of strftime.
        stem: String,
        /// Behind it, the dot included, with words of strftime.
        suffix: String,
    },
}

impl Names {
    /// Those of `-w path`, in which words of strftime are meant if it `is_timed`.
    ///
    /// # Errors
    /// Why it does not name a file.
    pub fn of(path: &Path, is_timed: bool) -> Result<Self, &'static str> {
        const NO_NAME: &str = "is not a name for capture files";
        let stem =
            path.file_stem().filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/"));
        let stem = stem.ok_or(NO_NAME)?;
        let dotted = |extension: &std::ffi::OsStr| [b".", extension.as_encoded_bytes()].concat();
        let suffix = path.extension().map_or_else(Vec::new, dotted);
        if !is_timed || ![stem.as_encoded_bytes(), &suffix].iter().any(|part| part.contains(&b'%'))
        {
            return Ok(Self::Numbered { prefix: [stem.as_encoded_bytes(), b"_"].concat(), suffix });
        }
        let text = |part: Vec<u8>| String::from_utf8(part).map_err(|_| NO_NAME);
        let (stem, suffix) = (text(stem.as_encoded_bytes().to_vec())?, text(suffix)?);
        for part in [&stem, &suffix] {
            let shown = expanded(part, Local::now().naive_local());
            let shown = shown
                .ok_or("has a % that begins no strftime(3) conversion; write %% for a plain %")?;
            if shown.contains('/') {
                return Err("has a strftime(3) conversion that contains a slash, such as %D");
            }
        }
        Ok(Self::Timed { stem, suffix })
    }

    /// What the time alone decides about the name of a file that is opened then.
    pub fn base(&self, opened: NaiveDateTime) -> Option<String> {
        match self {
            Self::Numbered { .. } => None,
            Self::Timed { stem, suffix } => {
                Some(expanded(stem, opened)? + &expanded(suffix, opened)?)
            }
        }
    }

    /// The name of file `number` that is opened then; numbers begin with 1.
    pub fn name(&self, number: u64, opened: NaiveDateTime) -> OsString {
        match self {
            Self::Numbered { prefix, suffix } => {
                let middle = format!("{number:05}_{}", opened.format(TIME));
                os_string(&[prefix, middle.as_bytes(), suffix].concat())
            }
            Self::Timed { stem, suffix } => {
                // Both were expanded once before.
                let [mut stem, suffix] =
                    [stem, suffix].map(|part| expanded(part, opened).unwrap_or_default());
                if number > 1 {
                    let _ = write!(stem, "_{number:05}"); // into a String
                }
                OsString::from(stem + &suffix)
            }
        }
    }

    /// What sorts the files of a set by age, if this is a name that [`name`](Self::name) could have
    /// given: number, or time and number. Of names that do not tell the date nothing is known.
    pub fn age(&self, name: &[u8]) -> Option<(i64, u64)> {
        match self {
            Self::Numbered { prefix, suffix } => {
                let middle = name.strip_prefix(&prefix[..])?.strip_suffix(&suffix[..])?;
                let (digits, time) = std::str::from_utf8(middle).ok()?.split_once('_')?;
                let plausible = is_digits(time)
                    && time.len() == TIME_LEN
                    && NaiveDateTime::parse_from_str(time, TIME).is_ok();
                Some((0, number(digits).filter(|_| plausible)?))
            }
            Self::Timed { stem, suffix } => {
                let name = std::str::from_utf8(name).ok()?;
                let format = stem.clone() + suffix;
                let found = date(&format, name).map(|time| (time, 1)).or_else(|| {
                    let (front, back) = name.rsplit_once('_')?;
                    let end = back.find(|c: char| !c.is_ascii_digit()).unwrap_or(back.len());
                    let (digits, rest) = back.split_at(end);
                    Some((date(&format, &format!("{front}{rest}"))?, number(digits)?))
                });
                let (time, number) = found?;
                let is_ours = self.name(number, time).as_encoded_bytes() == name.as_bytes();
                is_ours.then(|| (time.and_utc().timestamp(), number))
            }
        }
    }
}

/// A number as [`Names::name`] writes it. Eighteen digits always leave room for a next one.
fn number(digits: &str) -> Option<u64> {
    let plausible = is_digits(digits)
        && (5..=18).contains(&digits.len())
        && (digits.len() == 5 || !digits.starts_with('0'));
    plausible.then(|| digits.parse().ok()).flatten()
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit())
}

/// The text with its words of strftime replaced; `None` if one is none.
fn expanded(text: &str, time: NaiveDateTime) -> Option<String> {
    let items: Vec<_> = StrftimeItems::new(text).collect();
    if items.contains(&Item::Error) {
        return None;
    }
    let mut out = String::new();
    // Of a word that needs a time zone, which is Local's.
    let time = time.and_local_timezone(Local).earliest()?;
    write!(out, "{}", time.format_with_items(items.iter())).ok()?;
    Some(out)
}

/// The time in a name of this format, if it tells a date; what it does not tell of the time of day
/// is zero.
fn date(format: &str, name: &str) -> Option<NaiveDateTime> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, name, StrftimeItems::new(format)).ok()?;
    if let Some(seconds) = parsed.timestamp() {
        return Some(
            chrono::DateTime::from_timestamp(seconds, 0)?.with_timezone(&Local).naive_local(),
        );
    }
    let date = parsed.to_naive_date().ok()?;
    let hour =
        parsed.hour_div_12().zip(parsed.hour_mod_12()).map_or(0, |(half, hour)| half * 12 + hour);
    let (minute, second) = (parsed.minute().unwrap_or(0), parsed.second().unwrap_or(0));
    let time = NaiveTime::from_hms_opt(hour, minute, second)?;
    Some(date.and_time(time.with_nanosecond(0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Names {
        Names::of(Path::new(path), false).unwrap()
    }

    fn timed(path: &str) -> Names {
        Names::of(Path::new(path), true).unwrap()
    }

    fn evening() -> NaiveDateTime {
        NaiveDateTime::parse_from_str("20261123190000", TIME).unwrap()
    }

    #[test]
    fn names_are_those_of_wiresharks_ring_buffer() {
        let name = |path, number| names(path).name(number, evening()).into_string().unwrap();
        assert_eq!(name("/tmp/name.pcapng", 1), "name_00001_20261123190000.pcapng");
        assert_eq!(name("a.b.pcap", 42), "a.b_00042_20261123190000.pcap");
        assert_eq!(name("name", 123_456), "name_123456_20261123190000");
        assert_eq!(name(".hidden", 1), ".hidden_00001_20261123190000");
        assert_eq!(name("%H.pcap", 1), "%H_00001_20261123190000.pcap");
        for none in ["/", "..", "dir/", ""] {
            Names::of(Path::new(none), false).unwrap_err();
        }
    }

    #[test]
    fn words_of_strftime_become_the_time() {
        let name = |path, number| timed(path).name(number, evening()).into_string().unwrap();
        assert_eq!(name("/tmp/trunk_%Y%m%d-%H%M%S.pcapng", 1), "trunk_20261123-190000.pcapng");
        assert_eq!(name("trunk_%a.pcap", 2), "trunk_Mon_00002.pcap");
        assert_eq!(name("100%%_%H", 1), "100%_19");
        assert_eq!(name("no-words.pcap", 7), "no-words_00007_20261123190000.pcap");
        assert_eq!(timed("%H.pcap").base(evening()).as_deref(), Some("19.pcap"));
        for (wrong, what) in [
            ("%", "begins no strftime(3)"),
            ("a_%Q.pcap", "begins no strftime(3)"),
            ("%D", "slash"),
        ] {
            let said = Names::of(Path::new(wrong), true).unwrap_err();
            assert!(said.contains(what), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_age_is_found_in_names_that_tell_the_date() {
        let age = |path, name: &str| timed(path).age(name.as_bytes());
        let at = |text| NaiveDateTime::parse_from_str(text, TIME).unwrap().and_utc().timestamp();
        let full = "t_%Y%m%d-%H%M%S.pcapng";
        assert_eq!(age(full, "t_20261123-190000.pcapng"), Some((at("20261123190000"), 1)));
        assert_eq!(age(full, "t_20261123-190000_00012.pcapng"), Some((at("20261123190000"), 12)));
        assert_eq!(age("t_%F.pcap", "t_2026-11-23.pcap"), Some((at("20261123000000"), 1)));
        assert_eq!(age("%Y-%j_%H", "2026-327_19"), Some((at("20261123190000"), 1)));
        for foreign in [
            "t_20261123-190000.pcap",
            "t_20261123-190000_1.pcapng",
            "t_20261123-190000_00000012.pcapng",
            "t_20261123- 90000.pcapng",
            "t_20261123-9000.pcapng",
            "t_20261323-190000.pcapng",
            "t_+20261123-190000.pcapng",
            "t_.pcapng",
            "",
        ] {
            assert_eq!(age(full, foreign), None, "{foreign}");
        }
        assert_eq!(age("t_%a.pcap", "t_Mon.pcap"), None);
        assert_eq!(timed(full).age(b"t_\xff.pcapng"), None);
    }

    #[test]
    fn a_number_is_found_in_our_names_only() {
        let names = names("name.pcapng");
        for number in [1, 99_999, 100_000, 999_999_999_999_999_999] {
            let name = names.name(number, evening());
            assert_eq!(names.age(name.as_encoded_bytes()), Some((0, number)), "{name:?}");
        }
        for foreign in [
            "name.pcapng",
            "name_00001_20261123190000.pcap",
            "name_00001_20261123190000.pcapng~",
            "name_00001_20261123190000",
            "name_0001_20261123190000.pcapng",
            "name_000001_20261123190000.pcapng",
            "name_00001_2026112319000.pcapng",
            "name_00001_202611231900000.pcapng",
            "name_00001_20261323190000.pcapng",
            "name_00001-20261123190000.pcapng",
            "name_+0001_20261123190000.pcapng",
            "name_00001_20261123190000_old.pcapng",
            "name_00001_20261123190000_00001_20261123190000.pcapng",
            "my-name_00001_20261123190000.pcapng",
            "Name_00001_20261123190000.pcapng",
            "name_1000000000000000000_20261123190000.pcapng",
            "name_",
            "",
        ] {
            assert_eq!(names.age(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(names.age(b"name_\xff0001_20261123190000.pcapng"), None);
    }
}
