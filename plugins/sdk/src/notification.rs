//! Notifications, built piece by piece; there is no markup, and text stays text.

use crate::__private::wit;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Severity {
    /// For information.
    Info,
    /// Look at it today.
    #[default]
    Warning,
    /// Look at it now.
    Error,
    /// Get up.
    Critical,
}

/// What a notification does to its alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Opens the alert; a second one sends nothing.
    Fire,
    /// Changes the alert's message.
    Update,
    /// Closes the alert.
    Resolve,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// Text, shown as it is.
    Text(String),
    /// Text in a fixed-width face.
    Code(String),
    /// Text, set apart.
    Emphasis(String),
    /// A link; its host must be on the operator's list, or it is shown as text.
    Link {
        /// Where it goes.
        url: String,
        /// What is shown.
        label: String,
    },
    /// A person or group, by a name that the operator's configuration maps.
    Mention(String),
    /// A time in milliseconds since the Unix epoch, shown in the reader's zone.
    Timestamp(i64),
}

/// What may stand where spans are wanted: text, one span, several.
pub trait IntoSpans {
    /// The spans.
    fn into_spans(self) -> Vec<Span>;
}

impl IntoSpans for &str {
    fn into_spans(self) -> Vec<Span> {
        vec![Span::Text(self.to_owned())]
    }
}

impl IntoSpans for String {
    fn into_spans(self) -> Vec<Span> {
        vec![Span::Text(self)]
    }
}

impl IntoSpans for i64 {
    fn into_spans(self) -> Vec<Span> {
        vec![Span::Text(self.to_string())]
    }
}

impl IntoSpans for Span {
    fn into_spans(self) -> Vec<Span> {
        vec![self]
    }
}

impl IntoSpans for Vec<Span> {
    fn into_spans(self) -> Vec<Span> {
        self
    }
}

impl<const N: usize> IntoSpans for [Span; N] {
    fn into_spans(self) -> Vec<Span> {
        self.into()
    }
}

/// "Please tell somebody."
///
/// ```
/// use firebell_rule::{Notification, Severity};
///
/// let notification = Notification::fire("4 invalid user login attempts on rpi-03")
///     .severity(Severity::Error)
///     .key("rpi-03")
///     .text("the last user was ")
///     .code("admin")
///     .field("host", "rpi-03")
///     .label("team", "ops")
///     .channel("security");
/// assert_eq!(notification.key.as_deref(), Some("rpi-03"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Names the situation; `None` = the record itself is the situation.
    pub key: Option<String>,
    /// Start of the window that this is about, milliseconds since the Unix epoch.
    pub window_start_ms: Option<i64>,
    /// How bad; a warning unless said.
    pub severity: Severity,
    /// What it does to its alert.
    pub kind: Kind,
    /// One line of plain text; people read it first, on a phone.
    pub title: String,
    /// The rest of the message.
    pub body: Vec<Span>,
    /// Named values, shown beside each other.
    pub fields: Vec<(String, Vec<Span>)>,
    /// For routing, silences and grouping.
    pub labels: Vec<(String, String)>,
    /// A channel by name, from those that the operator allows; `None` = the first of them.
    pub channel: Option<String>,
}

impl Notification {
    fn new(kind: Kind, title: String) -> Self {
        Self {
            key: None,
            window_start_ms: None,
            severity: Severity::default(),
            kind,
            title,
            body: Vec::new(),
            fields: Vec::new(),
            labels: Vec::new(),
            channel: None,
        }
    }

    /// Opens an alert. The title is one line of plain text.
    pub fn fire(title: impl Into<String>) -> Self {
        Self::new(Kind::Fire, title.into())
    }

    /// Changes an open alert's message; give it the alert's [`key`](Self::key()).
    pub fn update(title: impl Into<String>) -> Self {
        Self::new(Kind::Update, title.into())
    }

    /// Closes an alert; give it the alert's [`key`](Self::key()).
    pub fn resolve(title: impl Into<String>) -> Self {
        Self::new(Kind::Resolve, title.into())
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Names the situation: notifications of one rule with equal keys are one alert. Without a key
    /// every record is an alert of its own.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Start of the window that this is about; part of the alert's identity.
    #[must_use]
    pub fn window_start_ms(mut self, start_ms: i64) -> Self {
        self.window_start_ms = Some(start_ms);
        self
    }

    /// Adds a piece to the body.
    #[must_use]
    pub fn span(mut self, span: Span) -> Self {
        self.body.push(span);
        self
    }

    /// Adds text to the body.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.span(Span::Text(text.into()))
    }

    /// Adds text in a fixed-width face to the body.
    #[must_use]
    pub fn code(self, text: impl Into<String>) -> Self {
        self.span(Span::Code(text.into()))
    }

    /// Adds text that is set apart to the body.
    #[must_use]
    pub fn emphasis(self, text: impl Into<String>) -> Self {
        self.span(Span::Emphasis(text.into()))
    }

    /// Adds a link to the body.
    #[must_use]
    pub fn link(self, url: impl Into<String>, label: impl Into<String>) -> Self {
        self.span(Span::Link { url: url.into(), label: label.into() })
    }

    /// Adds a mention of a person or group, by a configured name, to the body.
    #[must_use]
    pub fn mention(self, name: impl Into<String>) -> Self {
        self.span(Span::Mention(name.into()))
    }

    /// Adds a time, shown in the reader's zone, to the body.
    #[must_use]
    pub fn timestamp(self, timestamp_ms: i64) -> Self {
        self.span(Span::Timestamp(timestamp_ms))
    }

    /// Adds a named value.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl IntoSpans) -> Self {
        self.fields.push((name.into(), value.into_spans()));
        self
    }

    /// Adds a label, for routing, silences and grouping.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Posts to this channel, by name, instead of the first that the operator allows.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.channel = Some(name.into());
        self
    }

    pub(crate) fn lower(self, row: u32) -> wit::Notification {
        let labelled = |(name, value)| wit::Labelled { name, value: lower_spans(value) };
        wit::Notification {
            row,
            alert_key: self.key,
            window_start: self.window_start_ms,
            severity: match self.severity {
                Severity::Info => wit::Severity::Info,
                Severity::Warning => wit::Severity::Warning,
                Severity::Error => wit::Severity::Error,
                Severity::Critical => wit::Severity::Critical,
            },
            kind: match self.kind {
                Kind::Fire => wit::Kind::Fire,
                Kind::Update => wit::Kind::Update,
                Kind::Resolve => wit::Kind::Resolve,
            },
            title: self.title,
            body: lower_spans(self.body),
            fields: self.fields.into_iter().map(labelled).collect(),
            labels: self.labels,
            channel: self.channel,
        }
    }
}

fn lower_spans(spans: Vec<Span>) -> Vec<wit::Span> {
    let lower = |span| match span {
        Span::Text(text) => wit::Span::Text(text),
        Span::Code(text) => wit::Span::Code(text),
        Span::Emphasis(text) => wit::Span::Emphasis(text),
        Span::Link { url, label } => wit::Span::Link(wit::Link { url, label }),
        Span::Mention(name) => wit::Span::Mention(name),
        Span::Timestamp(timestamp_ms) => wit::Span::Timestamp(timestamp_ms),
    };
    spans.into_iter().map(lower).collect()
}
