//! Archives that a sandbox made, friendly and hostile, into a directory of this machine.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use tar::{Builder, EntryType, Header};

use super::Random;
use crate::workspace::{Limits, PackOptions, TransferError, UnpackOptions, Unpacker, pack};

/// An archive, entry by entry, with nothing checked on the way in.
struct Hostile(Builder<Vec<u8>>);

impl Hostile {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, name: &str, kind: EntryType, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o7755);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(name, EntryType::Regular, "", content.as_bytes())
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Symlink, target, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

async fn unpack(to: &Path, bytes: &[u8], options: UnpackOptions) -> Result<u64, TransferError> {
    let mut unpacker = Unpacker::new(to, options)?;
    for chunk in bytes.chunks(1009) {
        unpacker.feed(chunk.to_vec()).await?;
    }
    unpacker.finish().await.map(|moved| moved.entries)
}

/// A directory to unpack into, beside one that nothing may touch.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("out/precious"), "kept").unwrap();
        Self(dir)
    }

    fn inside(&self) -> std::path::PathBuf {
        self.0.path().join("in")
    }

    fn untouched(&self) {
        let out: Vec<_> =
            fs::read_dir(self.0.path().join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(out, ["precious"]);
        assert_eq!(fs::read_to_string(self.0.path().join("out/precious")).unwrap(), "kept");
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 2, "nothing lies beside it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_out_is_refused_and_nothing_outside_is_touched() {
    let outside = Place::new().0.path().join("out").display().to_string();
    let cases: Vec<(Hostile, &str)> = vec![
        (Hostile::new().file("../out/precious", "x"), "has `..` in its name"),
        (Hostile::new().file("a/../../out/precious", "x"), "has `..` in its name"),
        (Hostile::new().file("/etc/sandboxer-was-here", "x"), "has an absolute name"),
        (Hostile::new().link("l", "../out"), "leads out of the directory"),
        (Hostile::new().link("l", "/etc"), "leads out of the directory"),
        (Hostile::new().link("l", &outside), "leads out of the directory"),
        (Hostile::new().link("d/l", "../../out"), "leads out of the directory"),
        (Hostile::new().link("l", ""), "leads out of the directory"),
        (Hostile::new().link("s", ".").link("l", "s/../../out"), "leads out of the directory"),
        (Hostile::new().link("s", ".").file("s/precious", "x"), "beneath something that is not a directory"),
        (
            Hostile::new().link("s", "d").file("d/x", "x").link("s/l", "../../out"),
            "beneath something that is not a directory",
        ),
        (Hostile::new().file("f", "x").file("f/g", "x"), "beneath something that is not a directory"),
        (Hostile::new().link("s", ".").entry("s", EntryType::Directory, "", b""), "where something else lies already"),
        (Hostile::new().file("d/x", "x").file("d", "x"), "would replace a directory"),
        (Hostile::new().entry("h", EntryType::Link, "/etc/passwd", b""), "is a hard link"),
        (Hostile::new().file("f", "x").entry("h", EntryType::Link, "f", b""), "is a hard link"),
        (Hostile::new().entry("c", EntryType::Char, "", b""), "is a device"),
        (Hostile::new().entry("b", EntryType::Block, "", b""), "is a device"),
        (Hostile::new().entry("p", EntryType::Fifo, "", b""), "is a named pipe"),
        (Hostile::new().entry("?", EntryType::new(b'Z'), "", b""), "of a kind that is not known"),
        (
            Hostile::new()
                .file(&"d/".repeat(50), "x")
                .entry("deep", EntryType::GNULongName, "", "d/".repeat(300).as_bytes())
                .file("x", "x"),
            "lies too deep",
        ),
    ];
    for (archive, why) in cases {
        let place = Place::new();
        let error = unpack(&place.inside(), &archive.bytes(), UnpackOptions::default()).await.unwrap_err();
        assert!(
            matches!(error, TransferError::Refused { .. }) && error.to_string().contains(why),
            "{error} is not {why}"
        );
        place.untouched();
    }
    assert!(!Path::new("/etc/sandboxer-was-here").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lay_there_is_replaced_and_never_written_through() {
    let place = Place::new();
    let precious = place.0.path().join("out/precious");
    symlink(&precious, place.inside().join("a")).unwrap();
    fs::hard_link(&precious, place.inside().join("b")).unwrap();
    symlink(place.0.path().join("out"), place.inside().join("dir")).unwrap();
    let archive = Hostile::new().file("a", "new a").file("b", "new b").link("c", "a").file("c", "new c").bytes();
    assert_eq!(unpack(&place.inside(), &archive, UnpackOptions::default()).await.unwrap(), 4);
    for name in ["a", "b", "c"] {
        assert!(place.inside().join(name).symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read_to_string(place.inside().join(name)).unwrap(), format!("new {name}"));
    }
    let through = Hostile::new().file("dir/precious", "x").bytes();
    let error = unpack(&place.inside(), &through, UnpackOptions::default()).await.unwrap_err();
    assert!(matches!(error, TransferError::Refused { .. }), "{error}");
    place.untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_are_kept_without_the_dangerous_bits() {
    let place = Place::new();
    let archive =
        Hostile::new().entry("d", EntryType::Directory, "", b"").file("d/f", "x").link("d/l", "../d/f").bytes();
    unpack(&place.inside(), &archive, UnpackOptions::default()).await.unwrap();
    for name in ["d", "d/f"] {
        let metadata = fs::metadata(place.inside().join(name)).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o755, "{name}");
    }
    assert_eq!(fs::metadata(place.inside().join("d/f")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(fs::read_link(place.inside().join("d/l")).unwrap(), Path::new("../d/f"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_stop_at_their_limits() {
    let place = Place::new();
    let limits = |entries, bytes| UnpackOptions { limits: Limits { entries, bytes }, top: None };
    let many = (0..20).fold(Hostile::new(), |archive, number| archive.file(&number.to_string(), "x")).bytes();
    let error = unpack(&place.inside(), &many, limits(10, 1000)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is more than 10 entries");
    let big = Hostile::new().file("big", &"x".repeat(5000)).bytes();
    assert_eq!(
        unpack(&place.inside(), &big, limits(10, 1000)).await.unwrap_err().to_string(),
        "there is more than 1000 bytes"
    );
    // A header that claims a name of many megabytes is not kept in memory.
    let name = Hostile::new().entry("x", EntryType::GNULongName, "", &vec![b'a'; 8 << 20]).file("f", "x").bytes();
    assert!(matches!(
        unpack(&place.inside(), &name, UnpackOptions::default()).await.unwrap_err(),
        TransferError::Archive(_)
    ));
    let odd = Hostile::new().entry("l", EntryType::Symlink, "t", &vec![b'a'; 8 << 20]).file("f", "x").bytes();
    assert!(matches!(
        unpack(&place.inside(), &odd, UnpackOptions::default()).await.unwrap_err(),
        TransferError::Archive(_)
    ));
    // Neither noise nor half an archive is taken for a whole one.
    let noise = Random(3).bytes(4096);
    assert!(matches!(
        unpack(&place.inside(), &noise, UnpackOptions::default()).await.unwrap_err(),
        TransferError::Archive(_)
    ));
    let half = &big[..2000];
    assert!(matches!(
        unpack(&place.inside(), half, UnpackOptions::default()).await.unwrap_err(),
        TransferError::Archive(_)
    ));
    place.untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_again_is_the_same() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir_all(source.path().join("a/b")).unwrap();
    fs::write(source.path().join("a/b/c"), Random(1).bytes(1_234_567)).unwrap();
    fs::set_permissions(source.path().join("a/b/c"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("b/c", source.path().join("a/link")).unwrap();
    let place = Place::new();
    let options = PackOptions { everything: false, name: Some("renamed".to_owned()) };
    let mut packed = pack(source.path(), options).await.unwrap();
    let options = UnpackOptions { top: Some("again".to_owned()), ..UnpackOptions::default() };
    let mut unpacker = Unpacker::new(&place.inside(), options).unwrap();
    while let Some(bytes) = packed.next().await {
        unpacker.feed(bytes).await.unwrap();
    }
    let (sent, received) = (packed.finish().await.unwrap(), unpacker.finish().await.unwrap());
    assert_eq!((sent.bytes, sent.entries), (received.bytes, received.entries));
    let arrived = place.inside().join("again/a");
    assert_eq!(fs::read(arrived.join("b/c")).unwrap(), fs::read(source.path().join("a/b/c")).unwrap());
    assert_eq!(fs::metadata(arrived.join("b/c")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::read_link(arrived.join("link")).unwrap(), Path::new("b/c"));
    assert!(
        Unpacker::new(&place.inside(), UnpackOptions { top: Some("../x".to_owned()), ..UnpackOptions::default() })
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_read_is_named() {
    for grow in [true, false] {
        let source = tempfile::tempdir().unwrap();
        let path = source.path().join("changing");
        fs::write(&path, vec![7; 32 << 20]).unwrap();
        let mut packed = pack(source.path(), PackOptions::default()).await.unwrap();
        // The stream is far shorter than the file, so the file is not read to its end yet.
        let first = packed.next().await.unwrap();
        assert!(!first.is_empty());
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(if grow { 33 << 20 } else { 20 << 20 }).unwrap();
        while packed.next().await.is_some() {}
        assert!(packed.failed());
        let error = packed.finish().await.unwrap_err().to_string();
        let what = if grow { "grew" } else { "shrank" };
        assert_eq!(error, format!("{} changed while it was read: it {what}", path.canonicalize().unwrap().display()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_planted_meanwhile_leads_nowhere() {
    let place = Place::new();
    let source = place.inside();
    fs::write(source.join("0-big"), vec![7; 32 << 20]).unwrap();
    fs::create_dir(source.join("dir")).unwrap();
    fs::write(source.join("dir/precious"), "mine").unwrap();
    let mut packed = pack(&source, PackOptions::default()).await.unwrap();
    packed.next().await.unwrap();
    fs::rename(source.join("dir"), source.join("moved")).unwrap();
    symlink("../out", source.join("dir")).unwrap();
    let mut all = Vec::new();
    while let Some(bytes) = packed.next().await {
        all.extend(bytes);
    }
    let error = packed.finish().await.unwrap_err();
    assert!(matches!(error, TransferError::File { what: "read", .. }), "{error}");
    assert!(!all.windows(4).any(|window| window == b"kept"), "what lies outside is not sent");
    place.untouched();
}
