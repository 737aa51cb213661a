//! The rules that ship: their components are in the binary.
//!
//! `cargo xtask rules` makes them from `plugins/`.

/// A rule that ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name; a rule's toml says `component = "builtin:NAME"`.
    pub name: &'static str,
    /// The component.
    pub component: &'static [u8],
    /// A rule's toml to start from, with comments for the operator.
    pub toml: &'static str,
}

/// All of them, by name.
pub const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "canary",
        component: include_bytes!("../../plugins/components/canary.wasm"),
        toml: include_str!("../../plugins/canary/rule.toml"),
    },
    Shipped {
        name: "first-seen",
        component: include_bytes!("../../plugins/components/first-seen.wasm"),
        toml: include_str!("../../plugins/first-seen/rule.toml"),
    },
    Shipped {
        name: "heartbeat",
        component: include_bytes!("../../plugins/components/heartbeat.wasm"),
        toml: include_str!("../../plugins/heartbeat/rule.toml"),
    },
    Shipped {
        name: "invalid-login-burst",
        component: include_bytes!("../../plugins/components/invalid-login-burst.wasm"),
        toml: include_str!("../../plugins/invalid-login-burst/rule.toml"),
    },
    Shipped {
        name: "invalid-user",
        component: include_bytes!("../../plugins/components/invalid-user.wasm"),
        toml: include_str!("../../plugins/invalid-user/rule.toml"),
    },
    Shipped {
        name: "notify-relay",
        component: include_bytes!("../../plugins/components/notify-relay.wasm"),
        toml: include_str!("../../plugins/notify-relay/rule.toml"),
    },
];

/// The rule that ships under this name.
pub fn find(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::rules::definition::{ComponentSource, Definition};

    #[test]
    fn each_toml_is_a_good_one_for_its_component() {
        for shipped in SHIPPED {
            let definition =
                Definition::parse(shipped.name, shipped.toml, &Limits::default()).unwrap();
            let builtin = ComponentSource::Builtin(shipped.name.into());
            assert_eq!(definition.component.into_inner(), builtin);
            assert!(shipped.component.starts_with(b"\0asm"));
        }
    }
}
