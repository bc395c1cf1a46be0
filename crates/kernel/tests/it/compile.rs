//! What must not compile: the ways past the permit.
//!
//! `TRYBUILD=overwrite cargo test -p tenantry-kernel compile` writes the compiler's words anew.

#[test]
fn ways_past_the_permit_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile-fail/control.rs");
    for case in [
        "access_missing",
        "cx_by_hand",
        "handle_without_permit",
        "permit_by_hand",
        "permit_cloned",
        "permit_granted",
        "permit_of_another_operation",
        "row_by_hand",
    ] {
        cases.compile_fail(format!("tests/compile-fail/{case}.rs"));
    }
}
