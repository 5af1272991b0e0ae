//! `cp` and the upload at create: hashes, modes, links; and nothing leaves its root.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use crate::home::Home;

fn hashes(dir: &std::path::Path) -> String {
    let script = "find . -type f -print0 | sort -z | xargs -0 sha256sum; find . -type l -printf '%p %l\\n' | sort; find . -not -type l -printf '%p %m\\n' | sort";
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).env("LC_ALL", "C.UTF-8").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn tree(home: &Home) -> std::path::PathBuf {
    let dir = home.path("tree");
    fs::create_dir_all(dir.join("sub/deep")).unwrap();
    fs::write(dir.join("a"), "a").unwrap();
    fs::write(dir.join("sub/run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(dir.join("sub/run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(dir.join("sub/deep/big"), vec![7_u8; 3_000_000]).unwrap();
    symlink("../a", dir.join("sub/link")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    dir
}

#[test]
fn a_tree_goes_in_and_comes_out_as_it_was() {
    let home = Home::new();
    let dir = tree(&home);
    let id = home.sandbox();
    home.run(["cp", dir.to_str().unwrap(), &format!("{id}:copy")]).succeeded();
    home.sh(&id, "test \"$(cat copy/sub/link)\" = a && test -x copy/sub/run.sh").succeeded();
    home.run(["cp", &format!("{id}:copy"), home.path("back").to_str().unwrap()]).succeeded();
    assert_eq!(hashes(&home.path("back")), hashes(&dir));
    home.assert_clean();
}

#[test]
fn a_hundred_megabytes_round_trip_with_equal_hash() {
    let home = Home::new();
    let file = home.path("big");
    let status =
        Command::new("sh").arg("-c").arg(format!("head -c 100000000 /dev/urandom >{}", file.display())).status();
    assert!(status.unwrap().success());
    let id = home.sandbox();
    home.run(["cp", file.to_str().unwrap(), &format!("{id}:/workspace/big")]).succeeded();
    home.run(["cp", &format!("{id}:big"), home.path("back").to_str().unwrap()]).succeeded();
    let equal = Command::new("cmp").args([&file, &home.path("back")]).status().unwrap();
    assert!(equal.success());
    home.assert_clean();
}

#[test]
fn a_file_goes_into_a_directory_or_under_a_new_name() {
    let home = Home::new();
    let id = home.sandbox();
    fs::write(home.path("note"), "hello").unwrap();
    let note = home.path("note").display().to_string();
    home.run(["cp", &note, &format!("{id}:")]).succeeded();
    home.run(["cp", &note, &format!("{id}:other")]).succeeded();
    home.run(["cp", &note, &format!("{id}:/tmp")]).succeeded();
    assert_eq!(home.sh(&id, "cat note other /tmp/note").succeeded().stdout(), "hellohellohello");
    fs::create_dir(home.path("into")).unwrap();
    home.run(["cp", &format!("{id}:other"), home.path("into").to_str().unwrap()]).succeeded();
    assert_eq!(fs::read(home.path("into/other")).unwrap(), b"hello");
    for (from, to) in
        [(format!("{id}:no-such"), home.path("x").display().to_string()), (note.clone(), format!("{id}:no/such/dir"))]
    {
        let (status, error) = home.error(["cp", &from, &to]);
        assert_eq!((status, error["code"].as_str().unwrap()), (7, "transfer.failed"), "{error}");
    }
    assert!(!home.path("x").exists());
    home.assert_clean();
}

#[test]
fn links_planted_inside_lead_nowhere_outside() {
    let home = Home::new();
    let id = home.sandbox();
    let victim = home.path("victim");
    fs::create_dir(&victim).unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(home.path("note"), "PLANTED").unwrap();
    // In: the name that the copy goes to is a link to a directory of the host.
    home.sh(&id, &format!("ln -s {} out", victim.display())).succeeded();
    home.run(["cp", home.path("note").to_str().unwrap(), &format!("{id}:out/note")]).status(7);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    // Out: a directory whose link points at a file of the host, then a file of the same name.
    let script = format!("mkdir evil && ln -s {}/x evil/a && ln -s / evil/root", victim.display());
    home.sh(&id, &script).succeeded();
    let ran = home.run(["cp", &format!("{id}:evil"), home.path("got").to_str().unwrap()]);
    assert_ne!(ran.output.status.code(), Some(0), "links that lead out are refused");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    home.assert_clean();
}

#[test]
fn a_project_goes_up_without_what_git_ignores_unless_asked() {
    let home = Home::new();
    let dir = tree(&home);
    fs::write(dir.join(".gitignore"), "ignored\n").unwrap();
    fs::write(dir.join("ignored"), "x").unwrap();
    let git =
        |args: &[&str]| assert!(Command::new("git").args(args).current_dir(&dir).output().unwrap().status.success());
    git(&["init", "-q"]);
    let input = format!("project={}", dir.display());
    let without = home.create(&["--profile", "profile.agent-dev", "-i", &input]);
    home.sh(&without, "test ! -e ignored && test -e .git/HEAD && test -e .gitignore && test -d empty").succeeded();
    let with = home.create(&["--profile", "profile.agent-dev", "-i", &input, "-i", "ignored-files=include"]);
    home.sh(&with, "test -e ignored").succeeded();
    home.assert_clean();
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let home = Home::new();
    let dir = tree(&home);
    assert!(Command::new("mkfifo").arg(dir.join("pipe")).status().unwrap().success());
    let (_, error) =
        home.error(["create", "--profile", "profile.agent-dev", "-i", &format!("project={}", dir.display())]);
    assert!(error["message"].as_str().unwrap().contains("pipe"), "{error}");
    assert_eq!(home.homes(), Vec::<String>::new());
    home.assert_clean();
}
