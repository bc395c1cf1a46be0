//! Denials of different causes, each through the door: AWS's sentence, the explanation that is kept, and the
//! smallest change it names, made by the calls it names. Then the same request is allowed.
//!
//! `golden/denials.txt` holds them as a table to read: `TENANTRY_UPDATE_GOLDEN=1 cargo test -p tenantry-matrix denials`
//! writes it anew.

mod conditions;
mod layers;
mod stage;

use std::path::PathBuf;

use stage::Stage;

/// Holds what was told against the golden file's section of this name.
fn golden(section: &str, told: &[String]) {
    assert!(told.len() >= 15, "{section} has {} denials", told.len());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("denials-{section}.txt"));
    let now = told.concat();
    if std::env::var_os("TENANTRY_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(before, now, "denials are told otherwise: look at them, then update {}", path.display());
}
