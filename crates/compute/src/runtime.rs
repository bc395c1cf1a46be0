//! The Python package of ours that images' entry points use, carried in the binary.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../images/runtime/tenantry_runtime/", $name)))),*]
    };
}

/// Every file of `images/runtime/tenantry_runtime`; a test compares with the directory.
const FILES: &[(&str, &str)] = embedded![
    "__init__.py",
    "archive.py",
    "djl.py",
    "failure.py",
    "huggingface.py",
    "launch.py",
    "layout.py",
    "multi_model.py",
    "overlay.py",
    "pbtxt.py",
    "rendezvous.py",
    "serve.py",
    "shims/djl_python/__init__.py",
    "shims/djl_python/inputs.py",
    "shims/djl_python/outputs.py",
    "toolkit_env.py",
    "training_toolkit.py",
    "triton.py",
    "triton_backends.py",
    "triton_config.py",
    "triton_tensors.py",
    "user_module.py",
    "web.py",
    "xgboost_cluster.py",
    "xgboost_data.py",
    "xgboost_hyperparameters.py",
    "xgboost_metrics.py",
    "xgboost_predict.py",
    "xgboost_train.py",
];

/// Where this version of the package lies below the directory of environments.
pub(crate) fn place(root: &Path) -> PathBuf {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(name.len().to_le_bytes());
        hash.update(name);
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    let name: String = hash.finalize().iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    root.join(format!("runtime-{name}"))
}

/// Writes the package, unless it is there. Several servers may do so at once: each writes aside and renames.
pub(crate) fn lay_out(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let place = place(root);
    if place.exists() {
        return Ok(());
    }
    let aside = root.join(format!("runtime-{}.building", std::process::id()));
    // Readable by the jobs' users, whatever the server's umask is.
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    for (name, text) in FILES {
        let path = aside.join("tenantry_runtime").join(name);
        for dir in path.ancestors().skip(1).take_while(|dir| dir.starts_with(&aside)).collect::<Vec<_>>().into_iter().rev() {
            fs::create_dir_all(dir)?;
            open(dir, 0o755)?;
        }
        fs::write(&path, text)?;
        open(&path, 0o644)?;
    }
    match fs::rename(&aside, &place) {
        // Another server was faster.
        Err(_) if place.exists() => fs::remove_dir_all(&aside),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(dir: &Path, prefix: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = prefix.join(entry.file_name());
            if entry.path().is_dir() {
                list(&entry.path(), &path, found);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_is_embedded() {
        let mut on_disk = Vec::new();
        list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images/runtime/tenantry_runtime"), Path::new(""), &mut on_disk);
        on_disk.sort();
        let mut here: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        here.sort();
        assert_eq!(here, on_disk, "add the missing files to FILES");
    }
}
