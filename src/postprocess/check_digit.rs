//! Check digits as automata: a state, a step for each character, and whether the end is right. So a search over texts can
//! leave out those whose check digit is wrong. Characters that are no digits are stepped over.

use std::str::FromStr;

/// A rule that the digits of a text fulfil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Every other digit from the right doubled, digits summed: credit cards, IMEI (ISO/IEC 7812-1).
    Luhn,
    /// GS1 numbers of so many digits, weights 1 and 3 from the right: EAN-8, UPC-A, EAN-13, GTIN-14, SSCC (GS1 General
    /// Specifications 7.9.1).
    Gs1(u32),
    /// Ten digits, weights 10 to 1, modulo 11; the last may be X.
    Isbn10,
    /// ISO 7064 MOD 97-10: the number leaves 1.
    Mod97,
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "luhn" => Check::Luhn,
            "ean8" => Check::Gs1(8),
            "upca" => Check::Gs1(12),
            "ean13" | "isbn13" => Check::Gs1(13),
            "gtin14" => Check::Gs1(14),
            "sscc" => Check::Gs1(18),
            "isbn10" => Check::Isbn10,
            "mod97" => Check::Mod97,
            _ => {
                return Err(format!(
                    "{text:?} is none of luhn, ean8, upca, ean13, gtin14, sscc, isbn10, isbn13, mod97"
                ));
            }
        })
    }
}

impl Check {
    /// The state before the first character.
    pub const START: u32 = 0;

    /// The state after `c`; `None` where no text that goes on so can be right.
    pub fn step(self, state: u32, c: char) -> Option<u32> {
        let digit = c.to_digit(10);
        match self {
            Check::Luhn => Some(digit.map_or(state, |d| {
                // Number of digits up to 2, then the sum if the last digit counts once, then if it counts twice.
                let (count, once, twice) = (state / 100, state / 10 % 10, state % 10);
                let doubled = d * 2 / 10 + d * 2 % 10;
                (count + 1).min(2) * 100 + (twice + d) % 10 * 10 + (once + doubled) % 10
            })),
            Check::Gs1(length) => {
                let Some(d) = digit else { return Some(state) };
                let (count, sum) = (state / 10, state % 10);
                let weight = if (length - 1).checked_sub(count)? % 2 == 0 { 1 } else { 3 };
                Some((count + 1) * 10 + (sum + weight * d) % 10)
            }
            Check::Isbn10 => {
                let (count, sum) = (state / 11, state % 11);
                let d = if count == 9 && matches!(c, 'X' | 'x') { Some(10) } else { digit };
                let Some(d) = d else { return Some(state) };
                Some((count + 1) * 11 + (sum + 10u32.checked_sub(count).filter(|w| *w > 0)? * d) % 11)
            }
            // One more than the remainder, so that no digits are no number.
            Check::Mod97 => Some(digit.map_or(state, |d| (state.saturating_sub(1) * 10 + d) % 97 + 1)),
        }
    }

    /// Whether a text that ends in this state is right.
    pub fn accepts(self, state: u32) -> bool {
        match self {
            Check::Luhn => state / 100 == 2 && (state / 10).is_multiple_of(10),
            Check::Gs1(length) => state / 10 == length && state.is_multiple_of(10),
            Check::Isbn10 => state / 11 == 10 && state.is_multiple_of(11),
            Check::Mod97 => state == 2,
        }
    }

    /// Whether `text` is right.
    pub fn is_right(self, text: &str) -> bool {
        text.chars().try_fold(Check::START, |state, c| self.step(state, c)).is_some_and(|state| self.accepts(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Published examples of each rule.
    #[test]
    fn known_numbers() {
        for (kind, right) in [
            ("luhn", "4539 1488 0343 6467"),
            ("luhn", "49-015420-323751-8"),
            ("ean8", "73513537"),
            ("upca", "036000291452"),
            ("ean13", "4006381333931"),
            ("isbn13", "978-0-306-40615-7"),
            ("isbn10", "0-306-40615-2"),
            ("isbn10", "080442957X"),
            ("sscc", "106141412345678908"),
            ("mod97", "3214282912345698765432161182"),
        ] {
            assert!(kind.parse::<Check>().unwrap().is_right(right), "{kind} {right}");
        }
        assert!("crc".parse::<Check>().is_err());
        for kind in ["luhn", "ean13", "isbn10", "mod97"] {
            assert!(!kind.parse::<Check>().unwrap().is_right(""), "{kind}");
        }
    }

    proptest! {
        /// One wrong digit is always seen.
        #[test]
        fn a_wrong_digit_shows(body in "[0-9]{12}", at in 0usize..13, by in 1u32..10) {
            let right = (0..10).map(|d| format!("{body}{d}")).find(|t| Check::Gs1(13).is_right(t)).unwrap();
            let mut wrong: Vec<char> = right.chars().collect();
            let digit = wrong[at].to_digit(10).unwrap();
            wrong[at] = char::from_digit((digit + by) % 10, 10).unwrap();
            prop_assert!(!Check::Gs1(13).is_right(&wrong.into_iter().collect::<String>()));
        }
    }
}
