//! One instance of a rule: what the host calls, natively and in WebAssembly alike.

use std::cell::RefCell;

use crate::__private::wit::Batch;
use crate::effects::{Effects, RowEffect};
use crate::subscription::Field;
use crate::{Config, Record, Rule, Subscription};

/// A rule that was described, or is about to be.
pub struct Instance<R>(RefCell<Option<Described<R>>>);

/// A rule and the columns that it declared.
struct Described<R> {
    rule: R,
    fields: Vec<Field>,
}

impl<R: Rule> Instance<R> {
    /// Not described yet.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// The contract's `describe`.
    pub fn describe(&self, config: String) -> Result<Subscription, String> {
        let rule = R::new(Config::from_json(config))?;
        let subscription = rule.subscribe();
        subscription.check()?;
        self.0.replace(Some(Described { rule, fields: subscription.fields.clone() }));
        Ok(subscription)
    }

    /// The contract's `evaluate`.
    pub fn evaluate(&self, batch: &Batch) -> Result<Vec<RowEffect>, String> {
        let described = self.0.borrow();
        let Some(Described { rule, fields }) = &*described else {
            return Err("evaluate was called before describe".into());
        };
        let mut out = Effects::default();
        for row in 0..batch.offsets.len() {
            out.about(row);
            rule.record(&Record::new(batch, fields, row), &mut out);
            if out.failed() {
                break;
            }
        }
        out.finish()
    }
}

impl<R: Rule> Default for Instance<R> {
    fn default() -> Self {
        Self::new()
    }
}
