//! Decides under which of its conjuncts a rule is filed.

use std::collections::{HashMap, HashSet};

use super::super::condition::{Column, Condition, Number, Predicate, Test, Text};
use super::super::literals::Literals;
use super::{Affixes, Bounds, ByNumber, ByText, Leaf, Node, Search, Side};
use crate::subscription::FieldType;

/// Rules that are asked one by one rather than filed.
const LEAF_MAX: usize = 4;
/// Rules that must share a test for it to be made before anything else.
const SHARED_MIN: usize = 8;

/// A rule on its way down.
#[derive(Debug, Clone)]
pub(super) struct Filed {
    rule: usize,
    /// Those that the rule may be filed under.
    conjuncts: Vec<Condition>,
    /// Those that it was filed under and that must be asked all the same.
    used: Vec<Condition>,
    /// Filed more than once.
    repeated: bool,
}

/// Literals and the nodes of their rules.
type Found = Vec<(Box<[u8]>, Node)>;

/// A place where a rule can be filed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    /// Where a text equals this.
    Text(usize, Box<[u8]>),
    /// Where a number equals this.
    Number(Column, i64),
    /// Where a text starts or ends with this.
    Affix(usize, Side, Box<[u8]>),
    /// Where a text contains this.
    Literal(usize, Box<[u8]>),
}

impl Place {
    /// Whether a field can be at no other such place at the same time.
    fn is_equal(&self) -> bool {
        matches!(self, Self::Text(..) | Self::Number(..))
    }

    /// How rare it is to be there, by the length of what must be there.
    fn length(&self) -> usize {
        match self {
            Self::Text(..) | Self::Number(..) => usize::MAX,
            Self::Affix(_, _, literal) | Self::Literal(_, literal) => literal.len(),
        }
    }
}

impl Filed {
    /// A rule that was not filed yet.
    pub(super) fn new(rule: usize, condition: &Condition) -> Self {
        let conjuncts = match condition {
            Condition::All(all) => flattened(all),
            other => vec![other.clone()],
        };
        Self { rule, conjuncts, used: Vec::new(), repeated: false }
    }
}

fn flattened(conditions: &[Condition]) -> Vec<Condition> {
    let mut flat = Vec::new();
    for condition in conditions {
        match condition {
            Condition::All(inner) => flat.extend(flattened(inner)),
            other => flat.push(other.clone()),
        }
    }
    flat
}

impl From<Filed> for Leaf {
    fn from(filed: Filed) -> Self {
        let Filed { rule, mut conjuncts, used, repeated } = filed;
        conjuncts.extend(used);
        conjuncts.sort_by_key(cost);
        let condition = match conjuncts.len() {
            1 => conjuncts.swap_remove(0),
            _ => Condition::All(conjuncts),
        };
        Self { rule, condition, repeated }
    }
}

impl Node {
    /// A node for rules that are here for what was asked on the way.
    pub(super) fn new(rules: Vec<Filed>) -> Self {
        let mut node = Self::default();
        if rules.len() <= LEAF_MAX {
            node.leaves = rules.into_iter().map(Leaf::from).collect();
            return node;
        }
        let rules = node.file_equal(rules);
        let rules = node.file_shared(rules);
        let rules = node.file_longest(rules);
        let rules = node.file_bounds(rules);
        node.leaves.extend(rules.into_iter().map(Leaf::from));
        node
    }

    /// Files rules under what a field must equal; gives back the others.
    fn file_equal(&mut self, rules: Vec<Filed>) -> Vec<Filed> {
        let mut counts: HashMap<Place, usize> = HashMap::new();
        for place in rules.iter().flat_map(|rule| &rule.conjuncts).filter_map(places).flatten() {
            *counts.entry(place).or_default() += 1;
        }
        let (filed, rest) = file(rules, |conjunct| {
            let places = places(conjunct)?;
            // The conjunct that sets a rule apart from most others.
            let rank: usize = places.iter().map(|place| counts[place]).sum();
            places.iter().all(Place::is_equal).then_some((rank, places))
        });
        self.add(filed);
        rest
    }

    /// Adds nodes for rules that were filed.
    fn add(&mut self, filed: Vec<(Place, Vec<Filed>)>) {
        let mut texts: HashMap<usize, ByText> = HashMap::new();
        let mut numbers: HashMap<Column, ByNumber> = HashMap::new();
        let mut affixes: HashMap<(usize, Side), ByText> = HashMap::new();
        let mut searches: HashMap<usize, Found> = HashMap::new();
        for (place, rules) in filed {
            let node = Self::new(rules);
            match place {
                Place::Text(slot, text) => {
                    texts.entry(slot).or_default().insert(text, node);
                }
                Place::Number(column, number) => {
                    numbers.entry(column).or_default().insert(number, node);
                }
                Place::Affix(slot, side, literal) => {
                    affixes.entry((slot, side)).or_default().insert(literal, node);
                }
                Place::Literal(slot, literal) => {
                    searches.entry(slot).or_default().push((literal, node));
                }
            }
        }
        self.texts.extend(texts);
        self.numbers.extend(numbers);
        self.affixes.extend(affixes.into_iter().map(|((slot, side), nodes)| {
            let mut lengths: Vec<_> = nodes.keys().map(|literal| literal.len()).collect();
            lengths.sort_unstable();
            lengths.dedup();
            Affixes { slot, side, lengths, nodes }
        }));
        self.searches.extend(searches.into_iter().map(|(slot, found)| {
            let (literals, nodes) = found.into_iter().unzip();
            Search { slot, literals: Literals::new(literals), nodes }
        }));
    }

    /// Files rules under cheap tests that many of them share.
    fn file_shared(&mut self, rules: Vec<Filed>) -> Vec<Filed> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for name in rules.iter().flat_map(|rule| &rule.conjuncts).filter_map(shareable) {
            *counts.entry(name).or_default() += 1;
        }
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<(Condition, Vec<Filed>)> = Vec::new();
        let mut rest = Vec::new();
        for mut rule in rules {
            let names = rule.conjuncts.iter().map(shareable).enumerate();
            let most_shared = names
                .filter_map(|(index, name)| Some((index, name?)))
                .max_by_key(|(_, name)| counts[name])
                .filter(|(_, name)| counts[name] >= SHARED_MIN);
            let Some((index, name)) = most_shared else {
                rest.push(rule);
                continue;
            };
            let conjunct = rule.conjuncts.remove(index);
            let group = *known.entry(name).or_insert_with(|| {
                groups.push((conjunct, Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(rule);
        }
        self.shared = groups.into_iter().map(|(test, rules)| (test, Self::new(rules))).collect();
        rest
    }

    /// Files rules under what a field must hold some of; the longest is taken for the rarest.
    fn file_longest(&mut self, rules: Vec<Filed>) -> Vec<Filed> {
        let (filed, rest) = file(rules, |conjunct| {
            let places = places(conjunct)?;
            let shortest = places.iter().map(Place::length).min()?;
            Some((usize::MAX - shortest, places))
        });
        self.add(filed);
        rest
    }

    /// Files rules under bounds of numbers.
    fn file_bounds(&mut self, rules: Vec<Filed>) -> Vec<Filed> {
        let mut rest = Vec::new();
        for mut rule in rules {
            let bound = rule.conjuncts.iter().enumerate().find_map(|(index, conjunct)| {
                let Condition::Test(test) = conjunct else { return None };
                match **test {
                    Test {
                        negated: false,
                        predicate: Predicate::NumberOrder(column, order, bound),
                    } => Some((index, column, order, bound)),
                    _ => None,
                }
            });
            let Some((index, column, order, bound)) = bound else {
                rest.push(rule);
                continue;
            };
            rule.conjuncts.remove(index);
            let bound = (order, bound, Leaf::from(rule));
            let upper = order.is_upper();
            match self
                .bounds
                .iter_mut()
                .find(|known| (known.column, known.upper) == (column, upper))
            {
                Some(known) => known.bounds.push(bound),
                None => self.bounds.push(Bounds { column, upper, bounds: vec![bound] }),
            }
        }
        for Bounds { upper, bounds, .. } in &mut self.bounds {
            // Easiest to pass first; of equal bounds, the one that the bound itself passes.
            bounds.sort_by(|(a_order, a, _), (b_order, b, _)| {
                let easier = if *upper { b.compare(*a) } else { a.compare(*b) };
                easier.then(a_order.is_strict().cmp(&b_order.is_strict()))
            });
        }
        rest
    }
}

/// Files each rule under the places of its conjunct with the lowest rank; gives the places with
/// their rules, and the rules without any.
fn file(
    rules: Vec<Filed>,
    rank: impl Fn(&Condition) -> Option<(usize, Vec<Place>)>,
) -> (Vec<(Place, Vec<Filed>)>, Vec<Filed>) {
    let mut filed: Vec<(Place, Vec<Filed>)> = Vec::new();
    let mut known: HashMap<Place, usize> = HashMap::new();
    let mut rest = Vec::new();
    for mut rule in rules {
        let ranked = rule.conjuncts.iter().enumerate();
        let best = ranked
            .filter_map(|(index, conjunct)| Some((index, rank(conjunct)?)))
            .min_by_key(|(_, (rank, _))| *rank);
        let Some((index, (_, mut places))) = best else {
            rest.push(rule);
            continue;
        };
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.clone()));
        let conjunct = rule.conjuncts.remove(index);
        if !proves(&conjunct, &places) {
            rule.used.push(conjunct);
        }
        // A field that equals one of several texts equals one only.
        let one_at_most = places.iter().all(|place| match (place, &places[0]) {
            (Place::Text(slot, _), Place::Text(first, _)) => slot == first,
            (Place::Number(column, _), Place::Number(first, _)) => column == first,
            _ => places.len() == 1,
        });
        rule.repeated |= !one_at_most;
        for place in places {
            let at = *known.entry(place.clone()).or_insert_with(|| {
                filed.push((place, Vec::new()));
                filed.len() - 1
            });
            filed[at].1.push(rule.clone());
        }
    }
    (filed, rest)
}

/// Whether being found under one of the places is all that the conjunct asks.
fn proves(conjunct: &Condition, places: &[Place]) -> bool {
    let Condition::Test(test) = conjunct else { return false };
    match &test.predicate {
        Predicate::TextIn(..)
        | Predicate::NumberIn(..)
        | Predicate::StartsWith(..)
        | Predicate::EndsWith(..)
        | Predicate::Contains(..) => !places.is_empty(),
        _ => false,
    }
}

/// Places of which a record must be at one for the condition to be true.
fn places(condition: &Condition) -> Option<Vec<Place>> {
    match condition {
        Condition::Any(any) => {
            let mut all = Vec::new();
            for condition in any {
                all.extend(places(condition)?);
            }
            (!all.is_empty()).then_some(all)
        }
        Condition::All(all) => all.iter().filter_map(places).min_by_key(|places| {
            (places.iter().filter(|place| !place.is_equal()).count(), places.len())
        }),
        Condition::Test(test) if !test.negated => match &test.predicate {
            Predicate::TextIn(text, words) if !words.is_empty() => {
                words.iter().map(|word| Some(Place::Text(text.slot, plain(text, word)?))).collect()
            }
            Predicate::StartsWith(text, word) => {
                Some(vec![Place::Affix(text.slot, Side::Start, plain(text, word)?)])
            }
            Predicate::EndsWith(text, word) => {
                Some(vec![Place::Affix(text.slot, Side::End, plain(text, word)?)])
            }
            Predicate::Contains(text, finder) => {
                let word = std::str::from_utf8(finder.needle()).ok()?;
                Some(vec![Place::Literal(text.slot, plain(text, word)?)])
            }
            Predicate::NumberIn(column, numbers)
                if column.field_type == FieldType::Integer && !numbers.is_empty() =>
            {
                let place = |number: &Number| match number {
                    Number::Integer(integer) => Some(Place::Number(*column, *integer)),
                    Number::Float(_) => None,
                };
                numbers.iter().map(place).collect()
            }
            _ => None,
        }
        // Every text contains the empty one.
        .filter(|places: &Vec<Place>| places.iter().all(|place| place.length() > 0)),
        Condition::Test(_) | Condition::Always(_) => None,
    }
}

/// A word that is compared as it is with the bytes of a text.
fn plain(text: &Text, word: &str) -> Option<Box<[u8]>> {
    text.is_plain().then(|| word.as_bytes().into())
}

/// The name of a test that is cheap enough to be made for all records when rules share it.
fn shareable(condition: &Condition) -> Option<String> {
    let Condition::Test(test) = condition else { return None };
    match &test.predicate {
        Predicate::Has(_)
        | Predicate::IsTrue(_)
        | Predicate::NumberIn(..)
        | Predicate::NumberOrder(..)
        | Predicate::TextIn(..)
        | Predicate::StartsWith(..)
        | Predicate::EndsWith(..) => Some(format!("{test:?}")),
        _ => None,
    }
}

/// A rank: what is cheap to ask comes first.
fn cost(condition: &Condition) -> u32 {
    match condition {
        Condition::Always(_) => 0,
        Condition::All(conditions) | Condition::Any(conditions) => {
            2 + conditions.iter().map(cost).max().unwrap_or(0)
        }
        Condition::Test(test) => match &test.predicate {
            Predicate::Has(_) | Predicate::IsTrue(_) => 1,
            Predicate::TextIn(text, words) if text.is_plain() && words.len() < 8 => 1,
            Predicate::StartsWith(text, _) | Predicate::EndsWith(text, _) if text.is_plain() => 1,
            Predicate::NumberIn(..) | Predicate::NumberOrder(..) => 2,
            Predicate::Contains(text, _) if text.is_plain() => 5,
            Predicate::Matches(..) => 30,
            Predicate::Interpreted(_) => 100,
            _ => 10,
        },
    }
}
