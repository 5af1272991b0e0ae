//! Where a store may lie: on a file system of this machine, in a directory of our own.
//!
//! Several processes share SQLite's log through shared memory and POSIX locks; over a network neither holds, and the
//! damage is silent. So network file systems are refused by what the kernel says they are, rather than documented.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use sandboxer_model::ports::store::StoreError;

use crate::fault::{io, unavailable};

/// `statfs` magic numbers of file systems that other machines share (`linux/magic.h` and the file systems' sources).
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564c, "NCP"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0xaad7_aaea, "PanFS"),
    (0x786f_4256, "a VirtualBox share"),
    (0x7c7c_6673, "a Parallels share"),
    (0xbacb_acbc, "a VMware share"),
];

/// FUSE carries both; only the mount table tells which.
const FUSE: u32 = 0x6573_5546;

/// FUSE types in the mount table that are on a network or in an object store.
const NETWORK_FUSE: &[&str] = &[
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph-fuse",
    "fuse.s3fs",
    "fuse.goofys",
    "fuse.mount-s3",
    "fuse.gcsfuse",
    "fuse.rclone",
    "fuse.davfs",
    "fuse.davfs2",
    "fuse.curlftpfs",
    "fuse.smbnetfs",
    "fuse.juicefs",
    "fuse.seaweedfs",
    "fuse.nfs",
];

/// The store's absolute path, after its directory was found to be fit; the directory is made (0700) when it is missing.
pub(crate) fn prepare(path: &Path) -> Result<(PathBuf, PathBuf), StoreError> {
    let absolute = std::path::absolute(path).map_err(|error| io(path, "finding its absolute path", &error))?;
    let Some(directory) = absolute.parent().map(Path::to_path_buf) else {
        return Err(unavailable(path, "finding its directory", "it has none"));
    };
    let there = nearest(&directory).map_err(|error| io(&directory, "looking for its directory", &error))?;
    refuse_network(&there)?;
    if there != directory {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| io(&directory, "making the directory", &error))?;
    }
    Ok((absolute, directory))
}

/// The nearest ancestor that exists. Anything but "not found" on the way is an answer, too: a path below a file.
fn nearest(directory: &Path) -> std::io::Result<PathBuf> {
    for ancestor in directory.ancestors() {
        match fs::metadata(ancestor) {
            Ok(found) if found.is_dir() => return Ok(ancestor.to_path_buf()),
            Ok(_) => return Err(std::io::Error::from(std::io::ErrorKind::NotADirectory)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::from(std::io::ErrorKind::NotFound))
}

fn refuse_network(directory: &Path) -> Result<(), StoreError> {
    let found = rustix::fs::statfs(directory)
        .map_err(|error| io(directory, "asking for its file system", &std::io::Error::from(error)))?;
    // The kernel's numbers have 32 bits; the field is a signed word of the machine's width.
    let magic = u32::try_from(found.f_type & 0xffff_ffff).unwrap_or(0);
    let network = if magic == FUSE { network_fuse(directory) } else { network_magic(magic).map(str::to_owned) };
    match network {
        Some(name) => Err(unavailable(
            directory,
            "refusing its file system",
            format!("it is {name}, where locks and shared memory do not hold; choose a directory on a local disk"),
        )),
        None => Ok(()),
    }
}

fn network_magic(magic: u32) -> Option<&'static str> {
    NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

fn network_fuse(directory: &Path) -> Option<String> {
    let device = fs::metadata(directory).ok()?.dev();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = mount_kind(&mounts, rustix::fs::major(device), rustix::fs::minor(device))?;
    NETWORK_FUSE.contains(&kind).then(|| kind.to_owned())
}

/// The type of the file system on device `major:minor`, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn mount_kind(mounts: &str, major: u32, minor: u32) -> Option<&str> {
    let device = format!("{major}:{minor}");
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (before.split(' ').nth(2)? == device).then(|| after.split(' ').next())?
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_pass() {
        for (magic, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB2"), (0x0102_1997, "9P")] {
            assert_eq!(network_magic(magic), Some(name));
        }
        for (magic, name) in [(0xef53, "ext4"), (0x0102_1994, "tmpfs"), (0x9123_683e, "btrfs"), (0x5846_5342, "xfs")] {
            assert_eq!(network_magic(magic), None, "{name}");
        }
    }

    #[test]
    fn fuse_is_told_apart_by_the_mount_table() {
        let mounts = "36 35 0:52 / /mnt/there rw,nosuid shared:1 - fuse.sshfs me@there: rw,user_id=0\n\
                      37 35 0:53 / /mnt/here rw - fuse.fuse-overlayfs overlay rw\n";
        assert_eq!(mount_kind(mounts, 0, 52), Some("fuse.sshfs"));
        assert!(NETWORK_FUSE.contains(&"fuse.sshfs"));
        assert_eq!(mount_kind(mounts, 0, 53), Some("fuse.fuse-overlayfs"));
        assert!(!NETWORK_FUSE.contains(&"fuse.fuse-overlayfs"));
        assert_eq!(mount_kind(mounts, 8, 1), None);
    }

    #[test]
    fn a_missing_directory_is_made_for_us_alone() {
        let root = tempfile::tempdir().unwrap();
        let (path, directory) = prepare(&root.path().join("a/b/store.db")).unwrap();
        assert_eq!(path, root.path().join("a/b/store.db"));
        for made in [directory.as_path(), &root.path().join("a")] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_path_below_a_file_is_unavailable_and_nothing_is_made() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        let error = prepare(&root.path().join("file/below/store.db")).unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable { why, .. } if why.contains("ot a directory")), "{error}");
        assert_eq!(fs::read(root.path().join("file")).unwrap(), b"x");
    }
}
