//! `QuantScheme`: how weights are stored and what activations become.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// How many columns of a row share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// One scale per output row.
    Channel,
    /// One scale per this many columns of a row.
    Columns(usize),
}

/// How a model's weights are stored and multiplied. Prints and parses as `w4a16_g128`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantScheme {
    /// Weights as f32: the baseline.
    F32,
    /// Weights as f16, arithmetic as the baseline.
    F16,
    /// int8 weights, int8 activations.
    W8A8(Group),
    /// int4 weights, 16-bit fixed-point activations in two int8 planes.
    W4A16(Group),
}

impl QuantScheme {
    /// Every scheme, floats first, then from the most to the fewest bits.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::W8A8(Group::Columns(128)),
        Self::W8A8(Group::Columns(256)),
        Self::W8A8(Group::Columns(512)),
        Self::W8A8(Group::Channel),
        Self::W4A16(Group::Columns(32)),
        Self::W4A16(Group::Columns(64)),
        Self::W4A16(Group::Columns(128)),
        Self::W4A16(Group::Channel),
    ];

    /// True for the baselines `f32` and `f16`.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16)
    }

    /// Bits of one stored weight, without scales.
    pub const fn weight_bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::F16 => 16,
            Self::W8A8(_) => 8,
            Self::W4A16(_) => 4,
        }
    }

    /// The grouping of a quantised scheme.
    pub const fn group(self) -> Option<Group> {
        match self {
            Self::F32 | Self::F16 => None,
            Self::W8A8(group) | Self::W4A16(group) => Some(group),
        }
    }

    /// The group size in columns for rows of `k` columns; `k` itself where a row is one group.
    ///
    /// # Errors
    /// [`ErrorKind::Quantization`], with both numbers, if the group size does not divide `k`.
    pub fn group_size(self, k: usize) -> Result<usize> {
        match self.group() {
            None | Some(Group::Channel) => Ok(k),
            Some(Group::Columns(size)) if size != 0 && k != 0 && k.is_multiple_of(size) => Ok(size),
            Some(Group::Columns(size)) => Err(Error::new(
                ErrorKind::Quantization,
                format!("group size {size} does not divide K = {k}"),
            )
            .with_hint("choose a smaller group size or a scheme without groups")),
        }
    }
}

impl fmt::Display for QuantScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, group) = match *self {
            Self::F32 => return f.pad("f32"),
            Self::F16 => return f.pad("f16"),
            Self::W8A8(group) => ("w8a8", group),
            Self::W4A16(group) => ("w4a16", group),
        };
        match group {
            Group::Channel => f.pad(base),
            Group::Columns(size) => f.pad(&format!("{base}_g{size}")),
        }
    }
}

impl FromStr for QuantScheme {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.to_string() == name).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
            Error::new(ErrorKind::Input, format!("unknown dtype {name:?}"))
                .with_hint(format!("use one of {}", known.join(", ")))
        })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for QuantScheme {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for QuantScheme {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for scheme in QuantScheme::ALL {
            assert_eq!(scheme.to_string().parse::<QuantScheme>().unwrap(), scheme);
        }
        assert_eq!(format!("{:>12}", QuantScheme::W4A16(Group::Columns(128))), "  w4a16_g128");
        let error = "w4a16_g7".parse::<QuantScheme>().unwrap_err();
        assert!(error.to_string().contains("w4a16_g128"), "{error}");
    }

    #[test]
    fn group_size_must_divide_k() {
        let scheme = QuantScheme::W8A8(Group::Columns(128));
        assert_eq!(scheme.group_size(896).unwrap(), 128);
        let error = scheme.group_size(172).unwrap_err().to_string();
        assert!(error.contains("128") && error.contains("172"), "{error}");
        assert_eq!(QuantScheme::W4A16(Group::Channel).group_size(172).unwrap(), 172);
    }
}
