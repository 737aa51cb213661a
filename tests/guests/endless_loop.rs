//! Never returns from a message with `loop`.

use firebell_guests::{guest, notify};

guest!(EndlessLoop, |message, out| {
    let mut turns = 0_u64;
    while message.contains("loop") {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
    notify(message, out);
});
