//! Tests: what is left of a result that was on its way out of the shared cache.

use super::*;
use crate::store::{Acceptance, Control, Pulled, Remote, RemoteError, RemoteUrl};
use std::collections::BTreeSet;

/// A shared cache in a folder that has the result of [`WORK`].
fn shared() -> (tempfile::TempDir, Remote) {
    let there = folder();
    let url = RemoteUrl::parse(&format!("file://{}", there.path().display())).unwrap();
    let remote = Remote::open(&url, std::time::Duration::from_secs(60)).unwrap();
    let made = folder();
    let store = Store::open(made.path()).unwrap();
    work(&store, &|_| {}).unwrap();
    store.push(&remote, &WORK, &BTreeSet::new(), &Control::NONE).unwrap();
    (there, remote)
}

fn pull(store: &Store, remote: &Remote, reported: &dyn Fn(Done)) -> Result<(), RemoteError> {
    let _ = store.prepare()?;
    let pulled = store.pull(remote, &WORK, Acceptance::ALL, &Control::NONE)?;
    assert!(matches!(pulled, Pulled::New { .. } | Pulled::Known(_)), "{pulled:?}");
    reported(Done::Record);
    Ok(())
}

#[test]
fn what_comes_may_fail_at_any_operation_and_leaves_a_valid_cache_that_goes_on() {
    let (_there, remote) = shared();
    for failing in 0.. {
        let base = folder();
        let root = base.path().join("new/cache");
        let store = Store::open(&root).unwrap();
        let (mut left, done) = (failing, RefCell::new(Done::Nothing));
        let (inside, reached) = (base.path().to_owned(), Rc::new(Cell::new(false)));
        let reaching = reached.clone();
        let failed = with_probe(
            move |change| {
                left -= i32::from(change.path().starts_with(&inside));
                reaching.set(reaching.get() || left < 0);
                if left < 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            },
            || pull(&store, &remote, &|now| *done.borrow_mut() = now),
        );
        check(&root, *done.borrow(), &format!("operation {failing} failed: {failed:?}"));
        assert_eq!(fs::read_dir(root.join("tmp")).map_or(0, Iterator::count), 0, "operation {failing}");
        if !reached.get() {
            failed.unwrap();
            assert!(failing > 15, "only {failing} operations");
            break;
        }
        // Locks that cannot be had are no failure of their own.
        if let Err(error) = failed {
            assert!(
                matches!(error, RemoteError::Store(StoreError::Io { .. } | StoreError::ReadOnly { .. })),
                "{error:?}"
            );
        }
        pull(&store, &remote, &|_| {}).unwrap();
        check(&root, Done::Record, "and goes on");
    }
}

#[test]
fn a_power_cut_while_a_result_comes_leaves_all_of_it_or_none() {
    let (_there, remote) = shared();
    let (base, journal, reported) = recorded(|root, journal, report| {
        let store = Store::open(root).unwrap();
        let journal = journal.clone();
        with_probe(
            move |change| {
                write_down(&journal, change);
                Ok(())
            },
            || pull(&store, &remote, report).unwrap(),
        );
    });
    assert!(journal.len() > 15, "{journal:?}");
    cut_power_everywhere(base.path(), &journal, &reported, 0, &check);
}
