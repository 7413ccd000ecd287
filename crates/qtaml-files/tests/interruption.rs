//! What a handler of Ctrl-C leaves behind; in a process of its own, whose files are all its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::thread;
use std::time::Duration;

use qtaml_files::{WholeFile, remove_temporaries};

#[test]
fn an_interruption_removes_what_is_in_the_making_and_blocks_what_would_be() {
    let root = tempfile::tempdir().unwrap();
    let names = || std::fs::read_dir(root.path()).unwrap().count();
    qtaml_files::write(&root.path().join("done"), b"done").unwrap();
    let mut half = WholeFile::create(&root.path().join("half")).unwrap();
    half.write_all(b"half").unwrap();
    assert_eq!(names(), 2);

    let blocked = remove_temporaries();
    assert_eq!(names(), 1, "the finished file stays");
    thread::scope(|scope| {
        let late = scope.spawn(|| WholeFile::create(&root.path().join("late")).map(drop));
        thread::sleep(Duration::from_millis(50));
        assert!(!late.is_finished() && names() == 1, "no file is created any more");
        drop(blocked);
        late.join().unwrap().unwrap();
    });

    half.finish().unwrap_err();
    assert_eq!(names(), 1);
    assert_eq!(std::fs::read(root.path().join("done")).unwrap(), b"done");
}
