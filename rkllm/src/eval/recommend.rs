//! Which scheme to flash, from what was measured.

use crate::quant::{Group, QuantScheme};

/// What was measured of one scheme.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The scheme.
    pub dtype: QuantScheme,
    /// Bytes of its weights.
    pub bytes: u64,
    /// The largest relative loss of perplexity over the texts: 0.01 is one per cent worse than the baseline.
    pub loss: f64,
    /// Mean KL divergence from the baseline over all texts, in nats.
    pub kl_mean: f64,
    /// The part of the questions answered right, 0 to 1, where there were questions.
    pub term_accuracy: Option<f64>,
    /// True if the vendor's runtime takes the scheme on the target.
    pub vendor_runtime: bool,
}

/// What a recommended scheme may lose against the float baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Relative loss of perplexity, of the worst text: 0.01 is one per cent.
    pub perplexity: f64,
    /// Loss of term accuracy: 0.02 is two points of a hundred. It counts where questions were answered by both
    /// the scheme and the baseline.
    pub term_accuracy: f64,
}

impl Default for Limits {
    /// One per cent of perplexity, two points of term accuracy.
    fn default() -> Self {
        Self { perplexity: 0.01, term_accuracy: 0.02 }
    }
}

/// Parts of a whole are counted questions; their difference is rounded, and 2 points must be 2 points.
const ROUNDING: f64 = 1e-9;

impl Limits {
    /// Whether a scheme stays within both.
    fn keep(&self, found: &Measured, measured: &[Measured]) -> bool {
        let lost = terms_lost(found, measured);
        found.loss <= self.perplexity
            && lost.is_none_or(|lost| lost <= self.term_accuracy + ROUNDING)
    }

    /// `1.00 % of the float perplexity`, with what else was measured.
    fn describe(&self, measured: &[Measured]) -> String {
        let terms = if measured.iter().any(|found| terms_lost(found, measured).is_some()) {
            format!(" and {} of term accuracy", points(self.term_accuracy))
        } else {
            String::new()
        };
        format!("{} of the float perplexity{terms}", percent(self.perplexity))
    }
}

/// The term accuracy the float baseline has and the scheme has not; `None` if not both were measured.
fn terms_lost(found: &Measured, measured: &[Measured]) -> Option<f64> {
    let baseline = measured.iter().find(|m| m.dtype == QuantScheme::F32)?;
    Some(baseline.term_accuracy? - found.term_accuracy?)
}

/// What to use, and why.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Recommendation {
    /// The scheme.
    pub dtype: QuantScheme,
    /// The SoC it is for.
    pub target: String,
    /// True if it stays within the losses that were allowed.
    pub within_max_loss: bool,
    /// True if the vendor's runtime takes it on the target; else the CPU engine runs it there.
    pub vendor_runtime: bool,
    /// The rule with its figures, in one or more sentences.
    pub reason: String,
}

/// Chooses among the quantised schemes of `measured`:
///
/// 1. of those that stay within `limits` and that the vendor's runtime takes on `target`, the one with the
///    fewest bytes: decode waits for memory, so it is the fastest there, too. Within 2 % of its size the
///    one with the fewest scales: groups of K take more arithmetic than so few bytes save;
/// 2. if there is none, the same among the schemes that only the CPU engine runs there;
/// 3. if none loses as little, the one with the smallest mean KL divergence, of the vendor's if it takes any.
///
/// Of equal ones the smaller mean KL divergence, then the earlier. `None` if no quantised scheme was
/// measured.
pub fn recommend(target: &str, measured: &[Measured], limits: &Limits) -> Option<Recommendation> {
    let quantized = || measured.iter().filter(|m| !m.dtype.is_float());
    let good = |vendor: bool| {
        smallest(
            quantized().filter(move |m| limits.keep(m, measured) && m.vendor_runtime == vendor),
        )
    };
    let nearest = |vendor: bool| {
        quantized()
            .filter(move |m| m.vendor_runtime == vendor)
            .min_by(|a, b| a.kl_mean.total_cmp(&b.kl_mean))
    };
    let limit = limits.describe(measured);
    let (chosen, mut reason) = if let Some(chosen) = good(true) {
        let reason = format!(
            "the smallest scheme (to 2 %) the {target} vendor runtime takes that loses at most {limit}: {}",
            figures(chosen, measured)
        );
        (chosen, reason)
    } else if let Some(chosen) = good(false) {
        let reason = format!(
            "the {target} vendor runtime takes no scheme that loses at most {limit}; this is \
             the smallest that does, on the CPU cores by rkllm: {}",
            figures(chosen, measured)
        );
        (chosen, reason)
    } else {
        let chosen = nearest(true).or_else(|| nearest(false))?;
        let road = match chosen.vendor_runtime {
            true => format!("of those the {target} vendor runtime takes it"),
            false => format!("the {target} vendor runtime takes none of them; it"),
        };
        let reason = format!(
            "no scheme measured loses at most {limit}; {road} is the nearest to the float \
             model: {}. Try --clip mse, or smaller groups",
            figures(chosen, measured)
        );
        (chosen, reason)
    };
    if let Some(smaller) = quantized()
        .filter(|m| m.bytes < chosen.bytes && !limits.keep(m, measured))
        .min_by(|a, b| a.loss.total_cmp(&b.loss))
    {
        let road = if smaller.vendor_runtime { "" } else { " and run on the CPU cores only" };
        reason += &format!(
            ". {} would take {} MB and lose {}{}{road}",
            smaller.dtype,
            megabytes(smaller.bytes),
            percent(smaller.loss),
            terms_lost(smaller, measured)
                .map_or(String::new(), |lost| format!(" and {} of term accuracy", points(lost))),
        );
    }
    Some(Recommendation {
        dtype: chosen.dtype,
        target: target.to_owned(),
        within_max_loss: limits.keep(chosen, measured),
        vendor_runtime: chosen.vendor_runtime,
        reason,
    })
}

/// The one with the fewest bytes or, within 2 % of these, with the fewest scales; of equal ones the smaller
/// mean KL divergence, then the earlier.
fn smallest<'a>(candidates: impl Iterator<Item = &'a Measured>) -> Option<&'a Measured> {
    let candidates: Vec<_> = candidates.collect();
    let fewest = candidates.iter().map(|m| m.bytes).min()?;
    let scales = |m: &Measured| match m.dtype.group() {
        Some(Group::Columns(size)) => std::cmp::Reverse(size),
        _ => std::cmp::Reverse(usize::MAX),
    };
    candidates.into_iter().filter(|m| m.bytes - fewest <= fewest / 50).min_by(|a, b| {
        let by_size = scales(a).cmp(&scales(b)).then(a.bytes.cmp(&b.bytes));
        by_size.then(a.kl_mean.total_cmp(&b.kl_mean))
    })
}

/// What a scheme costs, for people.
fn figures(chosen: &Measured, measured: &[Measured]) -> String {
    let baseline = measured.iter().find(|m| m.dtype == QuantScheme::F32);
    let of = baseline.map_or(String::new(), |b| format!(" instead of {}", megabytes(b.bytes)));
    let loss = if chosen.loss < 0.0 {
        format!("{} better at worst", percent(-chosen.loss))
    } else {
        format!("loss {} at worst", percent(chosen.loss))
    };
    let terms = match (chosen.term_accuracy, baseline.and_then(|b| b.term_accuracy)) {
        (Some(own), Some(float)) => {
            format!(", {:.1} % of the terms right (float {:.1} %)", own * 100.0, float * 100.0)
        }
        _ => String::new(),
    };
    format!("{loss}{terms}, mean KL {:.5}, {} MB{of}", chosen.kl_mean, megabytes(chosen.bytes))
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

fn points(part: f64) -> String {
    format!("{:.1} points", part * 100.0)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(dtype: &str, bytes: u64, loss: f64, vendor_runtime: bool) -> Measured {
        let dtype = dtype.parse().unwrap();
        Measured { dtype, bytes, loss, kl_mean: loss.abs(), term_accuracy: None, vendor_runtime }
    }

    fn chosen(measured: &[Measured]) -> (String, bool, bool) {
        let found = recommend("rk3588", measured, &Limits::default()).unwrap();
        assert!(found.reason.contains("MB") && found.reason.contains('%'), "{}", found.reason);
        (found.dtype.to_string(), found.within_max_loss, found.vendor_runtime)
    }

    #[test]
    fn a_few_bytes_are_not_worth_groups() {
        let schemes = |grouped: u64| {
            [
                measured("f32", 200, 0.0, true),
                measured("w8a8_g256", grouped, 0.001, true),
                measured("w8a8", 1000, 0.002, true),
            ]
        };
        assert_eq!(chosen(&schemes(985)).0, "w8a8");
        assert_eq!(chosen(&schemes(970)).0, "w8a8_g256");
    }

    #[test]
    fn the_smallest_good_scheme_of_the_vendor_comes_first() {
        let rows = [
            measured("f32", 80_000_000, 0.0, false),
            measured("f16", 40_000_000, 0.0, true),
            measured("w8a8_g128", 21_000_000, 0.001, true),
            measured("w8a8", 20_000_000, 0.004, true),
            measured("w4a16_g32", 12_000_000, 0.009, false),
            measured("w4a16", 10_000_000, 0.3, false),
        ];
        assert_eq!(chosen(&rows), ("w8a8".into(), true, true));
        let reason = recommend("rk3588", &rows, &Limits::default()).unwrap().reason;
        assert!(reason.contains("instead of 80.0") && reason.contains("0.40 %"), "{reason}");
        assert!(reason.contains("w4a16 would take 10.0 MB and lose 30.00 %"), "{reason}");
        // w8a8 misses the limit: its grouped form does not.
        let mut rows = rows;
        rows[3].loss = 0.02;
        assert_eq!(chosen(&rows), ("w8a8_g128".into(), true, true));
        // So does the grouped form: what runs on the CPU only does not.
        rows[2].loss = 0.02;
        assert_eq!(chosen(&rows), ("w4a16_g32".into(), true, false));
        // Nothing is good: the nearest of the vendor's, even if the CPU's is nearer.
        rows[4].loss = 0.011;
        rows[2].kl_mean = 0.02;
        rows[3].kl_mean = 0.03;
        assert_eq!(chosen(&rows), ("w8a8_g128".into(), false, true));
        // The vendor takes nothing.
        rows.iter_mut().for_each(|row| row.vendor_runtime = false);
        assert_eq!(chosen(&rows), ("w4a16_g32".into(), false, false));
        assert!(recommend("rk3588", &rows[..2], &Limits::default()).is_none());
        assert!(recommend("rk3588", &[], &Limits::default()).is_none());
    }

    #[test]
    fn a_scheme_that_forgets_its_terms_is_not_good() {
        let mut rows = [
            measured("f32", 80_000_000, 0.0, false),
            measured("w8a8_g128", 21_000_000, 0.001, true),
            measured("w8a8", 20_000_000, 0.004, true),
        ];
        for (row, accuracy) in rows.iter_mut().zip([0.90, 0.88, 0.876]) {
            row.term_accuracy = Some(accuracy);
        }
        // 2 points exactly are allowed, 2.4 are not.
        assert_eq!(chosen(&rows), ("w8a8_g128".into(), true, true));
        let reason = recommend("rk3588", &rows, &Limits::default()).unwrap().reason;
        assert!(reason.contains("perplexity and 2.0 points of term accuracy"), "{reason}");
        assert!(reason.contains("88.0 % of the terms right (float 90.0 %)"), "{reason}");
        assert!(reason.contains("lose 0.40 % and 2.4 points of term accuracy"), "{reason}");
        let wide = Limits { term_accuracy: 0.03, ..Limits::default() };
        assert_eq!(recommend("rk3588", &rows, &wide).unwrap().dtype, rows[2].dtype);
        rows[1].term_accuracy = Some(0.5);
        assert_eq!(chosen(&rows), ("w8a8_g128".into(), false, true));
        // Without questions for the baseline there is nothing to lose.
        rows[0].term_accuracy = None;
        assert_eq!(chosen(&rows), ("w8a8".into(), true, true));
        let reason = recommend("rk3588", &rows, &Limits::default()).unwrap().reason;
        assert!(!reason.contains("term"), "{reason}");
    }

    #[test]
    fn of_equal_sizes_the_nearer_wins() {
        let rows =
            [measured("w8a8_g128", 20, 0.004, true), measured("w4a16_g128", 20, 0.001, true)];
        assert_eq!(chosen(&rows).0, "w4a16_g128");
    }
}
