//! `[tables]`: name = topic.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::reader::Table;
use crate::effect::is_topic_name;

/// Reads the section.
pub(super) fn read(table: Table<'_, '_>) -> BTreeMap<String, String> {
    let mut tables = BTreeMap::new();
    for (name, value) in table.entries() {
        match value.get_ref() {
            DeValue::String(topic) if is_topic_name(topic) => {
                tables.insert(name.into(), topic.as_ref().into());
            }
            _ => {
                let cure = "write the name of a compacted topic, such as hosts = \"HOSTS\"";
                table.problem(name, "does not name a topic", cure);
            }
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, check, parse};

    #[test]
    fn a_table_is_a_name_and_a_topic() {
        let config = parse(&format!("{GOOD}[tables]\nhosts = \"HOSTS\"\n")).unwrap();
        assert_eq!(config.tables["hosts"], "HOSTS");
        check(
            "tables",
            "hosts = 7\nowners = \"a b\"",
            &[
                "firebell.toml:7: tables.hosts: does not name a topic; write the name of a compacted topic, such as hosts = \"HOSTS\"",
                "firebell.toml:8: tables.owners: does not name a topic; write the name of a compacted topic, such as hosts = \"HOSTS\"",
            ],
        );
    }
}
