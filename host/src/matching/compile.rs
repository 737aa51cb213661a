//! CEL text to a [`Condition`]: the names, types and literals are checked here, once.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use cel::Env;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use memchr::memmem;
use regex::RegexBuilder;

use super::condition::{Case, Column, Condition, Number, Order, Predicate, Test, Text};
use super::error::{ConditionError, ConditionProblem, described, described_type};
use super::macros;
use super::parse::parse;
use super::rewrite::{interpreted, spelled};
use crate::subscription::{Field, FieldType};

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 256 << 10;

/// Functions that a condition may call. None makes much out of little: neither the
/// interpreter's time nor its memory has another limit.
pub(super) const FUNCTIONS: [&str; 24] = [
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "lowerAscii",
    "upperAscii",
    "trim",
    "split",
    "substring",
    "indexOf",
    "lastIndexOf",
    "charAt",
    "exists",
    "all",
    "exists_one",
    "filter",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "type",
];

/// Parses `has(name)` and the macros over lists.
static ENV: LazyLock<Env> = LazyLock::new(macros::environment);

/// Compiles a condition over fields whose columns are given in the same order; only to be called
/// within [`with_stack`](super::parse::with_stack).
pub(super) fn compile(
    text: &str,
    fields: &[Field],
    columns: &[Column],
) -> Result<Condition, ConditionError> {
    let program =
        parse(&ENV, text).map_err(|(at, problem)| ConditionError::new(text, at, problem))?;
    let compiler = Compiler { fields, columns, macros: Cell::new(0) };
    compiler.condition(program.expression(), false).map_err(|(id, problem)| {
        // The parser counts characters.
        let offset = program.source_info().offset_for(id).map_or(0, |(start, _)| start as usize);
        let at = text.char_indices().nth(offset).map_or(0, |(at, _)| at);
        ConditionError::new(text, at, problem)
    })
}

/// A problem and the node that has it.
pub(super) type Located = (u64, ConditionProblem);

/// What a condition is compiled against.
pub(super) struct Compiler<'a> {
    pub(super) fields: &'a [Field],
    pub(super) columns: &'a [Column],
    /// Macros over lists that were met.
    pub(super) macros: Cell<usize>,
}

/// One side of a comparison.
enum Operand<'n, 'e> {
    /// A field and its name.
    Column(Column, &'n str),
    /// `field.lowerAscii()`, `field.upperAscii()`
    Cased(Text),
    /// `size(field)`, `field.size()`
    Size(Text),
    Literal(&'e LiteralValue),
    Other,
}

impl Compiler<'_> {
    /// A subexpression that is a condition; `negated` = its opposite.
    fn condition(&self, node: &IdedExpr, negated: bool) -> Result<Condition, Located> {
        if let Some((name, has)) = spelled(&node.expr)
            && let Some((column, name)) = self.named(&name)
        {
            return match column.field_type {
                _ if has => Ok(test(Predicate::Has(column), negated)),
                FieldType::Boolean => Ok(test(Predicate::IsTrue(column), negated)),
                FieldType::Json => self.left_over(node, negated),
                _ => {
                    let what = described_type(column.field_type);
                    let problem = format!("`{name}` is {what}, not a condition");
                    Err((node.id, ConditionProblem::Type(problem)))
                }
            };
        }
        match &node.expr {
            Expr::Literal(LiteralValue::Boolean(value)) => {
                Ok(Condition::Always(*value.inner() != negated))
            }
            Expr::Literal(literal) => {
                let problem = format!("{} is not a condition", described(literal));
                Err((node.id, ConditionProblem::Type(problem)))
            }
            Expr::Call(call) => match self.call(node, call, negated)? {
                Some(condition) => Ok(condition),
                None => self.left_over(node, negated),
            },
            _ => self.left_over(node, negated),
        }
    }

    /// What is left to the interpreter.
    fn left_over(&self, node: &IdedExpr, negated: bool) -> Result<Condition, Located> {
        Ok(test(Predicate::Interpreted(Box::new(interpreted(self, node)?)), negated))
    }

    /// A call that the tree knows, else none.
    fn call(
        &self,
        node: &IdedExpr,
        call: &CallExpr,
        negated: bool,
    ) -> Result<Option<Condition>, Located> {
        let name = call.func_name.as_str();
        match (name, &call.target, call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, args) => {
                let mut conditions = Vec::new();
                // Kleene's logic has De Morgan's laws.
                let all = (name == operators::LOGICAL_AND) != negated;
                for arg in args {
                    match (self.condition(arg, negated)?, all) {
                        (Condition::All(inner), true) | (Condition::Any(inner), false) => {
                            conditions.extend(inner);
                        }
                        (condition, _) => conditions.push(condition),
                    }
                }
                let joined = if all { Condition::All } else { Condition::Any };
                Ok(Some(joined(conditions)))
            }
            (operators::LOGICAL_NOT, None, [arg]) => self.condition(arg, !negated).map(Some),
            (operators::IN, None, [value, list]) => self.membership(value, list, negated),
            (_, None, [left, right]) if let Some((order, not)) = comparison(name) => {
                self.comparison(node, left, right, order, negated != not)
            }
            ("contains" | "startsWith" | "endsWith" | "matches", Some(target), [arg]) => {
                self.text_test(name, target, arg, negated)
            }
            _ => Ok(None),
        }
    }

    fn comparison(
        &self,
        node: &IdedExpr,
        left: &IdedExpr,
        right: &IdedExpr,
        order: Order,
        negated: bool,
    ) -> Result<Option<Condition>, Located> {
        let (operand, literal, order) = match (self.operand(left), self.operand(right)) {
            (Operand::Literal(_), Operand::Literal(_)) => return Ok(None),
            (operand, Operand::Literal(literal)) => (operand, literal, order),
            (Operand::Literal(literal), operand) => (operand, literal, order.flipped()),
            _ => return Ok(None),
        };
        let wrong = |what: String| {
            let problem = format!("{what} cannot be compared with {}", described(literal));
            Err((node.id, ConditionProblem::Type(problem)))
        };
        let predicate = match (operand, literal) {
            (Operand::Column(column, name), _) => match (column.field_type, literal) {
                (FieldType::Text, LiteralValue::String(literal)) => {
                    text_comparison(Text::new(column.slot), order, literal)
                }
                (FieldType::Integer | FieldType::Float, _) => match number(literal) {
                    Some(number) if order == Order::Equal => {
                        Predicate::NumberIn(column, vec![number])
                    }
                    Some(number) => Predicate::NumberOrder(column, order, number),
                    None => {
                        let what = described_type(column.field_type);
                        return wrong(format!("`{name}` is {what} and"));
                    }
                },
                (FieldType::Boolean, LiteralValue::Boolean(value)) if order == Order::Equal => {
                    let negated = negated == *value.inner();
                    return Ok(Some(test(Predicate::IsTrue(column), negated)));
                }
                (FieldType::Json | FieldType::Bytes, _) => return Ok(None),
                (other, _) => return wrong(format!("`{name}` is {} and", described_type(other))),
            },
            (Operand::Cased(text), LiteralValue::String(literal)) => {
                text_comparison(text, order, literal)
            }
            (Operand::Size(text), LiteralValue::Int(size)) => {
                Predicate::Size(text, order, *size.inner())
            }
            _ => return Ok(None),
        };
        Ok(Some(test(predicate, negated)))
    }

    /// `field in [literals]`
    fn membership(
        &self,
        value: &IdedExpr,
        list: &IdedExpr,
        negated: bool,
    ) -> Result<Option<Condition>, Located> {
        let Expr::List(list) = &list.expr else { return Ok(None) };
        let (text, column, name) = match self.operand(value) {
            Operand::Column(column, name) => (Text::new(column.slot), Some(column), name),
            Operand::Cased(text) => (text, None, ""),
            _ => return Ok(None),
        };
        let field_type = column.map_or(FieldType::Text, |column| column.field_type);
        let (mut words, mut numbers) = (Vec::new(), Vec::new());
        for element in &list.elements {
            let Expr::Literal(literal) = &element.expr else { return Ok(None) };
            match (field_type, literal) {
                (FieldType::Text, LiteralValue::String(word)) => words.push(word.inner().into()),
                (FieldType::Integer | FieldType::Float, _) if number(literal).is_some() => {
                    numbers.extend(number(literal));
                }
                (FieldType::Text | FieldType::Integer | FieldType::Float, _) => {
                    let (what, literal) = (described_type(field_type), described(literal));
                    let problem = format!("`{name}` is {what} and is never {literal}");
                    return Err((element.id, ConditionProblem::Type(problem)));
                }
                _ => return Ok(None),
            }
        }
        let predicate = match column {
            Some(column) if field_type != FieldType::Text => Predicate::NumberIn(column, numbers),
            _ => {
                words.sort();
                words.dedup();
                Predicate::TextIn(text, words)
            }
        };
        Ok(Some(test(predicate, negated)))
    }

    /// `field.contains("literal")` and its kin.
    fn text_test(
        &self,
        function: &str,
        target: &IdedExpr,
        arg: &IdedExpr,
        negated: bool,
    ) -> Result<Option<Condition>, Located> {
        let text = match self.operand(target) {
            Operand::Column(Column { slot, field_type: FieldType::Text }, _) => Text::new(slot),
            Operand::Cased(text) => text,
            Operand::Column(Column { field_type: FieldType::Json, .. }, _) => return Ok(None),
            Operand::Column(column, name) => {
                let what = described_type(column.field_type);
                let problem = format!("`{name}` is {what}; `{function}` asks a text");
                return Err((target.id, ConditionProblem::Type(problem)));
            }
            _ => return Ok(None),
        };
        let literal = match self.operand(arg) {
            Operand::Literal(LiteralValue::String(literal)) => literal.inner(),
            Operand::Literal(other) => {
                let problem = format!("`{function}` asks for a text, not {}", described(other));
                return Err((arg.id, ConditionProblem::Type(problem)));
            }
            _ => return Ok(None),
        };
        let predicate = match function {
            "contains" => {
                Predicate::Contains(text, Box::new(memmem::Finder::new(literal).into_owned()))
            }
            "startsWith" => Predicate::StartsWith(text, literal.into()),
            "endsWith" => Predicate::EndsWith(text, literal.into()),
            _ => {
                let regex = RegexBuilder::new(literal).size_limit(REGEX_BYTES_MAX).build();
                let regex =
                    regex.map_err(|error| (arg.id, ConditionProblem::Regex(error.to_string())))?;
                Predicate::Matches(text, regex)
            }
        };
        Ok(Some(test(predicate, negated)))
    }

    fn operand<'e>(&self, node: &'e IdedExpr) -> Operand<'_, 'e> {
        if let Some((name, false)) = spelled(&node.expr)
            && let Some((column, name)) = self.named(&name)
        {
            return Operand::Column(column, name);
        }
        let call = match &node.expr {
            Expr::Literal(literal) => return Operand::Literal(literal),
            Expr::Call(call) => call,
            _ => return Operand::Other,
        };
        let argument = match (&call.target, call.args.as_slice()) {
            (Some(target), []) => &**target,
            (None, [argument]) => argument,
            _ => return Operand::Other,
        };
        let text = match self.operand(argument) {
            Operand::Column(Column { slot, field_type: FieldType::Text }, _) => Text::new(slot),
            Operand::Cased(text) => text,
            _ => return Operand::Other,
        };
        match (call.func_name.as_str(), call.target.is_some(), text.case) {
            ("size", _, _) => Operand::Size(text),
            ("lowerAscii", true, Case::AsIs) => Operand::Cased(Text { case: Case::Lower, ..text }),
            ("upperAscii", true, Case::AsIs) => Operand::Cased(Text { case: Case::Upper, ..text }),
            _ => Operand::Other,
        }
    }

    /// The field of a name.
    pub(super) fn named(&self, name: &str) -> Option<(Column, &Arc<str>)> {
        let index = self.fields.iter().position(|field| *field.name == *name)?;
        Some((self.columns[index], &self.fields[index].name))
    }
}

fn test(mut predicate: Predicate, negated: bool) -> Condition {
    let replaced = |word: &str| word.contains(char::REPLACEMENT_CHARACTER);
    match &mut predicate {
        Predicate::TextIn(text, words) => text.replaced = words.iter().any(|word| replaced(word)),
        Predicate::StartsWith(text, word) | Predicate::EndsWith(text, word) => {
            text.replaced = replaced(word);
        }
        Predicate::Contains(text, finder) => {
            text.replaced = replaced(&String::from_utf8_lossy(finder.needle()));
        }
        _ => {}
    }
    Condition::Test(Box::new(Test { negated, predicate }))
}

/// An operator as a comparison and whether it is that comparison's opposite.
fn comparison(operator: &str) -> Option<(Order, bool)> {
    Some(match operator {
        operators::EQUALS => (Order::Equal, false),
        operators::NOT_EQUALS => (Order::Equal, true),
        operators::LESS => (Order::Less, false),
        operators::LESS_EQUALS => (Order::LessOrEqual, false),
        operators::GREATER => (Order::Greater, false),
        operators::GREATER_EQUALS => (Order::GreaterOrEqual, false),
        _ => return None,
    })
}

fn text_comparison(text: Text, order: Order, literal: &str) -> Predicate {
    match order {
        Order::Equal => Predicate::TextIn(text, vec![literal.into()]),
        order => Predicate::TextOrder(text, order, literal.into()),
    }
}

fn number(literal: &LiteralValue) -> Option<Number> {
    match literal {
        LiteralValue::Int(value) => Some(Number::Integer(*value.inner())),
        // A larger one is larger than every integer field, and as a float it still is.
        LiteralValue::UInt(value) => Some(
            i64::try_from(*value.inner())
                .map_or(Number::Float(*value.inner() as f64), Number::Integer),
        ),
        LiteralValue::Double(value) if !value.inner().is_nan() => {
            Some(Number::Float(*value.inner()))
        }
        _ => None,
    }
}
