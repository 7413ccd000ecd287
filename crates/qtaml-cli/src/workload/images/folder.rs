//! The files of a folder of images, and the classes that its subfolders are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Images in their order: by name, those of one class after those of the class before.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ImageFolder {
    pub(super) files: Vec<PathBuf>,
    /// The names of the classes, if there is a folder for each.
    pub(super) classes: Vec<String>,
    /// The number of the class of each file, if there are classes.
    pub(super) labels: Vec<usize>,
}

impl ImageFolder {
    /// Lists images, or subfolders with images. Which files are images shows when they are read.
    pub(super) fn list(path: &Path) -> Result<Self> {
        let (files, folders) = entries(path)?;
        let shown = path.display();
        if let (Some(file), Some(folder)) = (files.first(), folders.first()) {
            bail!(
                "{shown} has files ({}) and folders ({}): it may have images, or a folder for each class",
                name_of(file),
                name_of(folder)
            );
        }
        let mut found = Self { files, ..Self::default() };
        for (label, folder) in folders.iter().enumerate() {
            let (files, below) = entries(folder)?;
            let class = folder.display();
            ensure!(below.is_empty(), "there are folders in {class}, which is a class of {shown}");
            ensure!(!files.is_empty(), "there is no image in {class}, which is a class of {shown}");
            found.classes.push(name_of(folder));
            found.labels.extend(files.iter().map(|_| label));
            found.files.extend(files);
        }
        ensure!(!found.files.is_empty(), "there is no image in {shown}");
        Ok(found)
    }
}

/// The files and the folders in a folder, by name. What file managers leave there is told of.
fn entries(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let cannot = || format!("cannot read the folder {}", path.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(path).with_context(cannot)? {
        all.push(entry.with_context(cannot)?.path());
    }
    all.sort();
    let is_hidden = |path: &PathBuf| name_of(path).starts_with('.');
    let (hidden, shown): (Vec<_>, Vec<_>) = all.into_iter().partition(is_hidden);
    for path in hidden {
        eprintln!("note: {} is hidden, and not taken for an image", path.display());
    }
    Ok(shown.into_iter().partition(|path| !path.is_dir()))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !file.ends_with('/') {
                fs::write(path, "").unwrap();
            }
        }
        folder
    }

    #[test]
    fn files_lie_in_the_order_of_their_names() {
        let plain = folder(&["b.png", "a.jpg", "c", ".DS_Store"]);
        let found = ImageFolder::list(plain.path()).unwrap();
        assert_eq!(found.files, ["a.jpg", "b.png", "c"].map(|name| plain.path().join(name)));
        assert!(found.classes.is_empty() && found.labels.is_empty());
        let classes = folder(&["cat/2.png", "cat/1.png", "ant/3.png", ".cache/x"]);
        let found = ImageFolder::list(classes.path()).unwrap();
        let files = ["ant/3.png", "cat/1.png", "cat/2.png"];
        assert_eq!(found.files, files.map(|name| classes.path().join(name)));
        assert_eq!(
            (found.classes, found.labels),
            (vec!["ant".into(), "cat".into()], vec![0, 1, 1])
        );
    }

    #[test]
    fn what_is_neither_images_nor_classes_is_named() {
        for (files, named) in [
            (&["a.png", "cat/1.png"][..], "has files (a.png) and folders (cat)"),
            (&["cat/1.png", "dog/"], "there is no image in"),
            (&["cat/1.png", "cat/more/2.png"], "there are folders in"),
            (&[".hidden"], "there is no image in"),
        ] {
            let folder = folder(files);
            for file in files.iter().filter(|file| file.ends_with('/')) {
                fs::create_dir_all(folder.path().join(file)).unwrap();
            }
            let error = ImageFolder::list(folder.path()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let missing = ImageFolder::list(Path::new("nowhere")).unwrap_err().to_string();
        assert!(missing.contains("cannot read the folder nowhere"), "{missing}");
    }
}
