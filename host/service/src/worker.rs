//! Who works: a name that no other process ever has, and the knowledge that a process of this machine is dead.
//!
//! A lease ends by itself; but when its holder was killed on this machine, nobody needs to wait for that. The name holds machine,
//! boot, process id and start time, so a process id that was given away again is not mistaken for the holder.

use std::{fs, time::Duration};

use sandboxer_model::ports::store::Worker;

/// How long a claim holds without renewal. A worker renews at a third of it.
pub const LEASE: Duration = Duration::from_secs(30);

/// This process as a worker.
#[must_use]
pub fn this_process() -> Worker {
    let pid = std::process::id();
    let owner = format!("{}/{}/{pid}/{}", machine(), boot(), started(pid).unwrap_or_default());
    Worker { owner, lease: LEASE }
}

/// Whether the owner of a lease was a process of this machine that no longer exists.
#[must_use]
pub fn is_dead(owner: &str) -> bool {
    let parts: Vec<&str> = owner.split('/').collect();
    let [its_machine, its_boot, pid, its_start] = parts.as_slice() else {
        return false;
    };
    if *its_machine != machine() {
        return false;
    }
    if *its_boot != boot() {
        return true;
    }
    let Ok(pid) = pid.parse::<u32>() else {
        return false;
    };
    match started(pid) {
        Some(start) => start != *its_start,
        // Without /proc nothing is known; with it, no entry means no process.
        None => fs::metadata("/proc/self").is_ok(),
    }
}

fn machine() -> String {
    first_line("/etc/machine-id").or_else(|| first_line("/proc/sys/kernel/hostname")).unwrap_or_default()
}

fn boot() -> String {
    first_line("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn first_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim().replace('/', "_");
    (!line.is_empty()).then_some(line)
}

/// When a process started, in clock ticks since boot; `None` when it is not there or only a zombie.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields are counted from the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let state = *fields.first()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.get(19).map(|start| (*start).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_others_are_judged_by_machine_boot_and_start() {
        let owner = this_process().owner;
        assert!(!is_dead(&owner));
        let (rest, _) = owner.rsplit_once('/').unwrap();
        assert!(is_dead(&format!("{rest}/1")), "the process id is ours, but another process started it");
        let parts: Vec<&str> = owner.split('/').collect();
        assert!(is_dead(&format!("{}/another-boot/{}/{}", parts[0], parts[2], parts[3])));
        assert!(
            !is_dead(&format!("another-machine/{}/{}/1", parts[1], parts[2])),
            "nothing is known of another machine"
        );
        assert!(!is_dead("nonsense"));
    }

    #[test]
    fn a_killed_process_is_dead_as_soon_as_it_is_a_zombie() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let owner = format!("{}/{}/{}/{}", machine(), boot(), child.id(), started(child.id()).unwrap());
        assert!(!is_dead(&owner));
        child.kill().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while !is_dead(&owner) {
            assert!(std::time::Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(is_dead(&owner));
    }
}
