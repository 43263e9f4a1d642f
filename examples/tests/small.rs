//! The small programs, run as a user runs them.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs an example. Cargo builds them before this test, beside the folder this test lies in.
fn example(name: &str, args: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let profile: PathBuf = test.ancestors().nth(2).unwrap().into();
    let program = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    Command::new(&program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// What an example prints when it succeeds.
fn output(name: &str, args: &[&str]) -> String {
    let output = example(name, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

/// The number that follows `label` at its first occurrence.
fn number_after(text: &str, label: &str) -> f64 {
    let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("no {label:?} in:\n{text}"));
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("no number after {label:?}: {rest:.40}"))
}

#[test]
fn quantize_tensor_shows_what_a_scheme_costs() {
    let text = output("quantize_tensor", &[]);
    let (head, schemes) = text.split_once("\n\n").unwrap();
    assert!(head.contains("weights [8, 256]"), "{head}");
    let schemes: Vec<&str> = schemes.split("\n\n").collect();
    let names = schemes.iter().map(|part| part.split(':').next().unwrap());
    let expected = ["w8a8", "w4a16_g32", "w4a16_g128", "w4a16_g128 with zero points"];
    assert_eq!(names.collect::<Vec<_>>(), expected);

    // int8 rows and 8 f32 scales; nibbles and f16 scales; a nibble of zero point for every group.
    let stored: Vec<f64> = schemes.iter().map(|part| number_after(part, "stored")).collect();
    assert_eq!(stored, [2048.0 + 32.0, 1024.0 + 128.0, 1024.0 + 32.0, 1024.0 + 32.0 + 8.0]);

    // More bits and smaller groups are nearer; half a step is the most that one weight moves.
    let rms: Vec<f64> = schemes.iter().map(|part| number_after(part, "RMS")).collect();
    assert!(0.0 < rms[0] && rms[0] < rms[1] / 4.0 && rms[1] < rms[2], "{rms:?}");
    for part in &schemes {
        assert!(number_after(part, ", max") >= number_after(part, "RMS"), "{part}");
    }
    let largest = number_after(head, "magnitude");
    assert!(number_after(schemes[0], ", max") <= largest / 255.0 * 1.001, "{}", schemes[0]);

    let exact = "8 rows of 128 bytes unpack and pack to the same bytes";
    assert_eq!(text.matches(exact).count(), 3, "{text}");
    assert_eq!(text.matches("none: symmetric").count(), 3, "{text}");
    assert!(schemes[3].contains("zero points  row 0: ["), "{}", schemes[3]);
}

#[test]
fn quantize_tensor_takes_a_shape_and_refuses_others() {
    assert!(output("quantize_tensor", &["3", "384"]).contains("weights [3, 384]"));
    for (args, reason) in [
        (vec!["3"], "expected two sizes N K"),
        (vec!["3", "0"], "expected two sizes N K"),
        (vec!["3", "x"], "expected two sizes N K"),
        (vec!["3", "100"], "group size 32 does not divide K = 100"),
    ] {
        let output = example("quantize_tensor", &args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(errors.starts_with("error: ") && errors.contains(reason), "{args:?}: {errors}");
    }
}

#[test]
fn native_layout_shows_where_weights_go() {
    let text = output("native_layout", &[]);
    assert!(text.contains("native dims [2, 3, 32, 32]"), "{text}");
    assert!(text.contains("padded to [64, 96]: 6144 bytes for 3840"), "{text}");
    assert!(text.contains("0 of 3840 bytes differ"), "{text}");

    // n, k, row-major, native; the fifth column is the weight.
    let rows: Vec<Vec<i64>> = text
        .lines()
        .map(|line| line.split_whitespace().map_while(|word| word.parse().ok()).collect())
        .filter(|row: &Vec<i64>| row.len() == 5)
        .collect();
    for expected in [[0, 32, 32, 1024], [1, 0, 80, 32], [1, 33, 113, 1057], [32, 0, 2560, 3072]] {
        assert!(rows.iter().any(|row| row[..4] == expected), "{expected:?} in {text}");
    }
    assert!(rows.iter().any(|row| row[..2] == [47, 79]), "{text}");
    assert!(rows.iter().any(|row| row[4] != 0), "every weight shown is zero:\n{text}");

    // The second row of tiles starts after the three of the first.
    assert!(
        text.lines().any(|line| line.split_whitespace().eq(["n", "32", "3", "4", "5"])),
        "{text}"
    );
    for operation in ["memcpy", "  pack", "unpack "] {
        assert!(number_after(&text, operation) > 0.0, "{text}");
    }
}

#[test]
fn native_layout_takes_small_shapes() {
    let text = output("native_layout", &["1", "1"]);
    assert!(text.contains("padded to [32, 32]: 1024 bytes for 1"), "{text}");
    assert!(text.contains("0 of 1 bytes differ"), "{text}");
    assert_eq!(example("native_layout", &["1"]).status.code(), Some(1));
}
