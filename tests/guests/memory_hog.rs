//! Asks for memory until there is none, on a message with `hog`.

use firebell_guests::{guest, notify};

guest!(MemoryHog, |message, out| {
    let mut hoard = Vec::new();
    while message.contains("hog") {
        hoard.push(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
    notify(message, out);
});
