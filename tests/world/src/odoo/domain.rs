//! Odoo's search domains: which records.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::{Fields, Kind};
use super::like::like;
use super::spelling::parse_datetime;

/// A value as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
    /// Microseconds since 1970: the database keeps them, RPC cuts them off.
    Time(i64),
    /// A many2one: the id and the name.
    Link(i64, Cow<'a, str>),
    Many(Cow<'a, [i64]>),
}

/// Something whose fields can be compared.
pub(crate) trait Row {
    fn cell(&self, field: &str) -> Cell<'_>;
}

/// A domain that was understood.
#[derive(Debug)]
pub(crate) enum Domain {
    All(Vec<Domain>),
    Any(Vec<Domain>),
    Not(Box<Domain>),
    Leaf(Leaf),
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Leaf {
    field: String,
    operator: Operator,
    operand: Vec<Cell<'static>>,
    /// The operand sorted, where it is nothing but integers: a list of ids can be long.
    numbers: Option<Vec<i64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    AtLeast,
    Less,
    AtMost,
    In,
    NotIn,
    Like {
        exact: bool,
        fold: bool,
        negated: bool,
    },
}

impl Domain {
    /// Understands a domain as JSON has it; the fields must exist.
    pub(crate) fn parse(
        version: u8,
        domain: &Value,
        model: &str,
        fields: &Fields,
    ) -> Result<Self, Failure> {
        let items = match domain {
            Value::Array(items) => items,
            Value::Bool(false) if version >= 19 => return Ok(Self::Any(Vec::new())),
            other => return Err(Failure::no_domain(version, other)),
        };
        let mut items = items.iter();
        let mut terms = Vec::new();
        while items.len() > 0 {
            let term = Self::term(version, &mut items, model, fields)?;
            terms.push(term.ok_or_else(|| Failure::incomplete_domain(version, domain))?);
        }
        let domain = Self::All(terms);
        Ok(if version >= 19 {
            domain.at_seconds()
        } else {
            domain
        })
    }

    /// The same domain where dates compare at the second, as on 19, and not at the microsecond.
    fn at_seconds(self) -> Self {
        let all = |terms: Vec<Self>| terms.into_iter().map(Self::at_seconds).collect();
        match self {
            Self::All(terms) => Self::All(all(terms)),
            Self::Any(terms) => Self::Any(all(terms)),
            Self::Not(term) => Self::Not(Box::new(term.at_seconds())),
            Self::Leaf(leaf) => leaf.at_seconds(),
        }
    }

    /// The next term; `None` where an operator lacks its operand.
    fn term(
        version: u8,
        items: &mut std::slice::Iter<'_, Value>,
        model: &str,
        fields: &Fields,
    ) -> Result<Option<Self>, Failure> {
        let Some(item) = items.next() else {
            return Ok(None);
        };
        let mut term = || Self::term(version, items, model, fields);
        Ok(match item {
            Value::String(sign) if sign == "!" => term()?.map(|term| Self::Not(Box::new(term))),
            Value::String(sign) if sign == "&" || sign == "|" => {
                let both = [term()?, term()?].into_iter().collect::<Option<Vec<_>>>();
                both.map(|both| {
                    if sign == "&" {
                        Self::All(both)
                    } else {
                        Self::Any(both)
                    }
                })
            }
            Value::Array(leaf) => match leaf.as_slice() {
                [
                    Value::Number(left),
                    Value::String(sign),
                    Value::Number(right),
                ] if sign == "=" => {
                    // (1, '=', 1) is true, (0, '=', 1) is false.
                    Some(if left == right {
                        Self::All(Vec::new())
                    } else {
                        Self::Any(Vec::new())
                    })
                }
                // No condition at all where names cannot be searched for: up to 17, but for contacts on 16.
                [Value::String(field), Value::String(_), _]
                    if field == "display_name"
                        && version <= 17
                        && !(version <= 16 && model == "res.partner") =>
                {
                    Some(Self::All(Vec::new()))
                }
                [Value::String(field), Value::String(operator), operand] => {
                    // `=?` is true where nothing is given, and `=` where something is.
                    let optional = operator == "=?";
                    let operator = if optional { "=" } else { operator.as_str() };
                    let leaf = Leaf::parse(version, field, operator, operand, model, fields)?;
                    Some(match operand {
                        Value::Null | Value::Bool(false) if optional => Self::All(Vec::new()),
                        _ => Self::Leaf(leaf),
                    })
                }
                _ => return Err(Failure::no_term(version, item)),
            },
            _ => return Err(Failure::no_term(version, item)),
        })
    }

    /// Whether any comparison is about this field.
    pub(crate) fn mentions(&self, field: &str) -> bool {
        match self {
            Self::All(terms) | Self::Any(terms) => terms.iter().any(|term| term.mentions(field)),
            Self::Not(term) => term.mentions(field),
            Self::Leaf(leaf) => leaf.field == field,
        }
    }

    /// Narrows the domain: both must hold.
    pub(crate) fn and(self, field: &str, value: Cell<'static>) -> Self {
        let leaf = Leaf::new(field, Operator::Equal, vec![value]);
        Self::All(vec![self, Self::Leaf(leaf)])
    }

    pub(crate) fn matches(&self, row: &impl Row) -> bool {
        match self {
            Self::All(terms) => terms.iter().all(|term| term.matches(row)),
            Self::Any(terms) => terms.iter().any(|term| term.matches(row)),
            Self::Not(term) => !term.matches(row),
            Self::Leaf(leaf) => leaf.matches(row),
        }
    }

    /// The least and the greatest value that an integer or a date can have where the domain holds.
    pub(crate) fn range(&self, field: &str) -> (i64, i64) {
        match self {
            Self::All(terms) => terms
                .iter()
                .map(|term| term.range(field))
                .fold((i64::MIN, i64::MAX), |all, one| {
                    (all.0.max(one.0), all.1.min(one.1))
                }),
            Self::Leaf(leaf) if leaf.field == field => leaf.range(),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// The ids that the domain lists for this field, where it does.
    pub(crate) fn listed(&self, field: &str) -> Option<Vec<i64>> {
        match self {
            Self::All(terms) => terms.iter().find_map(|term| term.listed(field)),
            Self::Leaf(leaf) if leaf.field == field && leaf.operator == Operator::In => {
                leaf.numbers.clone()
            }
            _ => None,
        }
    }
}

impl Leaf {
    fn new(field: &str, operator: Operator, operand: Vec<Cell<'static>>) -> Self {
        let numbers = operand.iter().map(|cell| {
            if let Cell::Int(number) = cell {
                Some(*number)
            } else {
                None
            }
        });
        let mut numbers: Option<Vec<i64>> = numbers.collect();
        if let Some(numbers) = &mut numbers {
            numbers.sort_unstable();
        }
        Self {
            field: field.to_owned(),
            operator,
            operand,
            numbers,
        }
    }

    /// The same comparison of a date at the second.
    fn at_seconds(self) -> Domain {
        const SECOND_US: i64 = 1_000_000;
        let [Cell::Time(at)] = self.operand.as_slice() else {
            return Domain::Leaf(self);
        };
        let begins = at.div_euclid(SECOND_US) * SECOND_US;
        let bound = |operator, at| Self::new(&self.field, operator, vec![Cell::Time(at)]);
        let within = || {
            Domain::All(vec![
                Domain::Leaf(bound(Operator::AtLeast, begins)),
                Domain::Leaf(bound(Operator::Less, begins + SECOND_US)),
            ])
        };
        match self.operator {
            Operator::Equal => within(),
            Operator::NotEqual => Domain::Not(Box::new(within())),
            Operator::Greater => Domain::Leaf(bound(Operator::AtLeast, begins + SECOND_US)),
            Operator::AtMost => Domain::Leaf(bound(Operator::Less, begins + SECOND_US)),
            _ => Domain::Leaf(self),
        }
    }

    /// Whether the operand, a list, holds the value.
    fn lists(&self, cell: &Cell<'_>) -> bool {
        match (&self.numbers, cell) {
            (Some(numbers), Cell::Int(number) | Cell::Link(number, _)) => {
                numbers.binary_search(number).is_ok()
            }
            _ => self.operand.iter().any(|value| equal(cell, value)),
        }
    }

    fn parse(
        version: u8,
        field: &str,
        operator: &str,
        operand: &Value,
        model: &str,
        fields: &Fields,
    ) -> Result<Self, Failure> {
        let within = if version >= 19 { "condition" } else { "leaf" };
        let leaf = || format!("('{field}', '{operator}', {operand})");
        let kind = fields
            .get(field)
            .ok_or_else(|| {
                Failure::value_error(format!(
                    "Invalid field {model}.{field} in {within} {}",
                    leaf()
                ))
            })?
            .kind;
        let alike = |exact, fold, negated| Operator::Like {
            exact,
            fold,
            negated,
        };
        // A bare date is its first moment, or its last one.
        let day = operand
            .as_str()
            .filter(|text| kind == Kind::Datetime && text.len() == "2026-11-21".len());
        let last_moment = matches!(operator, ">" | "<=");
        let day = day.map(|day| {
            json!(format!(
                "{day} {}",
                if last_moment { "23:59:59" } else { "00:00:00" }
            ))
        });
        let operand = day.as_ref().unwrap_or(operand);
        let operator = match operator {
            "=" => Operator::Equal,
            "==" if version >= 19 => Operator::Equal,
            "!=" | "<>" => Operator::NotEqual,
            ">" => Operator::Greater,
            ">=" => Operator::AtLeast,
            "<" => Operator::Less,
            "<=" => Operator::AtMost,
            "in" => Operator::In,
            "not in" => Operator::NotIn,
            "like" => alike(false, false, false),
            "ilike" => alike(false, true, false),
            "not like" => alike(false, false, true),
            "not ilike" => alike(false, true, true),
            "=like" => alike(true, false, false),
            "=ilike" => alike(true, true, false),
            _ => {
                return Err(Failure::value_error(if version >= 19 {
                    format!("Invalid operator in condition {}", leaf())
                } else {
                    format!("Invalid leaf {}", leaf())
                }));
            }
        };
        // A number that is 0 is nothing from 18 on; a reference without its record is nothing everywhere.
        let no_zero = version < 18 && kind == Kind::Integer && field != "res_id";
        let cell_of = |value: &Value, kind| match cell_of(value, kind) {
            Cell::Null if no_zero => Cell::Bool(false),
            cell => cell,
        };
        let operand = match (operator, operand) {
            (Operator::In | Operator::NotIn, Value::Array(values)) => {
                values.iter().map(|value| cell_of(value, kind)).collect()
            }
            (Operator::Equal, Value::Array(values)) => {
                // Odoo takes `=` with a list for `in`.
                let operand = values.iter().map(|value| cell_of(value, kind)).collect();
                return Ok(Self::new(field, Operator::In, operand));
            }
            (_, value) => vec![cell_of(value, kind)],
        };
        Ok(Self::new(field, operator, operand))
    }

    fn matches(&self, row: &impl Row) -> bool {
        let cell = row.cell(&self.field);
        let first = self.operand.first().unwrap_or(&Cell::Null);
        match self.operator {
            Operator::Equal => equal(&cell, first),
            Operator::NotEqual => !equal(&cell, first),
            Operator::In => self.lists(&cell),
            Operator::NotIn => !self.lists(&cell),
            Operator::Greater => compare(&cell, first) == Some(Ordering::Greater),
            Operator::AtLeast => matches!(
                compare(&cell, first),
                Some(Ordering::Greater | Ordering::Equal)
            ),
            Operator::Less => compare(&cell, first) == Some(Ordering::Less),
            Operator::AtMost => matches!(
                compare(&cell, first),
                Some(Ordering::Less | Ordering::Equal)
            ),
            Operator::Like {
                exact,
                fold,
                negated,
            } => {
                let (Cell::Text(text) | Cell::Link(_, text)) = &cell else {
                    return negated;
                };
                let Cell::Text(pattern) = first else {
                    return negated;
                };
                let pattern = if exact {
                    pattern.to_string()
                } else {
                    format!("%{pattern}%")
                };
                let found = if fold {
                    like(&text.to_lowercase(), &pattern.to_lowercase())
                } else {
                    like(text, &pattern)
                };
                found != negated
            }
        }
    }

    fn range(&self) -> (i64, i64) {
        let number = |cell: &Cell<'_>| match cell {
            Cell::Int(number) | Cell::Time(number) => Some(*number),
            _ => None,
        };
        let Some(first) = self.operand.first().and_then(number) else {
            return (i64::MIN, i64::MAX);
        };
        match self.operator {
            Operator::Equal => (first, first),
            Operator::Greater => (first.saturating_add(1), i64::MAX),
            Operator::AtLeast => (first, i64::MAX),
            Operator::Less => (i64::MIN, first.saturating_sub(1)),
            Operator::AtMost => (i64::MIN, first),
            Operator::In => {
                let numbers = self.operand.iter().filter_map(number);
                (
                    numbers.clone().min().unwrap_or(i64::MAX),
                    numbers.max().unwrap_or(i64::MIN),
                )
            }
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// What a JSON value is, compared with a field of this kind.
fn cell_of(value: &Value, kind: Kind) -> Cell<'static> {
    match value {
        Value::Bool(true) => Cell::Bool(true),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "as Odoo cuts a fraction off"
        )]
        Value::Number(number) => match (number.as_i64(), number.as_f64().unwrap_or_default()) {
            (Some(number), _) => Cell::Int(number),
            (None, number) if kind == Kind::Integer => Cell::Int(number as i64),
            (None, number) => Cell::Real(number),
        },
        Value::String(text) if kind == Kind::Datetime => {
            parse_datetime(text).map_or_else(|| Cell::Text(Cow::Owned(text.clone())), Cell::Time)
        }
        Value::String(text) => Cell::Text(Cow::Owned(text.clone())),
        Value::Null | Value::Bool(false) | Value::Array(_) | Value::Object(_) => Cell::Null,
    }
}

fn equal(cell: &Cell<'_>, value: &Cell<'_>) -> bool {
    match (cell, value) {
        // In a boolean column nothing is false, and in one of integers 0 is nothing.
        (Cell::Null | Cell::Bool(false) | Cell::Int(0), Cell::Null) => true,
        (Cell::Many(ids), Cell::Null) => ids.is_empty(),
        (Cell::Many(ids), Cell::Int(id)) => ids.contains(id),
        _ => compare(cell, value) == Some(Ordering::Equal),
    }
}

pub(super) fn compare(left: &Cell<'_>, right: &Cell<'_>) -> Option<Ordering> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "as Postgres compares an integer with a float"
    )]
    match (left, right) {
        (Cell::Int(a) | Cell::Link(a, _), Cell::Int(b)) | (Cell::Time(a), Cell::Time(b)) => {
            Some(a.cmp(b))
        }
        (Cell::Real(a), Cell::Real(b)) => a.partial_cmp(b),
        // A whole number may have been given for one with a fraction.
        (Cell::Int(a), Cell::Real(b)) => (*a as f64).partial_cmp(b),
        (Cell::Real(a), Cell::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Cell::Text(a) | Cell::Link(_, a), Cell::Text(b)) => Some(a.cmp(b)),
        (Cell::Bool(a), Cell::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
