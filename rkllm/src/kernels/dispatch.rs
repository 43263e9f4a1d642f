//! Which kernel runs: decided once per process.

use std::sync::OnceLock;

use super::float::{self, FloatOps};
use super::int::{self, IntProducts};
use crate::{Error, ErrorKind, Result};

/// The environment variable that forces a kernel by name.
pub const KERNEL_VARIABLE: &str = "RKLLM_KERNEL";

/// Kernel names, the preferred ones last.
const NAMES: [&str; 7] = ["scalar", "neon", "neon-i8mm", "avx2", "avxvnni", "avx512vnni", "amx"];

/// The products and operations of one instruction set.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    int: &'static dyn IntProducts,
    float: &'static dyn FloatOps,
}

impl Kernel {
    /// The process's kernel: what `RKLLM_KERNEL` names, else the best this processor has. The choice
    /// is made at the first call and kept.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`] if `RKLLM_KERNEL` names a kernel that is unknown or cannot run here.
    pub fn active() -> Result<Self> {
        static ACTIVE: OnceLock<Result<Kernel, (String, String)>> = OnceLock::new();
        let chosen = ACTIVE.get_or_init(|| {
            let chosen = match std::env::var_os(KERNEL_VARIABLE) {
                Some(name) if !name.is_empty() => Self::by_name(&name.to_string_lossy())
                    .map_err(|error| error.about(KERNEL_VARIABLE)),
                _ => Ok(Self::best()),
            };
            // An Error cannot be cloned out of a static; its two texts can.
            chosen.map_err(|e| (e.subject().unwrap_or_default().to_owned(), text(&e)))
        });
        match chosen {
            Ok(kernel) => Ok(*kernel),
            Err((subject, message)) => {
                Err(Error::new(ErrorKind::Kernel, message.clone()).about(subject.clone()))
            }
        }
    }

    /// The kernel `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Kernel`] if there is none, if this processor lacks its instructions, or if the operating system
    /// does not let this process use them.
    pub fn by_name(name: &str) -> Result<Self> {
        let message = match (NAMES.contains(&name), int::refusal(name)) {
            (false, _) => format!("unknown kernel {name:?}"),
            (true, Some(why)) => format!("kernel {name:?} cannot run here: {why}"),
            (true, None) => match Self::of(name) {
                Some(found) => return Ok(found),
                None => format!("kernel {name:?} cannot run on this processor"),
            },
        };
        let here: Vec<&str> = Self::available().iter().map(|kernel| kernel.name).collect();
        Err(Error::new(ErrorKind::Kernel, message)
            .with_hint(format!("choose one of {}, or leave it unset", here.join(", "))))
    }

    /// Every kernel this build knows, whether it can run here or not, the preferred ones last.
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// Every kernel this processor can run, the preferred one last. Asks the system for nothing, so one that it then
    /// refuses may be among them: [`Kernel::by_name`] and [`Kernel::active`] know.
    pub fn available() -> Vec<Self> {
        NAMES.iter().filter_map(|name| Self::of(name)).collect()
    }

    fn of(name: &str) -> Option<Self> {
        let name = NAMES.into_iter().find(|known| *known == name)?;
        Some(Self { name, int: int::by_name(name)?, float: float::by_name(name)? })
    }

    fn best() -> Self {
        let mut from_best = Self::available().into_iter().rev();
        let runs = |kernel: &Self| int::refusal(kernel.name).is_none();
        from_best.find(runs).expect("the scalar kernel runs everywhere")
    }

    /// `scalar`, `avx2`, `avxvnni`, `avx512vnni`, `amx`, `neon` or `neon-i8mm`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Integer products.
    pub fn int(&self) -> &'static dyn IntProducts {
        self.int
    }

    /// Float operations.
    pub fn float(&self) -> &'static dyn FloatOps {
        self.float
    }
}

/// Message and hint without the subject.
fn text(error: &Error) -> String {
    let whole = error.to_string();
    match error.subject() {
        Some(subject) => whole.trim_start_matches(subject).trim_start_matches(": ").to_owned(),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_is_always_there_and_the_unknown_is_named() {
        assert_eq!(Kernel::available()[0].name(), "scalar");
        let error = Kernel::by_name("mmx").unwrap_err().to_string();
        assert!(error.contains("\"mmx\"") && error.contains("scalar"), "{error}");
    }

    #[test]
    fn a_kernel_of_another_processor_is_refused_as_such() {
        let foreign = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        let error = Kernel::by_name(foreign).unwrap_err().to_string();
        assert!(error.contains("cannot run here: it is for"), "{error}");
    }
}
