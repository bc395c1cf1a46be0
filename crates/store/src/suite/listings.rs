//! Listings: by id, by creation, over scopes; pages in both directions.

use tenantry_core::{AccountId, Scope};

use super::{ROLE, THING, at, commit, done, here, ids, thing};
use crate::{ByScope, Created, Expect, List, Row, Store};

/// Ids are ordered by their bytes, whatever they hold; pages never skip or repeat.
pub(super) async fn ordering(store: &dyn Store) {
    let mut keys =
        vec!["", "\0", "\0\0", "\0a", " ", "A", "B", "a", "a\0", "a\0b", "a/", "a/b", "a/\u{ff}", "a/\u{10ffff}", "a0", "aa", "b", "z"];
    keys.extend([
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
        "é",
        "e\u{301}",
    ]);
    let parent = |key: &str| if key.len().is_multiple_of(2) { "even" } else { "odd" };
    commit(store, |b| keys.iter().for_each(|key| done(b.put(thing(key).parent(parent(key)), Expect::Absent)))).await.unwrap();
    keys.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let scope = here();
    let all = List::of(THING, &scope);
    assert_eq!(ids(store, all).await, keys);
    let mut down = keys.clone();
    down.reverse();
    assert_eq!(ids(store, all.reverse(true)).await, down);
    assert_eq!(store.count(THING, ByScope::Exact(&scope), None).await.unwrap(), keys.len() as u64);

    for size in [1, 2, 7] {
        for reverse in [false, true] {
            let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let page = ids(store, all.after(after.as_deref()).limit(size).reverse(reverse)).await;
                assert!(page.len() <= size);
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                seen.extend(page);
            }
            assert_eq!(seen, if reverse { &down } else { &keys }.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>());
        }
    }
    assert!(ids(store, all.limit(0)).await.is_empty());
    for mark in &keys {
        for reverse in [false, true] {
            let source = if reverse { &down } else { &keys };
            let beyond = |key: &str| if reverse { key < *mark } else { key > *mark };
            let expect = |f: &dyn Fn(&str) -> bool| source.iter().copied().filter(|k| f(k)).map(str::to_owned).collect::<Vec<_>>();
            let list = all.reverse(reverse);
            assert_eq!(ids(store, list.prefix(mark)).await, expect(&|k| k.starts_with(mark)), "prefix {mark:?}");
            assert_eq!(ids(store, list.after(Some(mark))).await, expect(&|k| beyond(k)), "after {mark:?}");
            assert_eq!(ids(store, list.from(Some(mark))).await, expect(&|k| k == *mark || beyond(k)), "from {mark:?}");
            assert_eq!(
                ids(store, list.prefix("a").after(Some(mark))).await,
                expect(&|k| k.starts_with('a') && beyond(k)),
                "a after {mark:?}"
            );
            let both = list.from(Some(mark)).after(Some("a/")).parent("odd");
            let past = |k: &str| if reverse { k < "a/" } else { k > "a/" };
            assert_eq!(ids(store, both).await, expect(&|k| (k == *mark || beyond(k)) && past(k) && parent(k) == "odd"), "from {mark:?}");
        }
    }
    assert_eq!(
        store.count(THING, ByScope::Exact(&scope), Some("odd")).await.unwrap(),
        keys.iter().filter(|k| parent(k) == "odd").count() as u64
    );
    commit(store, |b| keys.iter().for_each(|key| done(b.delete(THING, &here(), *key, Expect::Present)))).await.unwrap();
    assert!(ids(store, all).await.is_empty());
}

/// By creation, page by page in both directions, where several rows were made at one instant.
pub(super) async fn creation(store: &dyn Store) {
    let rows: Vec<(String, i64, &str)> =
        (0..12).map(|n| (format!("r{}", (n * 7) % 12), n / 3, if n % 2 == 0 { "even" } else { "odd" })).collect();
    commit(store, |b| {
        for (id, secs, parent) in &rows {
            b.put(Row::new(THING, &here(), id, at(*secs)).parent(*parent), Expect::Absent);
        }
        b.put(Row::new(THING, &Scope::new("2", "us-east-1"), "stranger", at(1)), Expect::Absent);
    })
    .await
    .unwrap();
    let scope = here();
    for (parent, reverse, size) in [(None, false, 1), (None, true, 4), (Some("odd"), false, 2), (Some("even"), true, 5)] {
        let mut expected: Vec<_> = rows.iter().filter(|row| parent.is_none_or(|p| row.2 == p)).map(|row| (row.1, row.0.clone())).collect();
        expected.sort();
        if reverse {
            expected.reverse();
        }
        let mut list = List::of(THING, &scope).limit(size).reverse(reverse);
        list.parent = parent;
        let (mut seen, mut last) = (Vec::new(), None::<(i64, String)>);
        loop {
            let after = last.as_ref().map(|(secs, id)| (at(*secs), id.as_str()));
            let page = store.list(&list.by_creation(Created { after, ..Created::default() })).await.unwrap();
            assert!(page.len() <= size);
            seen.extend(page.iter().map(|row| (row.created.secs(), row.id.clone())));
            let Some(row) = page.last() else { break };
            last = Some((row.created.secs(), row.id.clone()));
        }
        assert_eq!(seen, expected);
        for (from, until) in [(1, 2), (0, 0), (3, 9), (2, 1)] {
            let created = Created { after: Some((at(1), "r2")), from: Some(at(from)), until: Some(at(until)) };
            let found = store.list(&list.limit(99).by_creation(created)).await.unwrap();
            let beyond = |row: &(i64, String)| if reverse { *row < (1, "r2".to_owned()) } else { *row > (1, "r2".to_owned()) };
            let wanted: Vec<_> = expected.iter().filter(|row| beyond(row) && row.0 >= from && row.0 <= until).cloned().collect();
            assert_eq!(found.iter().map(|row| (row.created.secs(), row.id.clone())).collect::<Vec<_>>(), wanted, "{from} to {until}");
        }
    }
    commit(store, |b| {
        rows.iter().for_each(|row| done(b.delete(THING, &here(), &*row.0, Expect::Present)));
        b.delete(THING, &Scope::new("2", "us-east-1"), "stranger", Expect::Present);
    })
    .await
    .unwrap();
}

pub(super) async fn scopes(store: &dyn Store) {
    let scopes = [Scope::new("1", "eu"), Scope::new("1", "us"), Scope::new("2", "eu"), Scope::global("2")];
    commit(store, |b| {
        for scope in &scopes {
            for id in ["a", "b", "c"] {
                b.put(Row::new(THING, scope, id, at(1)).parent(""), Expect::Absent);
            }
        }
        b.put(Row::new(ROLE, &scopes[0], "a", at(1)), Expect::Absent);
    })
    .await
    .unwrap();
    assert_eq!(ids(store, List::of(THING, &scopes[1])).await, ["a", "b", "c"]);
    assert_eq!(store.get(ROLE, &scopes[1], "a").await.unwrap(), None, "neither kind nor scope leak");
    let account = AccountId::from("2");
    assert_eq!(ids(store, List::by(THING, ByScope::Account(&account))).await, ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(store.count(THING, ByScope::Account(&account), None).await.unwrap(), 6);
    assert_eq!(store.count(THING, ByScope::All, Some("")).await.unwrap(), 12);
    let all = List::by(THING, ByScope::All);
    let whole = store.list(&all).await.unwrap();
    let order: Vec<_> = whole.iter().map(|r| (r.id.as_str(), r.scope.account.as_str(), r.scope.region.as_str())).collect();
    assert_eq!(order[..5], [("a", "1", "eu"), ("a", "1", "us"), ("a", "2", "eu"), ("a", "2", "global"), ("b", "1", "eu")]);
    for limit in 1..=4 {
        assert_eq!(ids(store, all.limit(limit)).await, ["a"; 4], "a page does not part rows with the same id");
        assert_eq!(ids(store, all.limit(limit).after(Some("b")).prefix("c").reverse(false)).await, ["c"; 4]);
        assert_eq!(ids(store, all.limit(limit).reverse(true).after(Some("c"))).await, ["b"; 4]);
    }
    assert_eq!(ids(store, all.limit(5)).await.len(), 8);
    commit(store, |b| {
        for scope in &scopes {
            for id in ["a", "b", "c"] {
                b.delete(THING, scope, id, Expect::Present);
            }
        }
    })
    .await
    .unwrap();
}
