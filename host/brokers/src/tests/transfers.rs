//! Directories and files into a workspace, over both transports.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use sandboxer_guard::far_side;
use sandboxer_model::call::CallError;

use super::{Random, Site, carriers, over_both};
use crate::workspace::{PackOptions, upload};

fn tree(root: &Path) {
    for dir in [".git/objects", "src/deep", "target/debug", "empty", "locked"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join(".gitignore"), "target/\n*.log\n.*\n!.gitignore\nobjects\n").unwrap();
    fs::write(root.join("src/deep/.gitignore"), "secret\n").unwrap();
    for (file, text) in [
        (".git/HEAD", "ref"),
        (".git/objects/x.log", "object"),
        ("src/main.rs", "fn main() {}"),
        ("src/deep/secret", "no"),
        ("src/deep/kept", "yes"),
        ("src/noise.log", "no"),
        ("target/debug/big", "no"),
        ("na me\n*", "odd"),
        ("locked/inside", "in"),
    ] {
        fs::write(root.join(file), text).unwrap();
    }
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(150));
    fs::create_dir(root.join("d".repeat(120))).unwrap();
    fs::write(root.join(long), "long").unwrap();
    fs::write(root.join("bytes"), Random(9).bytes(3_000_001)).unwrap();
    fs::set_permissions(root.join("src/main.rs"), fs::Permissions::from_mode(0o775)).unwrap();
    fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    symlink("../src/main.rs", root.join("src/link")).unwrap();
    symlink("/etc/passwd", root.join("out")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("x".repeat(300), root.join("long-link")).unwrap();
}

fn unpack_order(site: &Site, record: &str) -> crate::order::Order {
    let argv = far_side::unpack_argv(None).unwrap();
    crate::order::Order { timeout: Some(Duration::from_secs(60)), ..site.order(record, &argv) }
}

over_both!(a_directory_arrives_with_git_and_without_what_it_ignores, |site| {
    let source = tempfile::tempdir().unwrap();
    tree(source.path());
    let place = site.host.own().await.unwrap();
    let order = unpack_order(&site, "up");
    let moved = upload(place, &order, source.path(), PackOptions::default()).await.unwrap();
    let arrived = site.path("workspace");
    for absent in ["target", "src/noise.log", "src/deep/secret"] {
        assert!(!arrived.join(absent).exists(), "{absent}");
    }
    let mut entries = 0;
    for entry in ignore::WalkBuilder::new(&arrived).standard_filters(false).build() {
        let path = entry.unwrap().into_path();
        let relative = path.strip_prefix(&arrived).unwrap();
        let (there, here) =
            (path.symlink_metadata().unwrap(), source.path().join(relative).symlink_metadata().unwrap());
        if relative.as_os_str().is_empty() {
            continue;
        }
        entries += 1;
        assert_eq!((there.mode(), there.is_file()), (here.mode(), here.is_file()), "{relative:?}");
        if there.is_file() {
            assert_eq!(fs::read(&path).unwrap(), fs::read(source.path().join(relative)).unwrap(), "{relative:?}");
            assert_eq!(there.mtime(), here.mtime());
        } else if there.is_symlink() {
            assert_eq!(fs::read_link(&path).unwrap(), fs::read_link(source.path().join(relative)).unwrap());
        }
    }
    assert_eq!(entries, moved.entries);
    for kept in [".git/objects/x.log", ".git/HEAD", ".gitignore", "na me\n*", "locked/inside", "empty"] {
        assert!(arrived.join(kept).symlink_metadata().is_ok(), "{kept}");
    }
    assert_eq!(fs::read_link(arrived.join("out")).unwrap(), Path::new("/etc/passwd"));
    // Asked for, everything comes.
    let options = PackOptions { everything: true, name: None };
    upload(site.host.own().await.unwrap(), &unpack_order(&site, "all"), source.path(), options).await.unwrap();
    assert!(arrived.join("target/debug/big").exists() && arrived.join("src/noise.log").exists());
    // One file comes under its own name.
    let file = source.path().join("bytes");
    fs::remove_file(arrived.join("bytes")).unwrap();
    let moved =
        upload(site.host.own().await.unwrap(), &unpack_order(&site, "one"), &file, PackOptions::default()).await;
    assert_eq!((moved.unwrap().bytes, fs::read(arrived.join("bytes")).unwrap()), (3_000_001, fs::read(&file).unwrap()));
});

over_both!(what_cannot_be_sent_is_refused_before_anything_is, |site| {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "a").unwrap();
    let made = std::process::Command::new("mkfifo").arg(source.path().join("pipe")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(source.path().join("sock")).unwrap();
    let place = site.host.own().await.unwrap();
    let error = upload(place, &unpack_order(&site, "up"), source.path(), PackOptions::default()).await.unwrap_err();
    let expected =
        "only files, directories and symbolic links can be moved, but there is pipe (a named pipe), sock (a socket)";
    assert_eq!(error, CallError::Invalid(expected.to_owned()));
    assert_eq!(fs::read_dir(site.path("workspace")).unwrap().count(), 0);
    let place = site.host.own().await.unwrap();
    let missing = source.path().join("missing");
    let error = upload(place, &unpack_order(&site, "up2"), &missing, PackOptions::default()).await.unwrap_err();
    assert!(matches!(error, CallError::Invalid(_)), "{error}");
});

over_both!(a_failure_on_the_far_side_is_told_and_ends_the_sending, |site| {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("big"), vec![1; 40 << 20]).unwrap();
    let order = site.order("fail", &["sh", "-c", "head -c 1000 >/dev/null; echo 'no space left' >&2; exit 2"]);
    let place = site.host.own().await.unwrap();
    let sent =
        tokio::time::timeout(Duration::from_secs(20), upload(place, &order, source.path(), PackOptions::default()));
    assert_eq!(sent.await.unwrap().unwrap_err(), CallError::Failed("unpacking failed: no space left".to_owned()));
    // One that never reads runs into its time limit.
    let order =
        crate::order::Order { timeout: Some(Duration::from_millis(500)), ..site.order("stuck", &["sleep", "300"]) };
    let place = site.host.own().await.unwrap();
    let error = upload(place, &order, source.path(), PackOptions::default()).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error}");
    assert_eq!(carriers(&site.reference), Vec::<u32>::new());
});

#[tokio::test(flavor = "multi_thread")]
async fn what_only_its_owner_could_open_is_removed_as_that_user_too() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    // As another user, in a root that is theirs: what an ordinary user's host is.
    let site = Site::local().await;
    let user = 54_321;
    let root = site.path("workspace/root");
    fs::create_dir(&root).unwrap();
    std::os::unix::fs::chown(&root, Some(user), Some(user)).unwrap();
    for open in [site.dir.path(), &site.path(""), &site.path("workspace")] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let reference = "sbx-0ther0-0000000000000000";
    let home = format!("{}/{reference}", root.display());
    let uid = user.to_string();
    let as_user = |record: &str, argv: &[String]| site.order_in("run", record, argv, &uid, "-");
    let prepared = site.run(&as_user("p", &far_side::prepare_argv(&home, None).unwrap())).await;
    assert!(prepared.exit.success(), "{prepared:?}");
    // What an ordinary user unpacked once can be unpacked again, read-only directories included.
    let source = tempfile::tempdir().unwrap();
    tree(source.path());
    for record in ["u1", "u2"] {
        let argv = far_side::unpack_argv(None).unwrap();
        let mut order = as_user(record, &argv);
        order.line = order.line.replace(&format!(" {} ", site.home()), &format!(" {home} "));
        order.record = None;
        upload(site.host.own().await.unwrap(), &order, source.path(), PackOptions::default()).await.unwrap();
        assert_eq!(fs::metadata(format!("{home}/workspace/locked")).unwrap().mode() & 0o7777, 0o555);
        assert_eq!(fs::metadata(format!("{home}/workspace/locked/inside")).unwrap().uid(), user);
    }
    let outside = site.path("workspace/outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "kept").unwrap();
    let script = format!(
        "cd {home}/workspace && mkdir -p a/b && touch a/b/c && ln -s {} a/b/link && chmod 000 a/b a",
        outside.display()
    );
    let filled = site.run(&as_user("f", &["sh", "-c", &script].map(str::to_owned))).await;
    assert!(filled.exit.success(), "{filled:?}");
    let removed = site.run(&as_user("r", &far_side::remove_argv(&home, reference).unwrap())).await;
    assert!(removed.exit.success(), "{removed:?}");
    assert!(!Path::new(&home).exists() && outside.join("precious").exists());
    site.end().await;
}
