//! Says which version it is: `v1`.

use firebell_guests::{guest, notify};

guest!(V1, |message, out| notify(&format!("v1: {message}"), out));
