//! What goes wrong is an error that says so, and leaves nothing behind.

use std::sync::Arc;

use rkllm::layout::{Chip, Layout, MatmulType};
use rkllm::npu::matmul::{Core, Granularity, MatmulSpec, Runtime, Shape};
use rkllm::{Error, ErrorKind};

use crate::fake::Fake;

const SHAPE: Shape = Shape { m: 4, k: 64, n: 64 };

fn spec() -> MatmulSpec {
    MatmulSpec::new(Chip::Rk3588, MatmulType::I8I8I32, SHAPE)
}

fn expect(error: &Error, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
    assert!(error.hint().is_some(), "no advice: {text}");
}

#[test]
fn return_codes_have_names_and_advice() {
    let fake = Fake::new("");
    let refused = MatmulSpec::new(Chip::Rk3588, MatmulType::F16I4F32, SHAPE)
        .with_b_layout(Layout::TpNormal)
        .create(&fake.runtime)
        .unwrap_err();
    expect(
        &refused,
        ErrorKind::Unsupported,
        &["rknn_matmul_create", "-5", "PARAM_INVALID", "f16 x i4", "supports"],
    );
    let long = spec_of(Shape { k: 10_272, ..SHAPE }).create(&fake.runtime).unwrap_err();
    expect(&long, ErrorKind::Unsupported, &["-5", "10240"]);

    fake.configure("create_fails");
    let error = spec().create(&fake.runtime).unwrap_err();
    expect(&error, ErrorKind::Runtime, &["rknn_matmul_create", "-1", "RKNN_ERR_FAIL", "K 64"]);
    fake.configure("no_memory");
    let error = spec().create(&fake.runtime).unwrap_err();
    expect(&error, ErrorKind::Memory, &["rknn_create_mem", "4 GiB", "ulimit"]);
    fake.configure("bind_fails");
    let error = spec().create(&fake.runtime).unwrap_err();
    expect(&error, ErrorKind::Runtime, &["rknn_matmul_set_io_mem", "-1"]);
    fake.expect_clean();
}

fn spec_of(shape: Shape) -> MatmulSpec {
    MatmulSpec::new(Chip::Rk3588, MatmulType::I8I8I32, shape)
}

#[test]
fn a_failed_run_is_an_error_and_the_next_may_succeed() {
    let fake = Fake::new("strict_sync");
    let mut product = spec().create(&fake.runtime).unwrap();
    expect(&product.run().unwrap_err(), ErrorKind::Input, &["weights"]);
    product.set_weights(Arc::new(product.weights(&[1i8; 64 * 64]).unwrap())).unwrap();
    product.write_a(&[2i8; 4 * 64]).unwrap();
    fake.configure("strict_sync+run_fails");
    expect(&product.run().unwrap_err(), ErrorKind::Runtime, &["rknn_matmul_run", "-1"]);
    fake.configure("strict_sync+no_memory");
    assert_eq!(product.weights(&[1i8; 64 * 64]).unwrap_err().kind(), ErrorKind::Memory);
    fake.configure("strict_sync");
    product.run().unwrap();
    let mut c = [0i32; 4 * 64];
    product.read_c(&mut c).unwrap();
    assert_eq!(c, [128; 4 * 64]);
    drop(product);
    fake.expect_clean();
}

#[test]
fn a_shape_that_could_not_be_bound_is_not_run() {
    let fake = Fake::new("");
    let mut product = spec().create_dynamic(&fake.runtime, &[4, 8]).unwrap();
    product.set_weights(Arc::new(product.weights(&[1i8; 64 * 64]).unwrap())).unwrap();
    fake.configure("bind_fails");
    assert_eq!(product.set_rows(8).unwrap_err().kind(), ErrorKind::Runtime);
    fake.configure("");
    let runs = fake.count("rknn_matmul_run");
    expect(&product.run().unwrap_err(), ErrorKind::Input, &["set_rows"]);
    assert_eq!(fake.count("rknn_matmul_run"), runs);
    product.set_rows(8).unwrap();
    product.run().unwrap();
    drop(product);
    fake.expect_clean();
}

#[test]
fn other_tiles_are_named_and_used_only_when_trusted() {
    let fake = Fake::new("other_tiles");
    let error = spec().create(&fake.runtime).unwrap_err();
    expect(
        &error,
        ErrorKind::Abi,
        &[
            "B of i8 x i8",
            "[2, 2, 32, 32]",
            "[4, 2, 16, 32]",
            "librknnrt 2.3.2",
            "RK3588",
            "trust io_attr",
        ],
    );
    let mut product = spec().with_io_attr_trusted().create(&fake.runtime).unwrap();
    let random = &mut crate::random::Random(1);
    let (a, b) = (random.int8s(4 * 64), random.int8s(64 * 64));
    product.set_weights(Arc::new(product.weights(&b).unwrap())).unwrap();
    product.write_a(&a).unwrap();
    product.run().unwrap();
    let mut c = [0i32; 4 * 64];
    product.read_c(&mut c).unwrap();
    assert_eq!(c[..], crate::random::plain(&a, &b, 64));
    drop(product);

    // The chip of another board: its tiles differ, and that is seen before anything is multiplied.
    fake.configure("soc=rk3566");
    let error = spec().create(&fake.runtime).unwrap_err();
    expect(&error, ErrorKind::Abi, &["A of i8 x i8", "[4, 4, 16]", "[8, 4, 8]", "doctor"]);
    fake.expect_clean();
}

#[test]
fn lengths_and_types_are_checked_before_a_byte_moves() {
    let fake = Fake::new("");
    let mut product = spec().create(&fake.runtime).unwrap();
    assert_eq!(product.weights(&[1i8; 64 * 63]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(product.weights(&[1i32; 64 * 64]).unwrap_err().kind(), ErrorKind::Dtype);
    assert_eq!(product.write_a(&[1i8; 4 * 65]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(product.write_a(&[1u16; 4 * 64]).unwrap_err().kind(), ErrorKind::Dtype);
    assert_eq!(product.read_c(&mut [0i32; 5 * 64]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(product.read_c(&mut [0i8; 4 * 64]).unwrap_err().kind(), ErrorKind::Dtype);
    let other = spec_of(Shape { n: 96, ..SHAPE }).create(&fake.runtime).unwrap();
    let weights = other.weights(&[1i8; 96 * 64]).unwrap();
    assert_eq!(product.set_weights(Arc::new(weights)).unwrap_err().kind(), ErrorKind::Input);
    let elsewhere = spec().with_iommu_domain(1).create(&fake.runtime).unwrap();
    let weights = elsewhere.weights(&[1i8; 64 * 64]).unwrap();
    let error = product.set_weights(Arc::new(weights)).unwrap_err();
    expect(&error, ErrorKind::Input, &["domain 0, found", "domain 1", "[N 64, K 64]"]);
    drop((product, other, elsewhere));
    fake.expect_clean();
}

#[test]
fn weights_of_another_library_are_refused() {
    let (one, two) = (Fake::new(""), Fake::new(""));
    let product = spec().create(&one.runtime).unwrap();
    let mut other = spec().create(&two.runtime).unwrap();
    let weights = Arc::new(product.weights(&[1i8; 64 * 64]).unwrap());
    let error = other.set_weights(weights).unwrap_err();
    expect(&error, ErrorKind::Input, &["of another library"]);
    drop((product, other));
    one.expect_clean();
    two.expect_clean();
}

#[test]
fn settings_that_cannot_be_are_refused_before_a_call() {
    let fake = Fake::new("");
    fake.reset();
    let groups = |size| Granularity::PerGroup { size, asymmetric: false };
    for spec in [
        spec().with_iommu_domain(16),
        spec().with_ac_layout(Layout::TpNormal),
        spec().with_granularity(groups(0)),
        spec().with_granularity(groups(48)),
        spec().with_granularity(groups(40_000)),
        MatmulSpec::new(Chip::Rk3576, MatmulType::I8I8I32, SHAPE).with_core(Core::Two),
        MatmulSpec::new(Chip::Rk3566, MatmulType::I8I8I32, SHAPE).with_core(Core::Zero),
    ] {
        assert_eq!(spec.create(&fake.runtime).unwrap_err().kind(), ErrorKind::Input, "{spec:?}");
    }
    for shape in
        [Shape { m: 0, ..SHAPE }, Shape { k: 0, ..SHAPE }, Shape { n: usize::MAX, ..SHAPE }]
    {
        let error = spec_of(shape).create(&fake.runtime).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
    }
    assert_eq!(fake.record(), Vec::<String>::new());
}

#[test]
fn a_library_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Runtime::open(dir.path().join("librknnrt.so")).unwrap_err();
    expect(&missing, ErrorKind::Missing, &["librknnrt.so", "RKLLM_LIB_DIR"]);
    let text = dir.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    expect(&Runtime::open(&text).unwrap_err(), ErrorKind::Format, &["text.so"]);
}
