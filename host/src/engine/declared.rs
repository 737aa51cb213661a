//! What a rule declared, looked at before anybody believes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use firebell_state::Plan;

use crate::effect::is_topic_name;
use crate::engine::failure::InvalidSubscription;
use crate::engine::instance::Described;
use crate::limits::{
    CONDITION_BYTES_MAX, FIELD_NAME_BYTES_MAX, FIELD_SOURCE_BYTES_MAX, FIELDS_MAX, TOPICS_MAX, cut,
};
use crate::subscription::{Field, FieldType, Subscription};

/// Bytes of a wrong text that an error shows.
const SHOWN_BYTES_MAX: usize = 64;

/// What `describe` declared, not yet looked at.
pub(super) struct Declared {
    pub(super) topics: Vec<String>,
    /// Name, source, type.
    pub(super) fields: Vec<(String, String, FieldType)>,
    pub(super) condition: Option<String>,
    /// Empty where the component has no export for it.
    pub(super) plan: Plan,
}

impl Declared {
    /// What this means.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be.
    pub(super) fn described(self) -> Result<Described, InvalidSubscription> {
        let Self { topics, fields, condition, plan } = self;
        for (what, count, max) in
            [("topics", topics.len(), TOPICS_MAX), ("fields", fields.len(), FIELDS_MAX)]
        {
            if count > max {
                return Err(InvalidSubscription::TooMany { what, count, max });
            }
        }
        if let Some(topic) = topics.iter().find(|topic| !is_topic_name(topic)) {
            return Err(InvalidSubscription::Topic { topic: shown(topic) });
        }
        let mut names = BTreeSet::new();
        let mut declared = Vec::with_capacity(fields.len());
        for (name, source, field_type) in fields {
            let field = checked(name, &source, field_type)?;
            if !names.insert(Arc::clone(&field.name)) {
                return Err(InvalidSubscription::Twice { name: field.name });
            }
            declared.push(field);
        }
        if let Some(text) = &condition {
            fits(|| "the condition".to_owned(), text, CONDITION_BYTES_MAX)?;
        }
        let topics = topics.into_iter().map(Arc::from).collect();
        check_plan(&plan, &declared)?;
        Ok(Described { subscription: Subscription { topics, fields: declared, condition }, plan })
    }
}

/// Checks a plan by itself and against the declared fields.
fn check_plan(plan: &Plan, fields: &[Field]) -> Result<(), InvalidSubscription> {
    plan.check()?;
    let named = |name: &str| fields.iter().find(|field| &*field.name == name);
    if let Some(key_by) = &plan.key_by
        && named(key_by).is_none()
    {
        return Err(InvalidSubscription::KeyBy { name: key_by.clone() });
    }
    if let Some(event_time) = &plan.event_time
        && named(event_time).is_none_or(|field| field.field_type != FieldType::Integer)
    {
        return Err(InvalidSubscription::EventTime { name: event_time.clone() });
    }
    Ok(())
}

fn checked(
    name: String,
    source: &str,
    field_type: FieldType,
) -> Result<Field, InvalidSubscription> {
    if name.is_empty() {
        return Err(InvalidSubscription::NoName { source_text: shown(source) });
    }
    fits(|| format!("the field name `{}`", shown(&name)), &name, FIELD_NAME_BYTES_MAX)?;
    fits(|| format!("the source of field `{name}`"), source, FIELD_SOURCE_BYTES_MAX)?;
    match source.parse() {
        Ok(source) => Ok(Field { name: name.into(), source, field_type }),
        Err(source) => Err(InvalidSubscription::Source { name, source }),
    }
}

fn fits(what: impl FnOnce() -> String, text: &str, max: usize) -> Result<(), InvalidSubscription> {
    let bytes = text.len();
    if bytes > max {
        return Err(InvalidSubscription::TooLong { what: what(), bytes, max });
    }
    Ok(())
}

fn shown(text: &str) -> String {
    let mut text = text.to_owned();
    cut(&mut text, SHOWN_BYTES_MAX);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, source: &str) -> (String, String, FieldType) {
        (name.into(), source.into(), FieldType::Text)
    }

    fn host_only() -> Declared {
        Declared {
            topics: vec![],
            fields: vec![field("host", "/host")],
            condition: None,
            plan: Plan::default(),
        }
    }

    #[track_caller]
    fn refused(declared: Declared, told: &str) {
        assert_eq!(declared.described().unwrap_err().to_string(), told);
    }

    #[test]
    fn what_is_as_long_as_it_may_be_is_taken() {
        let source = format!("/{}", "s".repeat(FIELD_SOURCE_BYTES_MAX - 1));
        let declared = Declared {
            topics: (0..TOPICS_MAX).map(|number| format!("topic-{number}")).collect(),
            fields: (0..FIELDS_MAX)
                .map(|number| field(&format!("{number:0>FIELD_NAME_BYTES_MAX$}"), &source))
                .collect(),
            condition: Some("x".repeat(CONDITION_BYTES_MAX)),
            plan: Plan::default(),
        };
        let subscription = declared.described().unwrap().subscription;
        assert_eq!(subscription.fields.len(), FIELDS_MAX);
        assert_eq!(subscription.topics.len(), TOPICS_MAX);
    }

    #[test]
    fn more_than_a_rule_may_declare_is_told_by_what_and_how_much() {
        let topics = vec!["SYSLOG".to_owned(); TOPICS_MAX + 1];
        refused(Declared { topics, ..host_only() }, "257 topics are declared; 256 are allowed");
        let fields = vec![field("host", "/host"); FIELDS_MAX + 1];
        refused(Declared { fields, ..host_only() }, "257 fields are declared; 256 are allowed");
        let condition = Some("x".repeat(CONDITION_BYTES_MAX + 1));
        refused(
            Declared { condition, ..host_only() },
            "the condition has 65537 bytes; 65536 are allowed",
        );
    }

    #[test]
    fn long_texts_are_told_and_not_repeated() {
        let long = "n".repeat(1 << 20);
        let cut = format!("{}…", "n".repeat(SHOWN_BYTES_MAX - "…".len()));
        let with = |name: &str, source: &str| Declared {
            fields: vec![field(name, source)],
            ..host_only()
        };
        refused(
            with(&long, "/host"),
            &format!("the field name `{cut}` has 1048576 bytes; 128 are allowed"),
        );
        refused(
            with("host", &long),
            "the source of field `host` has 1048576 bytes; 1024 are allowed",
        );
        refused(
            with("", "/host"),
            "the source `/host` is declared without a name; give the field one",
        );
        refused(
            Declared { topics: vec![long], ..host_only() },
            &format!(
                "`{cut}` is no topic's name; Kafka allows 1 to 249 letters, digits, `.`, `_`, `-`"
            ),
        );
    }

    #[test]
    fn a_source_that_names_no_place_and_a_name_that_is_there_twice_are_told() {
        let wrong = Declared { fields: vec![field("host", "host")], ..host_only() };
        refused(wrong, "field `host`: its source is wrong");
        let twice =
            Declared { fields: vec![field("host", "/a"), field("host", "/b")], ..host_only() };
        refused(twice, "field `host` is declared twice");
    }
}
