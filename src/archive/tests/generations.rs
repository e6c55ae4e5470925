//! Officers come and go: what was sealed before stays readable to those who are officers now, what is sealed after is closed to
//! those who left, and a crash leaves one generation or the other.

use super::super::*;
use super::disk::{FakeDisk, Faults, Random};
use super::world::{TestOfficer, World, message, officers, start};
use crate::crypto::Secret;
use crate::crypto::SecretBytes;
use crate::durable::RealDisk;
use std::path::Path;
use std::sync::Arc;

fn keys_of(numbers: &[usize]) -> Vec<OfficerKey> {
    let key = |n: &usize| {
        let TestOfficer { key, passphrase, .. } = &officers()[*n];
        OfficerKey::parse(key.expose(), passphrase).expect("a key")
    };
    numbers.iter().map(key).collect()
}

fn shares(generation: &Generation, numbers: &[usize]) -> Vec<Share> {
    generation.shares_by(&mut keys_of(numbers), Purpose::Open).expect("shares")
}

fn secrets(archive: &Archive, numbers: &[usize]) -> ArchiveSecrets {
    let generation = archive.generation();
    let mut gathering = Gathering::new(generation.clone());
    gathering.add(&shares(&generation, numbers)).expect("shares");
    gathering.secrets_now().expect("secrets")
}

fn next(archive: &Archive, by: &[usize], of: &[usize], threshold: u8) -> Generation {
    let certificates: Vec<_> = of.iter().map(|n| officers()[*n].certificate.clone()).collect();
    let wanted = Wanted { officers: &certificates, threshold, origin: Origin::Elsewhere, now: start() };
    next_generation(&archive.generation(), &secrets(archive, by), &wanted).expect("a generation")
}

fn install(world: &World, generation: &Generation) {
    world.archive.install(&world.journal, &generation.encode(), start()).expect("installed");
}

fn read_all(unlocked: &Unlocked) -> Vec<Vec<u8>> {
    let segments = unlocked.segments().expect("segments");
    segments.iter().map(|segment| unlocked.octets(segment, 0).expect("octets")).collect()
}

/// A segment of each of three generations: officer 1; any two of three; officers 2 and 3.
fn three_generations(dir: &Path) -> World {
    let world = World::new(Arc::new(RealDisk), dir);
    world.accept(&message(100));
    world.seal();
    install(&world, &next(&world.archive, &[0], &[0, 1, 2], 2));
    world.accept(&message(200));
    world.seal();
    install(&world, &next(&world.archive, &[0, 2], &[1, 2], 2));
    world.accept(&message(300));
    world.seal();
    world
}

#[test]
fn one_unlock_opens_all_generations_and_the_departed_only_the_older() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = three_generations(dir.path());
    let first = {
        let file = std::fs::read(dir.path().join("archive/keys/generation-1")).expect("read");
        Arc::new(Generation::parse(&file).expect("a generation"))
    };
    let world = world.reopen();
    assert_eq!(world.archive.generation().number, 3);
    let unlocked = world.archive.unlocked(secrets(&world.archive, &[1, 2])).expect("unlocked");
    assert_eq!(read_all(&unlocked), [100, 200, 300].map(message));
    assert_eq!(unlocked.absent(), [0; 0]);
    world.assert_whole(&unlocked);

    // Officer 1 has left, with a copy of everything and the key.
    let refused = world.archive.unlock(officers()[0].key.expose(), &officers()[0].passphrase);
    assert!(matches!(&refused, Err(Error::Officer(text)) if text.contains("no officer")), "{refused:?}");
    let mut gathering = Gathering::new(first.clone());
    gathering.add(&shares(&first, &[0])).expect("the share of old");
    let old = gathering.secrets_now().expect("the old secret");
    assert!(matches!(world.archive.unlocked(old), Err(Error::GenerationMissing { generation: 3 })));
    let status = world.archive.status(None).expect("a status");
    assert_eq!((status.generation, status.threshold, status.officers.len()), (3, 2, 2));
    assert_eq!(status.origin, Origin::Elsewhere);
}

#[test]
fn a_handle_that_was_unlocked_before_opens_what_was_sealed_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::new(Arc::new(RealDisk), dir.path());
    world.accept(&message(100));
    world.seal();
    let unlocked = world.unlock();
    install(&world, &next(&world.archive, &[0], &[0], 1));
    world.accept(&message(200));
    world.seal();
    let segments = unlocked.segments().expect("segments");
    assert_eq!(unlocked.octets(&segments[0], 0).expect("octets"), message(100));
    let closed = unlocked.octets(&segments[1], 0);
    assert!(matches!(closed, Err(Error::GenerationMissing { generation: 2 })), "{closed:?}");
    assert_eq!(unlocked.absent(), [2]);
    // What was sealed to the former public half, as the catalog's key is, opens with what is unlocked anew.
    let sealed = Generation::public_key(&next(&world.archive, &[0], &[0], 1)).expect("a key");
    let foreign = sealed.seal("x", b"", b"text").expect("sealed");
    assert!(world.unlock().open_secret("x", b"", &foreign).is_err());
    let first = std::fs::read(dir.path().join("archive/keys/generation-1")).expect("read");
    let first = Generation::parse(&first).expect("parsed").public_key().expect("a key");
    let sealed = first.seal("x", b"", b"text").expect("sealed");
    assert_eq!(world.unlock().open_secret("x", b"", &sealed).expect("opened"), b"text");
}

/// R3: m - 1 shares open nothing, any m do, a wrong one is named.
#[test]
fn shares_are_checked_one_by_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::new(Arc::new(RealDisk), dir.path());
    let former = world.archive.generation();
    install(&world, &next(&world.archive, &[0], &[0, 1, 2], 2));
    let generation = world.archive.generation();
    let of = |n: usize| shares(&generation, &[n]);
    assert_eq!(of(0).len(), 2, "one for each pair");
    let mut gathering = Gathering::new(generation.clone());
    gathering.add(&of(1)).expect("taken");
    assert_eq!(gathering.progress(), Progress { have: 1, needed: 2, officers: vec![1] });
    assert!(gathering.secrets().expect("no fault").is_none() && gathering.secrets_now().is_err());

    let wrong = Share { piece: Secret::new([9; 32]), ..of(2)[0].clone() };
    let foreign = Share { archive: ArchiveId::from_octets([9; 16]), ..of(2)[0].clone() };
    let stranger = Share { officer: 5, ..of(2)[0].clone() };
    let bystander = Share { officer: 1, ..of(2)[0].clone() };
    let outsiders = Share { members: vec![2, 4], ..of(2)[0].clone() };
    assert_eq!(of(2)[0].members, [0, 2]);
    for (shares, told) in [
        (vec![wrong.clone()], "the share of officer 3 ("),
        (vec![of(2)[0].clone(), wrong], "is wrong"),
        (vec![foreign], "of another archive"),
        (vec![stranger], "no share of officer 6 among 1,3"),
        (vec![bystander], "no share of officer 2 among 1,3"),
        (vec![outsiders], "no share of officer 3 among 3,5"),
        (of(1), "the share of officer 2 ("),
        (of(1), "here already"),
        (shares(&former, &[0]), "generation 1 and the archive key is at generation 2"),
        (vec![], "no share"),
    ] {
        let refused = gathering.add(&shares).expect_err(told).to_string();
        assert!(refused.contains(told), "{refused}");
        assert_eq!(gathering.progress().officers, [1], "nothing was taken: {told}");
    }
    gathering.add(&of(2)).expect("taken");
    let unlocked = world.archive.unlocked(gathering.secrets_now().expect("together")).expect("unlocked");
    assert_eq!(unlocked.absent(), [0; 0]);
    assert_eq!(gathering.proved().expect("proved").into_iter().collect::<Vec<_>>(), [1, 2]);
    for pair in [[0, 1], [0, 2], [1, 2]] {
        world.archive.unlocked(secrets(&world.archive, &pair)).expect("any two");
    }
    let mut all = Gathering::new(generation.clone());
    all.add(&generation.shares_by(&mut keys_of(&[0, 1, 2]), Purpose::Prove).expect("shares")).expect("taken");
    assert_eq!(all.proved().expect("proved").len(), 3, "each of those who are here");
}

#[test]
fn only_the_generation_that_follows_is_installed() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::new(Arc::new(RealDisk), dir.path());
    let made = next(&world.archive, &[0], &[0, 1], 1);
    let passphrase = SecretBytes::new(Vec::new());
    let stranger = generate("Stranger <s@example.org>", &passphrase, start()).expect("a key");
    let stranger = Certificate::parse(&stranger.certificate, start()).expect("a certificate");
    let mut renamed = made.clone();
    renamed.officers[1].certificate = stranger.octets().expect("octets");
    let mut foreign = made.clone();
    foreign.archive = ArchiveId::from_octets([9; 16]);
    let mut skipping = made.clone();
    skipping.number = 3;
    for (octets, told) in [
        (b"nonsense".to_vec(), "no generation file"),
        (vec![0; (1 << 20) + 1], "longer"),
        (made.encode()[..500].to_vec(), "no generation file"),
        (foreign.encode(), "another archive"),
        (skipping.encode(), "this is generation 3 and the archive is at 1"),
        (world.archive.generation().encode(), "this is generation 1"),
        (renamed.encode(), "is another's"),
    ] {
        let refused = world.archive.install(&world.journal, &octets, start()).expect_err(told).to_string();
        assert!(refused.contains(told), "{refused}");
    }
    assert_eq!(world.archive.generation().number, 1);
    install(&world, &made);
    assert!(world.archive.install(&world.journal, &made.encode(), start()).is_err(), "once");
    let twice = [officers()[0].certificate.clone(), officers()[0].certificate.clone()];
    let wanted = Wanted { officers: &twice, threshold: 1, origin: Origin::Gateway, now: start() };
    assert!(next_generation(&world.archive.generation(), &secrets(&world.archive, &[1]), &wanted).is_err());
}

#[test]
fn bent_generations_are_refused_and_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = three_generations(dir.path());
    let keys = dir.path().join("archive/keys");
    let file = |name: &str| keys.join(name);
    let open = || Archive::open_read_only(Arc::new(RealDisk), &dir.path().join("archive"));
    let named = |object: &str, kind: FaultKind| {
        let report = world.verify(None);
        assert!(report.findings.iter().any(|f| (f.object.as_str(), f.kind) == (object, kind)), "{:?}", report.findings);
    };
    let (second, third) = (std::fs::read(file("generation-2")), std::fs::read(file("generation-3")));
    let (second, third) = (second.expect("read"), third.expect("read"));
    // Swapped.
    std::fs::write(file("generation-3"), &second).expect("write");
    std::fs::write(file("generation-2"), &third).expect("write");
    let refused = open().map(|_| ()).expect_err("refused").to_string();
    assert!(refused.contains("keys/generation-3") && refused.contains("KEY leaf"), "{refused}");
    for name in ["keys/generation-2", "keys/generation-3"] {
        named(name, FaultKind::Changed);
    }
    std::fs::write(file("generation-2"), &second).expect("write");
    // Gone: sealing to the former would be sealing to those who left.
    std::fs::remove_file(file("generation-3")).expect("removed");
    assert!(matches!(open(), Err(Error::GenerationMissing { generation: 3 })));
    named("keys/generation-3", FaultKind::Missing);
    std::fs::write(file("generation-3"), &third).expect("write");
    // A hint is a hint.
    assert_eq!(
        std::fs::read(file("leaf-3")).ok().as_deref().and_then(parse_hint),
        Some(world.archive.current_key().leaf)
    );
    for hint in ["1\n", "99999\n", "x"] {
        std::fs::write(file("leaf-3"), hint).expect("write");
        assert_eq!(open().expect("opened").generation().number, 3);
        named("keys/leaf-3", FaultKind::Changed);
    }
    std::fs::remove_file(file("leaf-3")).expect("removed");
    assert_eq!(open().expect("opened").generation().number, 3);
    // What nobody announced is ignored, by all, and removed by the holder of the journal.
    std::fs::write(file("generation-4"), &third).expect("write");
    assert_eq!(open().expect("opened").generation().number, 3);
    let world = world.reopen();
    world.archive.reconcile(&world.journal).expect("reconciled");
    let unlocked = world.archive.unlocked(secrets(&world.archive, &[1, 2])).expect("unlocked");
    world.assert_whole(&unlocked);
    assert!(!file("generation-4").exists() && file("leaf-3").exists());
}

#[test]
fn an_older_secret_that_is_not_its_generations_is_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::new(Arc::new(RealDisk), dir.path());
    world.accept(&message(100));
    world.seal();
    let mut made = next(&world.archive, &[0], &[0], 1);
    // As a careless or evil maker would write it.
    let aad = [&world.archive.id().octets()[..], &1u32.to_be_bytes(), &2u32.to_be_bytes()].concat();
    let public = made.public_key().expect("a key");
    made.older[0].sealed = public.seal("older archive key", &aad, &[5; 32]).expect("sealed");
    install(&world, &made);
    let unlocked = world.unlock();
    assert_eq!(unlocked.absent(), [1]);
    let segments = unlocked.segments().expect("segments");
    assert!(matches!(unlocked.octets(&segments[0], 0), Err(Error::GenerationMissing { generation: 1 })));
}

#[test]
fn generations_out_of_order_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::new(Arc::new(RealDisk), dir.path());
    let mut key = leaf::Key::of(&world.archive.generation());
    key.generation = 3;
    seal::append(&world.journal, &[key.to_leaf().expect("a leaf")]).expect("appended");
    let report = world.verify(None);
    assert!(report.findings.iter().any(|f| f.detail == "generation 3 where 2 is due"), "{:?}", report.findings);
    assert!(world.archive.seal(&world.journal, world.clock.as_ref()).is_err(), "nothing is sealed to a doubtful key");
}

/// The power goes at every operation of an installation: one generation or the other counts, whole, and mail goes on.
#[test]
fn power_lost_at_every_step_of_an_installation() {
    let scene = || {
        let disk = FakeDisk::default();
        let world = World::new(Arc::new(disk.clone()), Path::new("/gw"));
        world.accept(&message(100));
        world.seal();
        let made = next(&world.archive, &[0], &[1], 1);
        (disk, world, made)
    };
    let total = {
        let (disk, world, made) = scene();
        let before = disk.operations();
        install(&world, &made);
        disk.operations() - before
    };
    assert!(total > 10, "an installation has many steps: {total}");
    let mut seen = [0; 2];
    for step in 1..=total + 1 {
        let (disk, world, made) = scene();
        disk.set(Faults { power_off_at: Some(disk.operations() + step), ..Faults::default() });
        let installed = world.archive.install(&world.journal, &made.encode(), start());
        let World { disk: shared, root, clock, journal, archive } = world;
        journal.close();
        drop(archive);
        disk.crash(&mut Random(step));
        let world = World::resume(shared, root, clock);
        world.archive.reconcile(&world.journal).expect("reconciled");
        let number = world.archive.generation().number;
        assert!(number == 2 || installed.is_err(), "step {step}: what was installed counts");
        seen[number as usize - 1] += 1;
        world.accept(&message(200));
        world.seal();
        let by = if number == 2 { 1 } else { 0 };
        let unlocked = world.archive.unlocked(secrets(&world.archive, &[by])).expect("unlocked");
        assert_eq!(read_all(&unlocked), [100, 200].map(message), "step {step}");
        world.assert_whole(&unlocked);
        let names = world.disk.list(&world.dir().join("keys")).expect("a list");
        assert_eq!(names.iter().filter(|name| name.starts_with("generation-")).count(), number as usize, "{names:?}");
        assert!(!names.iter().any(|name| name.ends_with(".tmp")), "step {step}: {names:?}");
    }
    assert!(seen.iter().all(|times| *times > 0), "both ends were met: {seen:?}");
}
