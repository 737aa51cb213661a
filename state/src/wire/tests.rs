use proptest::prelude::*;

use super::*;
use crate::plan::{Aggregate, Closing, Crossing, Shape, Window};

fn evidence(offset: i64) -> Evidence {
    let topic = if offset % 2 == 0 { "SYSLOG" } else { "other" };
    Evidence { topic: topic.into(), partition: 3, offset, timestamp_ms: -1 }
}

fn entries() -> Vec<(Kind, Entry)> {
    let mut items = Items::default();
    items.insert(b"one");
    items.insert(b"");
    let tally = Tally {
        end_ms: i64::MAX,
        count: u64::MAX,
        value: f64::INFINITY,
        crossed: true,
        told: false,
        items: Some(Box::new(items)),
        evidence: Some(Arc::new(vec![evidence(1), evidence(2), evidence(3)])),
    };
    let mut sliding = Sliding::default();
    for (offset, item) in [(1, "a"), (2, "b"), (2, "a")] {
        let record = evidence(offset);
        let row = Row {
            time_ms: offset - 5,
            number: None,
            item: Some(item.as_bytes()),
            evidence: (offset > 1).then_some(&record),
        };
        sliding.push(row, true);
    }
    sliding.above = true;
    sliding.link();
    let window = |name: &str, shape, crossing, closing| Window {
        name: name.into(),
        shape,
        aggregate: Aggregate::Distinct,
        grace_ms: 9,
        crossing,
        closing,
        evidence: 3,
    };
    let hopping = Shape::Hopping { size_ms: 5, advance_ms: 2 };
    let windows = [
        (7, window("burst", hopping, Crossing::AtLeast(4.5), Closing::All)),
        (u64::MAX, window("", Shape::Session(3), Crossing::Never, Closing::Crossed)),
    ]
    .into();
    let mut sources = Sources::default();
    sources.saw(&"t".into(), 3, -4);
    sources.tell([(&"t".into(), 3), (&"u".into(), 0)].into_iter());
    sources.begin();
    let sources = Arc::new(sources);
    vec![
        (Kind::Meta, Entry::Meta(Meta { version: Some(2), stream_ms: Some(-1), sources, windows })),
        (Kind::Meta, Entry::Meta(Meta::default())),
        (Kind::Value, Entry::Value { bytes: Box::from(&b"v"[..]), expires_ms: Some(i64::MIN) }),
        (Kind::Value, Entry::Value { bytes: Box::default(), expires_ms: None }),
        (Kind::Timer, Entry::Timer(Due::EventTime(-5))),
        (Kind::Timer, Entry::Timer(Due::WallClock(5))),
        (Kind::Window, Entry::Tally(Tally::new(10))),
        (Kind::Session, Entry::Tally(tally)),
        (Kind::Sliding, Entry::Sliding(Box::new(sliding))),
    ]
}

#[test]
fn what_is_written_is_read_back() {
    for (kind, entry) in entries() {
        let read = decode(kind, &encode(&entry), &mut Topics::default());
        assert_eq!(read, Ok(entry));
    }
}

#[test]
fn keys_of_all_kinds_are_read_back_and_are_different() {
    let keys = [
        (Kind::Meta, 0, 0, &b""[..]),
        (Kind::Value, 0, 0, b"k"),
        (Kind::Value, 0, 0, b""),
        (Kind::Timer, 0, 0, b"k"),
        (Kind::Window, 7, -5, b"k"),
        (Kind::Session, 7, -5, b"k"),
        (Kind::Sliding, u64::MAX, 0, b"k"),
    ];
    let mut written = std::collections::BTreeSet::new();
    for (kind, definition, start_ms, bytes) in keys {
        let key = Key { kind, definition, bytes: bytes.into(), start_ms };
        assert!(written.insert(encode_key(&key)));
        assert_eq!(decode_key(&encode_key(&key)), Ok(key));
    }
}

#[test]
fn topics_of_evidence_are_written_once_and_held_once() {
    let mut topics = Topics::default();
    let (_, entry) = entries().remove(7);
    let bytes = encode(&entry);
    assert_eq!(bytes.windows(6).filter(|part| part == b"SYSLOG").count(), 1);
    let Ok(Entry::Tally(tally)) = decode(Kind::Session, &bytes, &mut topics) else { panic!() };
    let all = tally.evidence.unwrap();
    assert!(Arc::ptr_eq(&all[0].topic, &all[2].topic));
}

#[test]
fn what_a_newer_firebell_wrote_is_refused_in_words() {
    let mut bytes = encode(&Entry::Timer(Due::EventTime(1)));
    bytes[0] = 2;
    let refused = decode(Kind::Timer, &bytes, &mut Topics::default()).unwrap_err();
    assert_eq!(refused, WireError::Version { found: 2, known: 1 });
    assert!(refused.to_string().contains("written by a newer Firebell"));
    assert_eq!(decode_key(&[99]), Err(WireError::Kind { found: 99 }));
}

#[test]
fn every_cut_and_every_damaged_byte_is_noticed() {
    for (kind, entry) in entries() {
        let good = encode(&entry);
        let read = |bytes: &[u8]| decode(kind, bytes, &mut Topics::default());
        for len in 0..good.len() {
            assert!(read(&good[..len]).is_err(), "{entry:?} cut at {len}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad).is_err(), "{entry:?} damaged at {at}");
        }
    }
    assert_eq!(decode(Kind::Value, &[], &mut Topics::default()), Err(WireError::Cut));
    assert_eq!(decode(Kind::Value, &[1, 0, 0], &mut Topics::default()), Err(WireError::Cut));
    let wrong = [1, 0, 0, 0, 1, 0];
    assert_eq!(decode(Kind::Value, &wrong, &mut Topics::default()), Err(WireError::Checksum));
}

proptest! {
    /// Bytes with a good checksum get further than any others.
    #[test]
    fn no_bytes_make_it_panic(
        key in proptest::collection::vec(any::<u8>(), 0..40),
        mut body in proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..4], 0..200),
        seals in any::<bool>(),
    ) {
        if seals {
            let mut sealed = vec![VERSION];
            sealed.extend(crc32fast::hash(&body).to_le_bytes());
            sealed.append(&mut body);
            body = sealed;
        }
        for kind in 0..8_u8 {
            let mut named = vec![kind];
            named.extend(&key);
            let mut state = crate::RuleState::new(1 << 20);
            if state.restore(&named, Some(&body)).is_ok() {
                // What was read can be written and read back.
                for (key, entry) in state.store.iter() {
                    let read = decode(key.kind, &encode(entry), &mut Topics::default());
                    prop_assert_eq!(read.as_ref(), Ok(entry));
                }
            }
        }
    }
}
