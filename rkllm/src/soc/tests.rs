//! The table against the vendor's published benchmark, and its names.

use super::*;

#[test]
fn names_round_trip() {
    for soc in Soc::ALL {
        assert_eq!(soc.to_string().parse::<Soc>().unwrap(), soc);
        assert_eq!(soc.facts().name.parse::<Soc>().unwrap(), soc);
    }
    assert_eq!(format!("{:>8}", Soc::Rv1126b), " rv1126b");
    let error = "rk3566".parse::<Soc>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("rk3588, rk3576, rk3562, rv1126b"), "{error}");
}

/// The matrix of types and chips of the SDK's documentation, in its own layout.
#[test]
fn vendor_types_per_chip() {
    let matrix = [
        // rk3588, rk3576, rk3562, rv1126b
        ("f32", [false, false, false, false]),
        ("f16", [true, false, false, false]),
        ("w8a8", [true, true, true, true]),
        ("w8a8_g128", [true, false, false, false]),
        ("w8a8_g256", [true, false, false, false]),
        ("w8a8_g512", [true, false, false, false]),
        ("w4a16", [false, true, false, true]),
        ("w4a16_g32", [false, true, true, true]),
        ("w4a16_g64", [false, true, true, true]),
        ("w4a16_g128", [false, true, true, true]),
    ];
    assert_eq!(matrix.len(), QuantScheme::ALL.len());
    for (scheme, taken) in matrix {
        let scheme: QuantScheme = scheme.parse().unwrap();
        assert_eq!(Soc::ALL.map(|soc| soc.vendor_runtime_takes(scheme)), taken, "{scheme}");
    }
}

#[test]
fn peak_bandwidth_is_clock_times_width() {
    let peak = |soc: Soc| soc.facts().dram_peak_gb_per_s();
    assert!((peak(Soc::Rk3588).unwrap() - 33.792).abs() < 1e-9);
    assert!((peak(Soc::Rk3576).unwrap() - 16.896).abs() < 1e-9);
    assert_eq!(peak(Soc::Rk3562), None);
    for soc in Soc::ALL {
        let (low, high) = soc.facts().decode_gb_per_s;
        assert!(low <= high && peak(soc).is_none_or(|peak| high < peak), "{soc}");
    }
}

/// Every published row of the two models, and no other; and the bandwidth they imply.
#[test]
fn figures_are_the_published_ones() {
    let Some(path) = crate::testing::shared("reference/board-benchmarks.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let published: serde_json::Value = serde_json::from_str(&text).unwrap();
    for soc in Soc::ALL {
        let rows = published["llm"].as_array().unwrap().iter().filter(|row| {
            row["platform"] == soc.facts().name
                && ["Qwen2", "TinyLLAMA"].contains(&row["model"].as_str().unwrap())
        });
        let rows: Vec<BoardFigure> = rows
            .map(|row| BoardFigure {
                model: if row["model"] == "Qwen2" { "Qwen2" } else { "TinyLLAMA" },
                size: if row["size"] == "0.5B" { "0.5B" } else { "1.1B" },
                scheme: row["dtype"].as_str().unwrap().parse().unwrap(),
                ttft_ms: row["ttft_ms"].as_f64().unwrap(),
                tokens_per_s: row["tokens_per_s"].as_f64().unwrap(),
                memory_mb: row["memory_mb"].as_f64().unwrap(),
            })
            .collect();
        assert_eq!(rows, soc.facts().figures, "{soc}");
        let (low, high) = soc.facts().decode_gb_per_s;
        for row in rows {
            let rate = row.tokens_per_s * row.memory_mb / 1000.0;
            // The range is that of most of the published table, rounded.
            assert!((low * 0.98..=high * 1.02).contains(&rate), "{soc} {row:?}: {rate}");
            assert!(soc.vendor_runtime_takes(row.scheme));
        }
    }
}
