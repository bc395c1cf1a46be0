//! What an image URI means on a host without a container engine: `images/*.toml`.
//!
//! A file answers for one or more repositories and lists versions by patterns on the tag. Registry accounts and regions are
//! not checked: the same image is published under many. What a file says is a set of facts (interpreter, packages, entry
//! points); an unknown image is an error that names the known ones, never a guess.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

/// The known images.
#[derive(Debug, Clone, Default)]
pub struct Images {
    files: Vec<File>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The last part of the image URI's path, or several.
    repository: Vec<String>,
    #[serde(default)]
    entry: Entry,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    version: Vec<Version>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    /// Patterns with `*` and `?` on the tag.
    tags: Vec<String>,
    /// Series of the interpreter, `3.11`.
    python: String,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    entry: Option<Entry>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

/// How an image is entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    /// What a training job runs.
    pub train: Vec<String>,
    /// What an endpoint or a batch transform runs; it listens on port 8080.
    pub serve: Vec<String>,
    /// What a processing job without `AppSpecification.ContainerEntrypoint` runs.
    pub processing: Vec<String>,
    /// Whether `serve` can host several models.
    pub multi_model: bool,
}

/// A known image: everything needed to make its environment and enter it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// As asked for.
    pub uri: String,
    /// The last part of its path.
    pub repository: String,
    /// Its tag, or its digest.
    pub tag: String,
    /// Series of the interpreter.
    pub python: String,
    /// Requirements, as `pip` reads them.
    pub packages: Vec<String>,
    /// Commands.
    pub entry: Entry,
    /// Variables.
    pub environment: BTreeMap<String, String>,
}

/// No file answers for this image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image `{uri}` is not known here: known are {}; describe it in a file of a directory that `serve --images DIR` names", known.join(", "))]
pub struct UnknownImage {
    /// As asked for.
    pub uri: String,
    /// `repository:pattern` of the known ones: those of the same repository if there are any, otherwise all.
    pub known: Vec<String>,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The directory or file.
    #[error("cannot read `{path}`: {error}")]
    Unreadable {
        /// Where.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Its content.
    #[error("`{path}` is not an image description: {error}")]
    Malformed {
        /// Where.
        path: String,
        /// Why.
        error: String,
    },
}

impl Images {
    /// Reads every `*.toml` of a directory, in the order of names.
    ///
    /// # Errors
    /// When one cannot be read or says something unknown: a typing error must not make an image vanish.
    pub fn load(dir: &Path) -> Result<Self, ImagesError> {
        let mut images = Self::default();
        images.load_over(dir)?;
        Ok(images)
    }

    /// The same, added to what is known; a description of the directory is asked before those.
    ///
    /// # Errors
    /// As [`Images::load`]; what was read before the error stays.
    pub fn load_over(&mut self, dir: &Path) -> Result<(), ImagesError> {
        let unreadable = |path: &Path, error| ImagesError::Unreadable { path: path.display().to_string(), error };
        let listing = fs::read_dir(dir).map_err(|error| unreadable(dir, error))?;
        let mut paths: Vec<_> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            self.add(&path.display().to_string(), &text)?;
        }
        Ok(())
    }

    /// Adds a description; `name` is for errors. A description added later is asked first, so an operator's
    /// directory overrides what is built in.
    ///
    /// # Errors
    /// [`ImagesError::Malformed`].
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), ImagesError> {
        let malformed = |error: String| ImagesError::Malformed { path: name.to_owned(), error };
        let file: File = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        if file.repository.is_empty() || file.version.iter().any(|version| version.tags.is_empty() || version.python.is_empty()) {
            return Err(malformed("`repository`, `tags` and `python` must not be empty".into()));
        }
        self.files.insert(0, file);
        Ok(())
    }

    /// What `uri` means: `[registry/][path/]repository[:tag][@sha256:…]`. Without a tag it is `latest`.
    ///
    /// # Errors
    /// [`UnknownImage`].
    pub fn resolve(&self, uri: &str) -> Result<Image, UnknownImage> {
        let (name, digest) = uri.split_once('@').map_or((uri, None), |(name, digest)| (name, Some(digest)));
        let last = name.rsplit('/').next().unwrap_or(name);
        let (repository, tag) = last.split_once(':').map_or((last, digest.unwrap_or("latest")), |(repository, tag)| (repository, tag));
        for file in self.files.iter().filter(|file| file.repository.iter().any(|known| known == repository)) {
            if let Some(version) = file.version.iter().find(|version| version.tags.iter().any(|pattern| glob(pattern, tag))) {
                let mut environment = file.environment.clone();
                environment.extend(version.environment.clone());
                return Ok(Image {
                    uri: uri.to_owned(),
                    repository: repository.to_owned(),
                    tag: tag.to_owned(),
                    python: version.python.clone(),
                    packages: version.packages.clone(),
                    entry: version.entry.clone().unwrap_or_else(|| file.entry.clone()),
                    environment,
                });
            }
        }
        Err(UnknownImage { uri: uri.to_owned(), known: self.known(repository) })
    }

    fn known(&self, repository: &str) -> Vec<String> {
        let list = |only: Option<&str>| {
            let files = self.files.iter().flat_map(|file| file.repository.iter().map(move |name| (name, file)));
            let wanted = files.filter(|(name, _)| only.is_none_or(|only| only == *name));
            let tags = wanted.flat_map(|(name, file)| file.version.iter().flat_map(|v| &v.tags).map(move |tag| format!("{name}:{tag}")));
            let mut known: Vec<_> = tags.collect();
            known.sort();
            known.dedup();
            known
        };
        let same = list(Some(repository));
        if same.is_empty() { list(None) } else { same }
    }
}

/// `*` is any text, `?` any character. Linear in the product of the lengths, both of which are small.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const XGBOOST: &str = r#"
        repository = ["sagemaker-xgboost"]
        [entry]
        train = ["python", "-m", "tenantry_runtime.xgboost_train"]
        multi_model = true
        [environment]
        A = "file"
        B = "file"
        [[version]]
        tags = ["1.0-1*"]
        python = "3.11"
        packages = ["xgboost==1.0.2"]
        environment = { B = "version" }
        [[version]]
        tags = ["1.7-?", "latest"]
        python = "3.11"
        entry = { serve = ["x"] }
    "#;

    #[test]
    fn resolves() {
        let mut images = Images::default();
        images.add("xgboost", XGBOOST).unwrap();
        let image = images.resolve("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3").unwrap();
        assert_eq!((image.python.as_str(), image.packages.as_slice()), ("3.11", &["xgboost==1.0.2".to_owned()][..]));
        assert_eq!((image.environment["A"].as_str(), image.environment["B"].as_str(), image.entry.multi_model), ("file", "version", true));
        let other = images.resolve("a.b/c/sagemaker-xgboost:1.7-3@sha256:abc").unwrap();
        assert_eq!((other.entry.serve, other.entry.multi_model, other.tag.as_str()), (vec!["x".to_owned()], false, "1.7-3"));
        assert_eq!(images.resolve("sagemaker-xgboost").unwrap().tag, "latest");
        for unknown in ["x/sagemaker-xgboost:9.9", "localhost:5000/other", "", "a@sha256:b", "x/sagemaker-xgboost@sha256:abc"] {
            let error = images.resolve(unknown).unwrap_err();
            assert_eq!(error.known.len(), 3, "{error}");
        }
    }

    #[test]
    fn malformed() {
        for text in ["repository = []", "repository = ['a']\nversoin = 1", "repository = ['a']\n[[version]]\ntags = []\npython = '3'", "{"]
        {
            assert!(Images::default().add("x", text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("1.0-1*", "1.0-1", true),
            ("1.0-1*", "1.0-2", false),
            ("*a*b", "xaayb", true),
            ("a?c", "abc", true),
            ("a", "ab", false),
            ("*?", "", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
