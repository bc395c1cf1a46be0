//! The faults that the store in memory has on order.

use super::*;

#[tokio::test]
async fn faults_come_when_ordered() {
    let store = Memory::new();
    store.inject(2, Fault::Before);
    store.inject(3, Fault::After);
    store.inject(4, Fault::Delay(std::time::Duration::from_millis(20)));
    let put = async |id: &str| commit(&store, |b| done(b.put(thing(id), Expect::Absent))).await;
    assert_eq!(put("1").await, Ok(()));
    assert!(matches!(put("2").await, Err(CommitError::Store(StoreError::Unavailable(_)))));
    assert!(matches!(put("3").await, Err(CommitError::Store(StoreError::Unavailable(_)))));
    let mut slow = std::pin::pin!(put("4"));
    tokio::select! {
        biased;
        _ = &mut slow => panic!("it did not wait"),
        () = std::future::ready(()) => {}
    }
    assert!(store.get(THING, &here(), "4").await.unwrap().is_none());
    assert_eq!(slow.await, Ok(()));
    assert_eq!(put("5").await, Ok(()));
    assert_eq!(ids(&store, List::of(THING, &here())).await, ["1", "3", "4", "5"]);
    assert_eq!(store.commits(), 5);
}

#[tokio::test]
async fn reads_fail_when_ordered() {
    let store = Memory::new();
    commit(&store, |b| done(b.enqueue("q", "a", at(1)))).await.unwrap();
    store.inject_read(1);
    store.inject_read(3);
    let scope = here();
    let read = || store.get(THING, &scope, "a");
    assert!(matches!(read().await, Err(StoreError::Unavailable(_))));
    assert_eq!(read().await, Ok(None));
    assert!(store.claim("q", at(2), 1000).await.is_err());
    assert!(store.claim("q", at(2), 1000).await.unwrap().is_some(), "a claim that failed has claimed nothing");
    store.inject_read(1);
    store.heal();
    assert_eq!((read().await, store.reads()), (Ok(None), 5));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_the_end_of_a_process() {
    let store = Memory::new();
    let second = std::time::Duration::from_secs(1);
    let put = async |id: &str| tokio::time::timeout(second, commit(&store, |b| done(b.put(thing(id), Expect::Absent)))).await;
    commit(&store, |b| done(b.enqueue("q", "a", at(1)))).await.unwrap();
    assert!(store.claim("q", at(2), 60_000).await.unwrap().is_some());
    for (fault, id, there) in [(Fault::CrashBefore, "before", false), (Fault::CrashAfter, "after", true)] {
        store.inject(1, fault);
        assert!(put(id).await.is_err(), "no answer");
        assert!(*store.crashes().borrow());
        assert!(put("late").await.is_err() && tokio::time::timeout(second, store.get(THING, &here(), id)).await.is_err());
        store.restart();
        assert_eq!(store.get(THING, &here(), id).await.unwrap().is_some(), there);
    }
    assert!(store.get(THING, &here(), "late").await.unwrap().is_none());
    assert_eq!(store.waiting().len(), 1);
    assert!(store.claim("q", at(2), 1).await.unwrap().is_some(), "the lease ended with its holder");
    // A commit that was slow when the process ended is not made by the next one.
    store.inject(1, Fault::Delay(second));
    let mut slow = std::pin::pin!(put("slow"));
    tokio::select! {
        biased;
        _ = &mut slow => panic!("it did not wait"),
        () = std::future::ready(()) => {}
    }
    store.crash();
    assert!(slow.await.is_err());
    store.restart();
    assert!(store.get(THING, &here(), "slow").await.unwrap().is_none());
}
