//! A few seeds with every test run; `cargo xtask simulate` runs thousands.

/// So many.
const SEEDS: u64 = 40;

#[test]
fn seeds() {
    let failed: Vec<String> = (1..=SEEDS)
        .flat_map(|seed| tenantry_simulation::run(seed).failures.into_iter().map(move |failure| format!("seed {seed}: {failure}")))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
