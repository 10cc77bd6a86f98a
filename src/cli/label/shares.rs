//! How a data set is divided.

use std::str::FromStr;

/// `--split`: shares of train, val and test.
#[derive(Debug, Clone, Copy)]
pub struct Shares(pub [f64; 3]);

impl FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?}: expected three shares of train, val and test, such as 0.8,0.1,0.1");
        let shares: Vec<f64> =
            text.split(',').map(|s| s.trim().parse()).collect::<Result<_, _>>().map_err(|_| expected())?;
        match shares[..] {
            [a, b, c] if a > 0.0 && [a, b, c].iter().all(|s| (0.0..=1e6).contains(s)) => Ok(Shares([a, b, c])),
            _ => Err(expected()),
        }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Shares([0.8, 0.1, 0.1])
    }
}
