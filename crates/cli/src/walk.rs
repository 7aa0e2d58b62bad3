//! From the paths of the command line to files, in a fixed order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// One thing to judge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file, or something that has to be reported as none.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// A folder, or an entry in one, that the system does not show.
    Hidden(PathBuf, io::ErrorKind),
}

/// The inputs that the paths name, lazily: a folder stands for all files below it, sorted by name within each folder.
///
/// Links to files are followed, links to folders are not unless they are named themselves: an unpacked archive must
/// not lead the scan out of its folder or round in circles.
pub(crate) fn inputs(paths: Vec<PathBuf>) -> impl Iterator<Item = Input> {
    paths.into_iter().flat_map(|path| -> Box<dyn Iterator<Item = Input>> {
        if path.as_os_str() == "-" {
            Box::new(std::iter::once(Input::Stdin))
        } else if path.is_dir() {
            Box::new(folder(&path))
        } else {
            Box::new(std::iter::once(Input::File(path)))
        }
    })
}

fn folder(path: &Path) -> impl Iterator<Item = Input> + use<> {
    WalkDir::new(path).sort_by_file_name().into_iter().filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => {
            let leads_to_folder =
                entry.path_is_symlink() && fs::metadata(entry.path()).is_ok_and(|m| m.is_dir());
            (!leads_to_folder).then(|| Input::File(entry.into_path()))
        }
        Err(error) => {
            let kind = error.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
            Some(Input::Hidden(error.path().unwrap_or_else(|| Path::new("")).to_owned(), kind))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/.hidden")).unwrap();
        for name in ["c", "a", "b/2", "b/10", "b/.hidden/x", ".gitignore"] {
            fs::write(root.join(name), "*").unwrap();
        }
        let paths = [root.to_owned(), PathBuf::from("-"), root.join("missing")];
        let found: Vec<Input> = inputs(paths.to_vec()).collect();
        let file = |name: &str| Input::File(root.join(name));
        let expected = [
            file(".gitignore"),
            file("a"),
            file("b/.hidden/x"),
            file("b/10"),
            file("b/2"),
            file("c"),
            Input::Stdin,
            file("missing"),
        ];
        assert_eq!(found, expected);
    }

    #[cfg(unix)]
    #[test]
    fn links_to_folders_are_not_followed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/file"), "x").unwrap();
        symlink(root, root.join("sub/loop")).unwrap();
        symlink(root.join("sub/file"), root.join("to-file")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        symlink(root.join("sub"), root.join("to-folder")).unwrap();
        let file = |name: &str| Input::File(root.join(name));
        let found: Vec<Input> = inputs(vec![root.to_owned()]).collect();
        assert_eq!(found, [file("broken"), file("sub/file"), file("to-file")]);
        assert_eq!(inputs(vec![root.join("to-folder")]).collect::<Vec<_>>(), [file("to-folder/file")]);
    }
}
