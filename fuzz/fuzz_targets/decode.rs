//! Any bytes as a record's value: no format panics, and what JSON finds is what `serde_json` finds.
#![no_main]

use std::cell::RefCell;

use firebell::decode::{Decoder, Slots};
use firebell::record::Record;
use firebell::subscription::{FieldType, Format};
use libfuzzer_sys::fuzz_target;

const PLACES: [&str; 16] = [
    "/a",
    "/a/b",
    "/a/0",
    "/0",
    "/b",
    "/",
    "/message",
    "/host",
    "/date",
    "/level",
    "/app",
    "/procid",
    "/structured_data",
    "$value",
    "$key",
    "$headers/x",
];
const TYPES: [FieldType; 6] = [
    FieldType::Text,
    FieldType::Integer,
    FieldType::Float,
    FieldType::Boolean,
    FieldType::Bytes,
    FieldType::Json,
];

thread_local! {
    /// Kept from record to record, as a worker does.
    static DECODERS: RefCell<(Vec<Decoder>, Slots, Vec<u8>)> = RefCell::new((
        [Format::Json, Format::Text, Format::Syslog, Format::Bytes]
            .into_iter()
            .map(|format| {
                Decoder::new(format, PLACES.iter().map(|place| place.parse().unwrap()).collect())
            })
            .collect(),
        Slots::default(),
        Vec::new(),
    ));
}

fuzz_target!(|value: &[u8]| {
    let record = Record {
        offset: 0,
        timestamp_ms: 1_772_637_264_384,
        key: Some(value),
        value: Some(value),
        headers: &(),
    };
    let document = serde_json::from_slice::<serde_json::Value>(value).ok();
    DECODERS.with_borrow_mut(|(decoders, slots, cells)| {
        for (index, decoder) in decoders.iter().enumerate() {
            let (fields, decoded) = decoder.decode(&record, slots);
            for (slot, place) in PLACES.iter().enumerate() {
                for field_type in TYPES {
                    cells.clear();
                    fields.write(slot, field_type, cells);
                }
                if index == 0
                    && place.starts_with('/')
                    && let Some(document) = &document
                {
                    assert!(decoded.is_ok());
                    let found = fields.json(slot).value();
                    let found = found.map(|json| serde_json::from_str(&json).unwrap());
                    assert_eq!(found.as_ref(), document.pointer(place), "{place}");
                }
            }
        }
    });
});
