//! Makes a subexpression ready for the interpreter: its fields get names that nothing else can have.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, operators};

use super::compile::{Compiler, FUNCTIONS, Located};
use super::condition::Column;
use super::error::ConditionProblem;
use super::interpreter::{FIELD, HAS, Interpreted};
use crate::subscription::FieldType;

/// Names of types, which a condition may compare with `type(x)`.
const TYPES: [&str; 9] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// Macros over lists in one condition.
const MACROS_MAX: usize = 8;

/// The subexpression as the interpreter runs it, tried out once.
///
/// # Errors
///
/// Names that are not known, and whatever no value of the fields could mend.
pub(super) fn interpreted(
    compiler: &Compiler<'_>,
    node: &IdedExpr,
) -> Result<Interpreted, Located> {
    let mut rewriter = Rewriter { compiler, fields: BTreeMap::new(), variables: Vec::new() };
    let mut expression = node.clone();
    rewriter.rewrite(&mut expression)?;
    let fields: Vec<_> = rewriter.fields.into_iter().collect();
    let dynamic = fields.iter().any(|(_, column)| column.field_type == FieldType::Json);
    let interpreted = Interpreted { expression: Arc::new(expression), fields };
    let problem = match interpreted.try_out() {
        // Whether JSON fits is known only with a record.
        _ if dynamic => return Ok(interpreted),
        Ok(Some(_)) => return Ok(interpreted),
        Ok(None) => "not a condition: it is neither true nor false".to_owned(),
        Err(
            error @ (ExecutionError::NoSuchOverload(_)
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::UndeclaredReference(_)
            | ExecutionError::InvalidArgumentCount { .. }),
        ) => error.to_string(),
        Err(_) => return Ok(interpreted),
    };
    Err((node.id, ConditionProblem::Type(problem)))
}

struct Rewriter<'a> {
    compiler: &'a Compiler<'a>,
    /// The fields that were met.
    fields: BTreeMap<Arc<str>, Column>,
    /// Names that macros bind.
    variables: Vec<String>,
}

impl Rewriter<'_> {
    fn rewrite(&mut self, node: &mut IdedExpr) -> Result<(), Located> {
        if let Some((name, has)) = spelled(&node.expr)
            && !self.is_variable(&name)
        {
            if let Some((column, name)) = self.compiler.named(&name) {
                let prefix = if has { HAS } else { FIELD };
                node.expr = Expr::Ident(format!("{prefix}{name}"));
                self.fields.insert(name.clone(), column);
                return Ok(());
            }
            if let Expr::Ident(name) = &node.expr {
                if name.starts_with('@') || TYPES.contains(&name.as_str()) {
                    return Ok(());
                }
                let fields = self.compiler.fields;
                return Err((node.id, ConditionProblem::unknown_field(name, fields)));
            }
        }
        let id = node.id;
        match &mut node.expr {
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
            Expr::Select(select) => self.rewrite(&mut select.operand),
            Expr::List(list) => self.each(&mut list.elements),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                if name == operators::HAS {
                    // Only `has(name)` is left as a call.
                    let fields = self.compiler.fields;
                    let name = call.args.first().and_then(|arg| spelled(&arg.expr));
                    let name = name.map(|(name, _)| name).unwrap_or_default();
                    return Err((id, ConditionProblem::unknown_field(&name, fields)));
                }
                if name == "matches" {
                    let problem = "`matches` takes a field and a literal regular expression";
                    return Err((id, ConditionProblem::Type(problem.to_owned())));
                }
                if name.starts_with(|first: char| first.is_ascii_alphabetic())
                    && !FUNCTIONS.contains(&name)
                {
                    return Err((id, ConditionProblem::unknown_function(name, &FUNCTIONS)));
                }
                if let Some(target) = &mut call.target {
                    self.rewrite(target)?;
                }
                self.each(&mut call.args)
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.rewrite(&mut entry.key)?;
                        self.rewrite(&mut entry.value)?;
                    }
                }
                Ok(())
            }
            Expr::Struct(_) => {
                Err((id, ConditionProblem::Type("conditions have no messages".to_owned())))
            }
            Expr::Comprehension(comprehension) => {
                let macros = &self.compiler.macros;
                macros.set(macros.get() + 1);
                if !self.variables.is_empty() {
                    let problem = "a macro over a list inside another one";
                    return Err((id, ConditionProblem::TooCostly(problem)));
                }
                if macros.get() > MACROS_MAX {
                    let problem = "more than 8 macros over lists";
                    return Err((id, ConditionProblem::TooCostly(problem)));
                }
                self.rewrite(&mut comprehension.iter_range)?;
                self.rewrite(&mut comprehension.accu_init)?;
                let outer = self.variables.len();
                self.variables.push(comprehension.iter_var.clone());
                self.rewrite(&mut comprehension.loop_cond)?;
                self.rewrite(&mut comprehension.loop_step)?;
                self.variables.truncate(outer);
                self.rewrite(&mut comprehension.result)
            }
        }
    }

    fn each(&mut self, nodes: &mut [IdedExpr]) -> Result<(), Located> {
        nodes.iter_mut().try_for_each(|node| self.rewrite(node))
    }

    fn is_variable(&self, name: &str) -> bool {
        let root = name.split('.').next().unwrap_or_default();
        self.variables.iter().any(|variable| variable == root)
    }
}

/// The name that a node spells, perhaps with dots, and whether it is asked for with `has`.
pub(super) fn spelled(expr: &Expr) -> Option<(String, bool)> {
    match expr {
        Expr::Ident(name) => Some((name.clone(), false)),
        Expr::Select(select) => match spelled(&select.operand.expr)? {
            (operand, false) => Some((format!("{operand}.{}", select.field), select.test)),
            (_, true) => None,
        },
        Expr::Call(call) if call.func_name == operators::HAS && call.target.is_none() => {
            match call.args.as_slice() {
                [arg] => Some((spelled(&arg.expr)?.0, true)),
                _ => None,
            }
        }
        _ => None,
    }
}
