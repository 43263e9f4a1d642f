//! The environment, read once: at the first call.

use std::sync::{Once, OnceLock};

use super::fault::Fault;
use super::log;
use super::soc::{self, Soc};

pub(super) struct Settings {
    /// `RKLLM_HOST_SOC`.
    pub(super) soc: &'static Soc,
    /// `RKNN_HOST_FAULT`.
    pub(super) fault: Fault,
    /// See [`log`](super::log).
    pub(super) log_level: i32,
    /// What was in the environment and means nothing.
    pub(super) not_understood: Vec<String>,
}

pub(super) fn get() -> &'static Settings {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    SETTINGS.get_or_init(|| Settings::read(|name| std::env::var(name).ok()))
}

/// Says once what answers, as whom, and what of the environment is not understood.
pub(super) fn announce() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let settings = get();
        log::inform(format_args!("RKNN Runtime Information: {}", super::API_VERSION));
        log::inform(format_args!("platform: {}, computed by the CPU", settings.soc.name));
        for text in &settings.not_understood {
            log::warn(format_args!("{text}"));
        }
    });
}

impl Settings {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut not_understood = Vec::new();
        let mut soc = &soc::RK3588;
        if let Some(name) = variable("RKLLM_HOST_SOC") {
            match Soc::find(&name) {
                Some(found) => soc = found,
                None => not_understood.push(format!(
                    "RKLLM_HOST_SOC={name}: expected one of {}; going on as rk3588",
                    Soc::names()
                )),
            }
        }
        let words = variable("RKNN_HOST_FAULT").unwrap_or_default();
        let fault = Fault::parse(&words, &mut not_understood);
        let level = |name| variable(name).and_then(|text| text.trim().parse().ok());
        let log_level = level("RKNN_LOG_LEVEL").or(level("RKLLM_LOG_LEVEL")).unwrap_or(1);
        Self { soc, fault, log_level, not_understood }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read() {
        let of = |list: &'static [(&str, &str)]| {
            Settings::read(move |name| {
                list.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let plain = of(&[]);
        assert_eq!((plain.soc.name, plain.log_level), ("rk3588", 1));
        let set = of(&[("RKLLM_HOST_SOC", "RK3568"), ("RKLLM_LOG_LEVEL", "3")]);
        assert_eq!((set.soc.name, set.log_level), ("rk3566", 3));
        assert!(set.not_understood.is_empty());
        let odd =
            of(&[("RKLLM_HOST_SOC", "rk1"), ("RKNN_LOG_LEVEL", "0"), ("RKLLM_LOG_LEVEL", "3")]);
        assert_eq!((odd.soc.name, odd.log_level, odd.not_understood.len()), ("rk3588", 0, 1));
    }
}
