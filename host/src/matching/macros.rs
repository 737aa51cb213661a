//! CEL with `has(name)` for a field that is a plain name.
//!
//! The standard `has` takes only `a.b` and the crate's standard macros cannot be taken one by one, so
//! those over lists are spelled out here as the CEL specification expands them.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators,
};
use cel::parser::{Macro, MacroExprHelper, ParseError};
use cel::{DeclarationError, Env, extensions};

/// The name of a comprehension's result, as the standard macros have it.
const RESULT: &str = "@result";

/// The environment that conditions are parsed in.
pub(super) fn environment() -> Env {
    let mut environment = Env::default().with_optional_support(false).with_stdlib();
    // A new environment has none of these names yet.
    let added = add(&mut environment);
    debug_assert!(added.is_ok(), "{added:?}");
    environment
}

fn add(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_extension(extensions::strings)?;
    // `has(name)` stays a call.
    env.add_macro(Macro::global(operators::HAS, 1, |helper, _, args| match args.first_mut() {
        Some(IdedExpr { expr: Expr::Select(select), .. }) if !select.test => {
            select.test = true;
            Ok(args.pop())
        }
        Some(IdedExpr { expr: Expr::Ident(_), .. }) => Ok(None),
        Some(IdedExpr { id, .. }) => Err(helper.new_error(*id, "has() takes the name of a field")),
        None => Ok(None),
    }))?;
    env.add_macro(Macro::receiver(operators::EXISTS, 2, |helper, target, args| {
        expand(helper, target, args, Over::Exists)
    }))?;
    env.add_macro(Macro::receiver(operators::ALL, 2, |helper, target, args| {
        expand(helper, target, args, Over::All)
    }))?;
    env.add_macro(Macro::receiver(operators::EXISTS_ONE, 2, |helper, target, args| {
        expand(helper, target, args, Over::ExistsOne)
    }))?;
    env.add_macro(Macro::receiver(operators::FILTER, 2, |helper, target, args| {
        expand(helper, target, args, Over::Filter)
    }))
}

/// A macro over a list.
#[derive(Clone, Copy)]
enum Over {
    Exists,
    All,
    ExistsOne,
    Filter,
}

fn expand(
    helper: &mut MacroExprHelper<'_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
    over: Over,
) -> Result<Option<IdedExpr>, ParseError> {
    let [IdedExpr { expr: Expr::Ident(name), .. }, _] = args.as_slice() else {
        let id = args.first().map_or(0, |arg| arg.id);
        return Err(helper.new_error(id, "the first argument must be a plain name"));
    };
    let iter_var = name.clone();
    let (Some(iter_range), Some(body)) = (target.take(), args.pop()) else { return Ok(None) };

    let mut make = |expr| helper.next_expr(expr);
    let call =
        |name: &str, args| Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args });
    let boolean = |value: bool| Expr::Literal(LiteralValue::Boolean(value.into()));
    let integer = |value: i64| Expr::Literal(LiteralValue::Int(value.into()));
    let ident = |name: &str| Expr::Ident(name.to_owned());
    let result = make(ident(RESULT));

    let (accu_init, loop_cond, loop_step, result) = match over {
        Over::Exists => {
            let accu = make(ident(RESULT));
            let not = make(call(operators::LOGICAL_NOT, vec![accu]));
            let goes_on = make(call(operators::NOT_STRICTLY_FALSE, vec![not]));
            let accu = make(ident(RESULT));
            let step = make(call(operators::LOGICAL_OR, vec![accu, body]));
            (make(boolean(false)), goes_on, step, result)
        }
        Over::All => {
            let accu = make(ident(RESULT));
            let goes_on = make(call(operators::NOT_STRICTLY_FALSE, vec![accu]));
            let accu = make(ident(RESULT));
            let step = make(call(operators::LOGICAL_AND, vec![accu, body]));
            (make(boolean(true)), goes_on, step, result)
        }
        Over::ExistsOne => {
            let (accu, one) = (make(ident(RESULT)), make(integer(1)));
            let more = make(call(operators::ADD, vec![accu, one]));
            let accu = make(ident(RESULT));
            let step = make(call(operators::CONDITIONAL, vec![body, more, accu]));
            let one = make(integer(1));
            let is_one = make(call(operators::EQUALS, vec![result, one]));
            (make(integer(0)), make(boolean(true)), step, is_one)
        }
        Over::Filter => {
            let item = make(ident(&iter_var));
            let list = make(Expr::List(ListExpr::new(vec![item])));
            let accu = make(ident(RESULT));
            let more = make(call(operators::ADD, vec![accu, list]));
            let accu = make(ident(RESULT));
            let step = make(call(operators::CONDITIONAL, vec![body, more, accu]));
            let empty = make(Expr::List(ListExpr::new(Vec::new())));
            (empty, make(boolean(true)), step, result)
        }
    };
    let comprehension = ComprehensionExpr {
        iter_range,
        iter_var,
        iter_var2: None,
        accu_var: RESULT.to_owned(),
        accu_init,
        loop_cond,
        loop_step,
        result,
    };
    Ok(Some(make(Expr::Comprehension(Box::new(comprehension)))))
}
