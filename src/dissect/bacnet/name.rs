//! The standard's names for its numbers (ASHRAE 135, clauses 20 and 21).

/// Names, a line each: the number, a space, the name.
#[derive(Clone, Copy)]
pub(super) struct Names(&'static str);

impl Names {
    pub(super) const ABORTS: Self = Self(include_str!("aborts.txt"));
    pub(super) const CONFIRMED: Self = Self(include_str!("confirmed.txt"));
    pub(super) const ERRORS: Self = Self(include_str!("errors.txt"));
    const OBJECTS: Self = Self(include_str!("objects.txt"));
    pub(super) const PROPERTIES: Self = Self(include_str!("properties.txt"));
    pub(super) const REJECTS: Self = Self(include_str!("rejects.txt"));
    pub(super) const UNCONFIRMED: Self = Self(include_str!("unconfirmed.txt"));

    /// The name of a number; the number itself if it has none.
    pub(super) fn get(self, number: u32) -> String {
        let wanted = number.to_string();
        let name = self.0.lines().find_map(|line| {
            let (number, name) = line.split_once(' ')?;
            (number == wanted).then(|| name.to_owned())
        });
        name.unwrap_or(wanted)
    }
}

/// An object identifier (clause 20.2.14), such as `AI 1`.
pub(super) fn object(octets: &[u8]) -> String {
    let Some(&octets) = octets.as_array::<4>() else { return "object ?".to_owned() };
    let identifier = u32::from_be_bytes(octets);
    format!("{} {}", Names::OBJECTS.get(identifier >> 22), identifier & 0x3f_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_name_stay_numbers() {
        assert_eq!(Names::PROPERTIES.get(85), "present-value");
        assert_eq!(Names::PROPERTIES.get(8), "all");
        assert_eq!(Names::PROPERTIES.get(5000), "5000");
        assert_eq!(object(&[0xff, 0xc0, 0, 7]), "1023 7");
    }

    #[test]
    fn every_line_is_a_number_and_a_name_and_they_go_up() {
        let all = [
            Names::ABORTS,
            Names::CONFIRMED,
            Names::ERRORS,
            Names::OBJECTS,
            Names::PROPERTIES,
            Names::REJECTS,
            Names::UNCONFIRMED,
        ];
        for names in all {
            let numbers = names.0.lines().map(|line| line.split_once(' ').expect(line).0);
            let numbers: Vec<u32> = numbers.map(|number| number.parse().unwrap()).collect();
            assert!(numbers.is_sorted_by(|one, next| one < next));
        }
    }
}
