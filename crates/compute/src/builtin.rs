//! The image descriptions carried in the binary.

use crate::image::{Images, ImagesError};

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../images/", $name)))),*]
    };
}

/// Every `images/*.toml`; a test compares with the directory.
const FILES: &[(&str, &str)] = embedded![
    "djl-inference.toml",
    "huggingface-pytorch-inference.toml",
    "huggingface-pytorch-training.toml",
    "pytorch-inference.toml",
    "pytorch-training.toml",
    "sagemaker-base-python.toml",
    "sagemaker-scikit-learn.toml",
    "sagemaker-tritonserver.toml",
    "sagemaker-xgboost.toml",
];

impl Images {
    /// The images that this version knows. An operator's directory ([`Images::load_over`]) is asked before them.
    ///
    /// # Errors
    /// Never in a released version: a test reads them all.
    pub fn builtin() -> Result<Self, ImagesError> {
        let mut images = Self::default();
        for (name, text) in FILES {
            images.add(name, text)?;
        }
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_and_read() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
        let names = std::fs::read_dir(dir).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut on_disk: Vec<_> = names.filter(|name| name.ends_with(".toml")).collect();
        on_disk.sort();
        assert_eq!(FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), on_disk, "add the missing files to FILES");
        let images = Images::builtin().unwrap();
        let image = images.resolve("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3").unwrap();
        assert!(image.packages.contains(&"xgboost==1.0.2".to_owned()) && image.entry.multi_model, "{image:?}");
    }
}
