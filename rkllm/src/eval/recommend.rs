//! Which scheme to flash, from what was measured.

use crate::quant::QuantScheme;

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
    /// True if the vendor's runtime takes the scheme on the target.
    pub vendor_runtime: bool,
}

/// What to use, and why.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Recommendation {
    /// The scheme.
    pub dtype: QuantScheme,
    /// The SoC it is for.
    pub target: String,
    /// True if it stays within the loss that was allowed.
    pub within_max_loss: bool,
    /// True if the vendor's runtime takes it on the target; else the CPU engine runs it there.
    pub vendor_runtime: bool,
    /// The rule with its figures, in one or more sentences.
    pub reason: String,
}

/// Chooses among the quantised schemes of `measured`:
///
/// 1. of those that lose at most `max_loss` and that the vendor's runtime takes on `target`, the one with the
///    fewest bytes: decode waits for memory, so it is the fastest there, too;
/// 2. if there is none, the same among the schemes that only the CPU engine runs there;
/// 3. if none loses as little, the one with the smallest mean KL divergence, of the vendor's if it takes any.
///
/// Of equal ones the smaller mean KL divergence, then the earlier. `None` if no quantised scheme was
/// measured.
pub fn recommend(target: &str, measured: &[Measured], max_loss: f64) -> Option<Recommendation> {
    let quantized = || measured.iter().filter(|m| !m.dtype.is_float());
    let good = |vendor: bool| {
        quantized()
            .filter(move |m| m.loss <= max_loss && m.vendor_runtime == vendor)
            .min_by(|a, b| a.bytes.cmp(&b.bytes).then(a.kl_mean.total_cmp(&b.kl_mean)))
    };
    let nearest = |vendor: bool| {
        quantized()
            .filter(move |m| m.vendor_runtime == vendor)
            .min_by(|a, b| a.kl_mean.total_cmp(&b.kl_mean))
    };
    let limit = percent(max_loss);
    let (chosen, mut reason) = if let Some(chosen) = good(true) {
        let reason = format!(
            "the smallest scheme the {target} vendor runtime takes that loses at most {limit} of the float perplexity: {}",
            figures(chosen, measured)
        );
        (chosen, reason)
    } else if let Some(chosen) = good(false) {
        let reason = format!(
            "the {target} vendor runtime takes no scheme that loses at most {limit} of the float perplexity; this is \
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
            "no scheme measured loses at most {limit} of the float perplexity; {road} is the nearest to the float \
             model: {}. Try --clip mse, or smaller groups",
            figures(chosen, measured)
        );
        (chosen, reason)
    };
    if let Some(smaller) = quantized()
        .filter(|m| m.bytes < chosen.bytes && m.loss > max_loss)
        .min_by(|a, b| a.loss.total_cmp(&b.loss))
    {
        let road = if smaller.vendor_runtime { "" } else { " and run on the CPU cores only" };
        reason += &format!(
            ". {} would take {} MB and lose {}{road}",
            smaller.dtype,
            megabytes(smaller.bytes),
            percent(smaller.loss),
        );
    }
    Some(Recommendation {
        dtype: chosen.dtype,
        target: target.to_owned(),
        within_max_loss: chosen.loss <= max_loss,
        vendor_runtime: chosen.vendor_runtime,
        reason,
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
    format!("{loss}, mean KL {:.5}, {} MB{of}", chosen.kl_mean, megabytes(chosen.bytes))
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(dtype: &str, bytes: u64, loss: f64, vendor_runtime: bool) -> Measured {
        let dtype = dtype.parse().unwrap();
        Measured { dtype, bytes, loss, kl_mean: loss.abs(), vendor_runtime }
    }

    fn chosen(measured: &[Measured]) -> (String, bool, bool) {
        let found = recommend("rk3588", measured, 0.01).unwrap();
        assert!(found.reason.contains("MB") && found.reason.contains('%'), "{}", found.reason);
        (found.dtype.to_string(), found.within_max_loss, found.vendor_runtime)
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
        let reason = recommend("rk3588", &rows, 0.01).unwrap().reason;
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
        assert!(recommend("rk3588", &rows[..2], 0.01).is_none());
        assert!(recommend("rk3588", &[], 0.01).is_none());
    }

    #[test]
    fn of_equal_sizes_the_nearer_wins() {
        let rows = [measured("w8a8", 20, 0.004, true), measured("w8a8_g128", 20, 0.001, true)];
        assert_eq!(chosen(&rows).0, "w8a8_g128");
    }
}
