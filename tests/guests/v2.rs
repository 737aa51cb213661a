//! Says which version it is: `v2`.

use firebell_guests::{guest, notify};

guest!(V2, |message, out| notify(&format!("v2: {message}"), out));
