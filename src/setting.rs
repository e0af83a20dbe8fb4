//! Settings that only some protocols have, such as how packets end in a framing of one's own.
//!
//! A protocol's row lists them; command line, configuration files, extcap, manual page and
//! completions follow from that. What is typed is checked once, and stays text until the framer takes
//! it.

/// A setting of a protocol.
#[derive(Debug)]
pub struct Setting {
    /// Of the option and the key, such as `gap`.
    pub name: &'static str,
    /// What its value is called in help, such as `HEX`.
    pub value: &'static str,
    /// A sentence or two of help.
    pub help: &'static str,
    /// What is wrong with a value, if anything is.
    pub check: fn(&str) -> Result<(), String>,
}

/// What settings were given, in the order of the protocol's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(Vec<(&'static str, String)>);

impl Values {
    /// None.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The value of the setting `name`, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Gives a setting its value, in place of the one it had.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Those of `settings` that were given in `sources`, the first of which that has one is believed.
    #[must_use]
    pub fn of(settings: &[Setting], sources: &[&Self]) -> Self {
        let value = |setting: &Setting| sources.iter().find_map(|source| source.get(setting.name));
        let given = settings.iter().filter_map(|setting| Some((setting.name, value(setting)?)));
        Self(given.map(|(name, value)| (name, value.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_says_something_is_believed() {
        let anything = |name| Setting { name, value: "X", help: "", check: |_| Ok(()) };
        let (mut own, mut all) = (Values::none(), Values::none());
        own.set("a", "1".into());
        own.set("a", "2".into());
        all.set("a", "3".into());
        all.set("b", "4".into());
        all.set("c", "5".into());
        let given = Values::of(&["b", "a"].map(anything), &[&own, &all]);
        assert_eq!(given.iter().collect::<Vec<_>>(), [("b", "4"), ("a", "2")]);
        assert_eq!(given.get("c"), None);
    }
}
