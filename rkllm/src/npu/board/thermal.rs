//! Temperatures, and what is slowed down because of them.

use super::root::Root;

/// Zones and devices that are looked at.
const MOST: usize = 1024;

/// A place whose temperature is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Zone {
    /// Its name: `npu-thermal`.
    pub name: String,
    /// Thousandths of a degree Celsius.
    pub millidegrees: i64,
}

/// A device that can be slowed down to stay cool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Cooling {
    /// What it is: `cpufreq-cpu4`.
    pub name: String,
    /// How far it is slowed down; 0 is not at all.
    pub state: u64,
    /// The most it can be.
    pub most: u64,
}

/// Heat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Thermal {
    /// Temperatures.
    pub zones: Vec<Zone>,
    /// Clocks that heat can lower; fans are left out.
    pub cooling: Vec<Cooling>,
}

impl Thermal {
    pub(super) fn probe(root: &Root) -> Self {
        let dir = "sys/class/thermal";
        let mut thermal = Self::default();
        for name in root.names(dir).unwrap_or_default().into_iter().take(MOST) {
            let line = |file: &str| root.line(&format!("{dir}/{name}/{file}")).ok();
            let number = |file: &str| line(file)?.parse::<u64>().ok();
            let Some(what) = line("type") else { continue };
            if name.starts_with("thermal_zone") {
                let degrees = line("temp").and_then(|text| text.parse().ok());
                thermal.zones.extend(degrees.map(|millidegrees| Zone { name: what, millidegrees }));
            } else if what.contains("cpufreq") || what.contains("devfreq") {
                let (state, most) = (number("cur_state"), number("max_state"));
                if let (Some(state), Some(most)) = (state, most) {
                    thermal.cooling.push(Cooling { name: what, state, most });
                }
            }
        }
        thermal
    }

    /// The warmest place.
    pub fn warmest(&self) -> Option<&Zone> {
        self.zones.iter().max_by_key(|zone| zone.millidegrees)
    }
}
