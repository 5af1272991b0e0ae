//! A call without a permit, and a permit without the guard, do not compile.

#[test]
fn the_choke_point_cannot_be_gone_around() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
