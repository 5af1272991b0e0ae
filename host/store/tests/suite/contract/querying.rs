//! Finding, listing and following.

use std::collections::BTreeMap;

use sandboxer_model::{
    id::SandboxId,
    ports::store::{Filter, NewSandbox, Store, StoreError},
    sandbox::{Sandbox, State},
};

use super::{
    Fixture,
    sample::{destroyed, new, opened, ready, worker},
};

async fn insert<S: Store>(store: &S, new: NewSandbox) -> SandboxId {
    let body = opened(&new);
    store.open(new, body, &worker("w")).await.unwrap().0.id
}

fn ids(sandboxes: Vec<Sandbox>) -> Vec<SandboxId> {
    sandboxes.into_iter().map(|sandbox| sandbox.id).collect()
}

/// Text is a prefix of an id or a whole name, never a pattern.
pub async fn finding_takes_text_literally<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let with = async |id: &str, name: Option<&str>| {
        let mut new = new(&store).await;
        new.id = id.parse().unwrap();
        new.name = name.map(|name| name.parse().unwrap());
        new
    };
    let one = insert(&store, with("abc0000000000000", None).await).await;
    let two = insert(&store, with("abc1000000000000", None).await).await;
    let three = insert(&store, with("abd0000000000000", Some("abc")).await).await;
    let gone = destroyed(&store, with("abc2000000000000", Some("abc1000000000000")).await).await.id;
    let found = async |text: &str| ids(store.find(text).await.unwrap());
    assert_eq!(found("abc").await, [three.clone(), two.clone(), one.clone(), gone.clone()]);
    assert_eq!(found("abc0").await, std::slice::from_ref(&one));
    assert_eq!(found("abc1000000000000").await, [two.clone(), gone.clone()], "an id comes before a dead one's name");
    assert_eq!(found("abd0000000000000").await, std::slice::from_ref(&three));
    assert_eq!(found("ab").await, [three, two, one, gone]);
    for text in [
        "",
        "%",
        "_",
        "a%",
        "abc_",
        "ab%0",
        "abc0000000000000x",
        "ABC",
        "abz",
        "a\0",
        "'",
        "' OR 1=1 --",
        "{",
        "ü",
        "ab{",
    ] {
        assert_eq!(found(text).await, [], "{text:?}");
    }
    for n in 0..9 {
        insert(&store, with(&format!("zz{n}0000000000000"), None).await).await;
    }
    assert_eq!(found("zz").await.len(), 8);
}

/// Each filter alone and together; newest first; pages without gap or overlap.
pub async fn listing_filters_and_pages<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let mut made = Vec::new();
    for n in 0..6 {
        let mut new = new(&store).await;
        new.project = if n % 2 == 0 { "even" } else { "odd" }.parse().unwrap();
        new.plan.profile = if n < 3 { "low" } else { "high" }.parse().unwrap();
        new.plan.host = if n == 5 { "far" } else { "local" }.parse().unwrap();
        new.labels = BTreeMap::from([("n".to_owned(), n.to_string()), ("a \"b\".c".to_owned(), "%".to_owned())]);
        made.push(insert(&store, new).await);
    }
    let gone = destroyed(&store, new(&store).await).await.id;
    let is_ready = ready(&store).await.id;
    let base = Filter { limit: 100, ..Filter::default() };
    let list = async |filter: Filter| ids(store.list(&filter).await.unwrap());
    let pick = |picked: &[usize]| picked.iter().map(|n| made[*n].clone()).collect::<Vec<_>>();

    let all = [vec![is_ready.clone(), gone.clone()], pick(&[5, 4, 3, 2, 1, 0])].concat();
    let living: Vec<_> = all.iter().filter(|id| **id != gone).cloned().collect();
    assert_eq!(list(base.clone()).await, living);
    assert_eq!(list(Filter { all: true, ..base.clone() }).await, all);
    assert_eq!(list(Filter { limit: 0, ..base.clone() }).await, []);
    assert_eq!(list(Filter { project: Some("even".parse().unwrap()), ..base.clone() }).await, pick(&[4, 2, 0]));
    assert_eq!(list(Filter { profile: Some("low".parse().unwrap()), ..base.clone() }).await, pick(&[2, 1, 0]));
    assert_eq!(list(Filter { host: Some("far".parse().unwrap()), ..base.clone() }).await, pick(&[5]));
    assert_eq!(list(Filter { states: vec![State::Ready], ..base.clone() }).await, std::slice::from_ref(&is_ready));
    let two = vec![State::Ready, State::Destroyed];
    assert_eq!(list(Filter { states: two, ..base.clone() }).await, [is_ready, gone]);
    assert_eq!(list(Filter { states: vec![State::Waiting], ..base.clone() }).await, []);
    let labels = |pairs: &[(&str, &str)]| Filter {
        labels: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..base.clone()
    };
    assert_eq!(list(labels(&[("n", "3")])).await, pick(&[3]));
    assert_eq!(list(labels(&[("n", "3"), ("a \"b\".c", "%")])).await, pick(&[3]));
    assert_eq!(list(labels(&[("n", "3"), ("a \"b\".c", "x")])).await, []);
    assert_eq!(list(labels(&[("a \"b\".c", "%")])).await, pick(&[5, 4, 3, 2, 1, 0]));
    for hostile in ["$.n", "n' OR '1'='1", "%", "N", ""] {
        assert_eq!(list(labels(&[(hostile, "3")])).await, [], "{hostile:?}");
    }
    let both = Filter {
        project: Some("odd".parse().unwrap()),
        profile: Some("high".parse().unwrap()),
        states: vec![State::Requested],
        ..base.clone()
    };
    assert_eq!(list(both).await, pick(&[5, 3]));

    let mut paged = Vec::new();
    loop {
        let page = Filter { all: true, limit: 3, before: paged.last().cloned(), ..base.clone() };
        let page = list(page).await;
        let last = page.len() < 3;
        paged.extend(page);
        if last {
            break;
        }
    }
    assert_eq!(paged, all);
    let nobody = SandboxId::random().unwrap();
    let missing = store.list(&Filter { before: Some(nobody.clone()), ..base }).await;
    assert_eq!(missing, Err(StoreError::NoSandbox(nobody)));
}

/// Events of one sandbox or of all, after a sequence, up to a limit.
pub async fn events_page_in_order<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (one, two) = (ready(&store).await.id, ready(&store).await.id);
    let all = store.events(None, 0, 100).await.unwrap();
    let of: Vec<_> = all.iter().map(|event| event.sandbox.clone()).collect();
    assert_eq!(of, [one.clone(), one.clone(), two.clone(), two.clone()]);
    assert!(all.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert_eq!(store.events(Some(&one), 0, 100).await.unwrap(), all[..2]);
    assert_eq!(store.events(None, all[0].sequence, 2).await.unwrap(), all[1..3]);
    assert_eq!(store.events(Some(&two), all[2].sequence, 100).await.unwrap(), all[3..]);
    assert_eq!(store.events(None, all[3].sequence, 100).await.unwrap(), []);
    assert_eq!(store.events(None, u64::MAX, 100).await.unwrap(), []);
    assert_eq!(store.events(Some(&one), 0, 0).await.unwrap(), []);
    assert_eq!(store.events(Some(&SandboxId::random().unwrap()), 0, 100).await.unwrap(), []);
}
