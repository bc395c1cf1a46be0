//! The pool by examples, and by random asking and leaving.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const CAPACITY: Demand = Demand { memory_bytes: 800, cpu_millis: 400 };

fn ask(key: &str, account: &str, since: i64, memory_bytes: u64, class: Class) -> Ask {
    Ask {
        key: key.to_owned(),
        account: AccountId::from(account),
        since: Timestamp::from_secs(since),
        demand: Demand { memory_bytes, cpu_millis: memory_bytes / 4 },
        class,
        first: false,
    }
}

/// A job.
fn job(pool: &Pool, key: &str, account: &str, since: i64, memory: u64) -> bool {
    pool.ask(ask(key, account, since, memory, Class::Ending), Box::new(|| ()))
}

fn standing(pool: &Pool, key: &str, account: &str) -> bool {
    pool.ask(ask(key, account, 0, 100, Class::Standing), Box::new(|| ()))
}

#[test]
fn fair_by_account_then_by_age() {
    let pool = Pool::new(CAPACITY);
    assert!(job(&pool, "g1", "greedy", 1, 400) && job(&pool, "g2", "greedy", 2, 400));
    assert!(job(&pool, "g2", "greedy", 2, 400), "asking while it runs");
    assert!(!job(&pool, "g3", "greedy", 3, 400) && !job(&pool, "g4", "greedy", 4, 400) && !job(&pool, "m1", "modest", 5, 400));
    assert_eq!(pool.waiting("g4"), Some(Waiting { account: 1, all: 2, capped: false }), "the other account comes first");
    assert_eq!(pool.waiting("m1"), Some(Waiting { account: 0, all: 0, capped: false }));
    pool.leave("g1");
    assert_eq!(pool.waiting("m1"), None, "let in");
    assert!(job(&pool, "m1", "modest", 5, 400) && !job(&pool, "g3", "greedy", 3, 400));
    pool.leave("m1");
    assert!(job(&pool, "g3", "greedy", 3, 400) && !job(&pool, "g4", "greedy", 4, 400));
}

#[test]
fn larger_than_the_host_runs_alone_and_nobody_overtakes_it() {
    let pool = Pool::new(CAPACITY);
    assert!(job(&pool, "a", "one", 1, 100));
    assert!(!job(&pool, "giant", "two", 2, 100_000) && !job(&pool, "b", "three", 3, 100));
    pool.leave("a");
    assert!(job(&pool, "giant", "two", 2, 100_000));
    assert_eq!(pool.used(), CAPACITY);
    assert!(!job(&pool, "b", "three", 3, 100));
    pool.leave("giant");
    assert!(job(&pool, "b", "three", 3, 100));
}

#[test]
fn standing_work_leaves_room() {
    let pool = Pool::new(CAPACITY);
    let seats = |account: &str| (0..8).filter(|n| standing(&pool, &format!("{account}-{n}"), account)).count();
    assert_eq!((seats("a"), seats("b"), seats("c")), (4, 2, 0), "half of the host for one, three quarters for all");
    assert!(pool.waiting("a-7").unwrap().capped);
    assert!(job(&pool, "j1", "a", 1, 100) && job(&pool, "j2", "a", 2, 100), "the capped hold up nobody");
    assert!(!job(&pool, "j3", "a", 3, 100));
    pool.leave("b-0");
    assert_eq!(pool.used().memory_bytes, CAPACITY.memory_bytes, "somebody was let in in its place");
}

#[test]
fn who_served_before_comes_first() {
    let pool = Pool::new(CAPACITY);
    assert!(job(&pool, "a", "one", 1, 800) && !job(&pool, "b", "two", 1, 800));
    let before = Ask { first: true, ..ask("served", "one", 9, 100, Class::Standing) };
    assert!(!pool.ask(before.clone(), Box::new(|| ())));
    pool.leave("a");
    assert!(pool.ask(before, Box::new(|| ())) && !job(&pool, "b", "two", 1, 800));
}

#[test]
fn who_does_not_come_is_forgotten() {
    let pool = Pool::new(CAPACITY);
    let now = Instant::now();
    let woken = Arc::new(AtomicUsize::new(0));
    let wake = || -> Wake {
        let woken = Arc::clone(&woken);
        Box::new(move || {
            woken.fetch_add(1, Ordering::Relaxed);
        })
    };
    let all = |key: &str| ask(key, "a", 1, 800, Class::Ending);
    assert!(pool.ask_at(all("runs"), wake(), now));
    assert!(!pool.ask_at(all("sleeps"), wake(), now) && !pool.ask_at(all("waits"), wake(), now));
    pool.leave("runs");
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert!(!pool.ask_at(all("waits"), wake(), now + FORGOTTEN), "the other was let in and may still come");
    assert!(pool.ask_at(all("waits"), wake(), now + FORGOTTEN * 2), "it did not");
    assert!(pool.ask_at(all("waits"), wake(), now + FORGOTTEN * 9), "who runs is never forgotten");
    assert!(!pool.ask_at(all("sleeps"), wake(), now + FORGOTTEN * 9));
    let place = Arc::new(pool);
    drop(place.hold("waits"));
    assert_eq!(woken.load(Ordering::Relaxed), 2);
}

#[test]
fn what_instances_are_reckoned_with() {
    let host = HostCapacity { memory_bytes: 10 << 30, cpus: 2 };
    let limits = |name: &str| crate::limits_on(host, crate::instance(name).unwrap());
    let reckoned = |name: &str, count, class| {
        let demand = Demand::of(&limits(name), count, class);
        (demand.memory_bytes >> 20, demand.cpu_millis)
    };
    assert_eq!(reckoned("ml.t3.medium", 1, Class::Ending), (1024, 500));
    assert_eq!(reckoned("ml.m5.large", 2, Class::Ending), (4096, 1000));
    assert_eq!(reckoned("ml.m5.24xlarge", 1, Class::Ending), (2048, 500), "as large as the host");
    assert_eq!(reckoned("ml.m5.large", 1, Class::Standing), (512, 62));
    assert_eq!(Pool::on(host).capacity(), Demand { memory_bytes: 8 << 30, cpu_millis: 2000 });
}

/// Random asking and leaving: never more than there is, nobody's books wrong, and every first asker of an account is served within
/// as many leaves as there were accounts before it and places to free for it.
#[test]
fn random_asking_and_leaving() {
    for seed in 1..=20u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let pool = Pool::new(CAPACITY);
        let mut known: Vec<(Ask, bool)> = Vec::new();
        // The asker that is watched: waits since so many leaves, of so many allowed.
        let mut watched: Option<(String, usize, usize)> = None;
        for round in 0..300 {
            let modest = round % 50 == 25 && watched.is_none();
            if modest || random(3) > 0 {
                let account = if modest { format!("modest-{round}") } else { format!("greedy-{}", random(3)) };
                let ask = ask(&format!("{account}-{round}"), &account, round, [50, 100, 200][random(3) as usize], Class::Ending);
                let may = pool.ask(ask.clone(), Box::new(|| ()));
                if modest && !may {
                    // Before it comes at most one of each other account; each of these four needs at most as many leaves as
                    // there are seats of the smallest size.
                    watched = Some((ask.key.clone(), 0, 4 * 16));
                }
                known.push((ask, may));
            } else if let Some(at) = known.iter().position(|(ask, may)| *may && watched.as_ref().is_none_or(|w| w.0 != ask.key)) {
                let (left, _) = known.remove(at);
                pool.leave(&left.key);
                if let Some(watched) = &mut watched {
                    watched.1 += 1;
                }
            }
            let inner = pool.lock();
            known.iter_mut().for_each(|(ask, may)| *may = inner.seats[&ask.key].state != State::Waits);
            drop(inner);
            if let Some((key, leaves, allowed)) = &watched {
                if known.iter().any(|(ask, may)| ask.key == *key && *may) {
                    watched = None;
                } else {
                    assert!(leaves <= allowed, "seed {seed}: {key} waits after {leaves} leaves");
                }
            }
            let running = known.iter().filter(|(_, may)| *may).fold(Demand::default(), |sum, (ask, _)| sum.plus(ask.demand));
            assert_eq!(pool.used(), running, "seed {seed}");
            assert!(running.within(CAPACITY), "seed {seed}");
        }
        for (ask, _) in known {
            pool.leave(&ask.key);
        }
        let inner = pool.lock();
        assert!(inner.used == Demand::default() && inner.accounts.is_empty() && inner.seats.is_empty(), "seed {seed}");
    }
}

/// One account asks five hundred times; another's single job runs after one of them has left.
#[test]
fn five_hundred_and_one() {
    let pool = Pool::new(CAPACITY);
    let running = (0..500).filter(|n| job(&pool, &format!("greedy-{n}"), "greedy", *n, 100)).count();
    assert_eq!(running, 8);
    assert!(!job(&pool, "modest", "modest", 1000, 100));
    pool.leave("greedy-3");
    assert!(job(&pool, "modest", "modest", 1000, 100));
}
