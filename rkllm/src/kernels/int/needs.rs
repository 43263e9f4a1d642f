//! What a kernel asks of the processor, and what of it is missing.

/// A feature of processors, and whether this one has it.
type Feature = (&'static str, fn() -> bool);

/// Features that a kernel needs. Made by [`needs`].
pub(super) struct Needs(pub(super) &'static [Feature]);

impl Needs {
    /// True where the processor has all of them.
    pub(super) fn met(&self) -> bool {
        self.0.iter().all(|(_, has)| has())
    }

    /// Those it has not.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, has)| !has()).map(|(name, _)| *name).collect()
    }

    /// Why a kernel that needs them does not run here; `None` if it does.
    pub(super) fn refusal(&self) -> Option<String> {
        refusal(&self.missing())
    }
}

/// Why a kernel that needs what is `missing` does not run here.
pub(super) fn refusal(missing: &[&str]) -> Option<String> {
    (!missing.is_empty()).then(|| format!("this processor has no {}", missing.join(", ")))
}

/// Why a kernel for processors of another architecture does not run here.
pub(super) fn foreign(arch: &str) -> String {
    format!("it is for {arch}, this is {}", std::env::consts::ARCH)
}

/// [`Needs`] by the names of features. A macro, since the standard library takes them as literals alone.
macro_rules! needs {
    ($($feature:tt),+ $(,)?) => {
        $crate::kernels::int::needs::Needs(&[$(($feature, || {
            #[cfg(target_arch = "x86_64")]
            return std::arch::is_x86_feature_detected!($feature);
            #[cfg(target_arch = "aarch64")]
            return std::arch::is_aarch64_feature_detected!($feature);
        })),+])
    };
}

pub(super) use needs;
