//! What the condition tree does not know, left to the CEL interpreter: 0.4 µs and more a record.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::{CelBool, CelBytes, CelDouble, CelInt, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Value, extensions};

use super::condition::Column;
use crate::decode::Fields;
use crate::subscription::FieldType;

/// Stands before a field's name; no CEL name can contain it, so no type or variable is meant.
pub(super) const FIELD: &str = "@field ";
/// Stands before a field's name for `has(name)`.
pub(super) const HAS: &str = "@has ";

/// Longer fields are unknown to the interpreter, whose time has no other limit.
const FIELD_BYTES_MAX: usize = 64 << 10;

/// A subexpression with the fields that it names.
#[derive(Debug, Clone)]
pub(super) struct Interpreted {
    pub(super) expression: Arc<IdedExpr>,
    /// Sorted by name.
    pub(super) fields: Vec<(Arc<str>, Column)>,
}

/// One root context for all; making it costs 15 µs.
static ROOT: LazyLock<Option<Context<'static, 'static>>> = LazyLock::new(|| {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    env.add_extension(extensions::strings).ok()?;
    Some(Context::with_env(Arc::new(env)))
});

impl Interpreted {
    /// True, false, or none when a field is null or the expression fails.
    pub(super) fn value(&self, fields: &Fields<'_>) -> Option<bool> {
        let lookup = Lookup { columns: &self.fields, fields: Some(fields) };
        self.run(&lookup).ok()?
    }

    /// Calls `each` with every slot that is looked at.
    pub(super) fn each_slot(&self, each: &mut dyn FnMut(usize)) {
        self.fields.iter().for_each(|(_, column)| each(column.slot));
    }

    /// Evaluates it once with a value of each field's type, which finds errors that no value mends.
    ///
    /// # Errors
    ///
    /// What the interpreter says; `Ok(None)` = the answer is not a truth value.
    pub(super) fn try_out(&self) -> Result<Option<bool>, ExecutionError> {
        self.run(&Lookup { columns: &self.fields, fields: None })
    }

    fn run(&self, lookup: &Lookup<'_, '_>) -> Result<Option<bool>, ExecutionError> {
        let Some(root) = &*ROOT else {
            return Err(ExecutionError::InternalError("no CEL environment".to_owned()));
        };
        // The root is shorter-lived for the compiler's sake only.
        let root: &Context<'_, '_> = root;
        let mut context = root.new_inner_scope();
        context.set_variable_resolver(lookup);
        let value = Value::resolve_val(&self.expression, &context)?;
        Ok(value.downcast_ref::<CelBool>().map(|value| *value.inner()))
    }
}

/// Gives the interpreter the fields that it asks for.
struct Lookup<'a, 'f> {
    columns: &'a [(Arc<str>, Column)],
    /// `None` = a value of each field's type.
    fields: Option<&'a Fields<'f>>,
}

impl VariableResolver for Lookup<'_, '_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let (name, has) = match name.strip_prefix(HAS) {
            Some(name) => (name, true),
            None => (name.strip_prefix(FIELD)?, false),
        };
        let index = self.columns.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        let (_, Column { slot, field_type }) = self.columns[index];
        match self.fields {
            Some(fields) if has => Some(CowVal::owned(CelBool::from(fields.has(slot, field_type)))),
            None if has => Some(CowVal::owned(CelBool::from(true))),
            // A null field is an undeclared name to the interpreter: an error, so unknown.
            Some(fields) if fields.bytes(slot).len() > FIELD_BYTES_MAX => None,
            Some(fields) => value(fields, slot, field_type),
            None => Some(sample(field_type)),
        }
    }
}

fn value<'b>(fields: &Fields<'b>, slot: usize, field_type: FieldType) -> Option<CowVal<'b, 'b>> {
    Some(match field_type {
        FieldType::Text => CowVal::owned(CelString::from(fields.lossy_text(slot).value()?)),
        FieldType::Integer => CowVal::owned(CelInt::from(fields.integer(slot).value()?)),
        FieldType::Float => CowVal::owned(CelDouble::from(fields.float(slot).value()?)),
        FieldType::Boolean => CowVal::owned(CelBool::from(fields.boolean(slot).value()?)),
        FieldType::Bytes => CowVal::owned(CelBytes::from(fields.raw(slot).value()?)),
        FieldType::Json => {
            let json = serde_json::from_str(&fields.json(slot).value()?).ok()?;
            let value: Box<dyn Val> = dynamic(json).try_into().ok()?;
            CowVal::Owned(value)
        }
    })
}

/// A value of a type, to try an expression out.
fn sample(field_type: FieldType) -> CowVal<'static, 'static> {
    match field_type {
        FieldType::Text => CowVal::owned(CelString::from("")),
        FieldType::Integer => CowVal::owned(CelInt::from(1)),
        FieldType::Float => CowVal::owned(CelDouble::from(1.0)),
        FieldType::Boolean => CowVal::owned(CelBool::from(true)),
        FieldType::Bytes => CowVal::owned(CelBytes::from(Vec::new())),
        FieldType::Json => CowVal::owned(CelMap::default()),
    }
}

/// JSON as CEL sees it: whole numbers are `int`, all others `double`.
fn dynamic(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => {
            Value::from(items.into_iter().map(dynamic).collect::<Vec<_>>())
        }
        serde_json::Value::Object(entries) => Value::from(
            entries
                .into_iter()
                .map(|(key, value)| (key, dynamic(value)))
                .collect::<HashMap<String, Value>>(),
        ),
    }
}
