//! Many at once on one file.

use std::sync::Arc;

use sandboxer_model::ports::store::{Right, Store};

use crate::{
    contract::{
        Fixture,
        sample::{intent, open, outcome, ready, worker},
    },
    fixture::{self, File, assert_passed, other_process, role, verify},
};

const MANY: usize = 8;
const EACH: usize = 100;

/// A hundred transactions: on a sandbox of its own, and on a chain that all share.
async fn work(store: &impl Store, shared: &sandboxer_model::id::SandboxId, who: &str) {
    let (mine, claim) = open(store, &worker(who)).await;
    let right = Right::Access(shared.clone());
    for n in 0..EACH / 4 {
        let of = store.intend(&right, intent(&format!("{who}.{n}")), None).await.unwrap();
        store.outcome(&right, outcome(of), None).await.unwrap();
        store.progress(&claim, "on").await.unwrap();
        store.renew(&claim, &worker(who)).await.unwrap();
        assert_eq!(store.sandbox(&mine.id).await.unwrap().unwrap().id, mine.id);
    }
}

async fn assert_nothing_lost(store: &impl Store, shared: &sandboxer_model::id::SandboxId) {
    let (entries, head) = (store.ledger(shared).await.unwrap(), store.head(shared).await.unwrap());
    let bodies = verify(&entries, head.as_ref());
    assert_eq!(bodies.len(), 1 + MANY * EACH / 2);
    for who in 0..MANY {
        for n in 0..EACH / 4 {
            assert!(bodies.contains(&intent(&format!("w{who}.{n}"))), "w{who}.{n} is lost");
        }
    }
    let events = store.events(None, 0, 100_000).await.unwrap();
    assert_eq!(events.len(), 2 + MANY * (1 + EACH / 4));
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_stores_in_one_process() {
    let file = Arc::new(File::fresh());
    let store = file.store();
    let shared = ready(&store).await.id;
    let threads: Vec<_> = (0..MANY)
        .map(|who| {
            let (file, shared) = (Arc::clone(&file), shared.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(work(&file.store(), &shared, &format!("w{who}")));
            })
        })
        .collect();
    for thread in threads {
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    }
    assert_nothing_lost(&store, &shared).await;
}

#[tokio::test]
async fn eight_processes() {
    if let Some(role) = role() {
        let (who, shared, path) = {
            let mut parts = role.splitn(3, ' ');
            (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned())
        };
        return work(&fixture::open(path.as_ref()).unwrap(), &shared.parse().unwrap(), &who).await;
    }
    let file = File::fresh();
    let store = file.store();
    let shared = ready(&store).await.id;
    let start = std::time::Instant::now();
    let children: Vec<_> = (0..MANY)
        .map(|who| {
            let role = format!("w{who} {shared} {}", file.path().display());
            std::thread::spawn(move || other_process("crowd::eight_processes", &role).output().unwrap())
        })
        .collect();
    for child in children {
        assert_passed(&child.join().unwrap());
    }
    println!("{MANY} processes, {} transactions: {:?}", MANY * (EACH + 1), start.elapsed());
    assert_nothing_lost(&store, &shared).await;
}

#[tokio::test]
async fn many_make_the_same_store_and_find_one() {
    if let Some(path) = role() {
        let store = fixture::open(path.as_ref()).unwrap();
        open(&store, &worker("w")).await;
        return println!("installation={}", store.installation().await.unwrap());
    }
    let file = File::fresh();
    let path = file.root.path().join("deep/down/store.db");
    let children: Vec<_> = (0..MANY)
        .map(|_| {
            let role = path.display().to_string();
            std::thread::spawn(move || {
                other_process("crowd::many_make_the_same_store_and_find_one", &role).output().unwrap()
            })
        })
        .collect();
    let mut installations = std::collections::BTreeSet::new();
    for child in children {
        let output = child.join().unwrap();
        assert_passed(&output);
        let said = String::from_utf8(output.stdout).unwrap();
        installations.insert(said.split("installation=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned());
    }
    assert_eq!(installations.len(), 1);
    let store = fixture::open(&path).unwrap();
    assert_eq!(store.installation().await.unwrap().as_str(), installations.first().unwrap());
    assert_eq!(store.events(None, 0, 100).await.unwrap().len(), MANY);
    drop(store);
    let names: Vec<_> = fixture::content(path.parent().unwrap()).into_keys().collect();
    assert_eq!(names, ["store.db"]);
}
