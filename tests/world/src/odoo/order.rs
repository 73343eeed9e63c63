//! In which order records come.

use std::cmp::Ordering;

use super::domain::{Cell, Row, compare};
use super::failure::Failure;
use super::fields::{Fields, Kind};

/// The order of records.
#[derive(Debug, Clone)]
pub(crate) struct Order(Vec<(String, bool)>);

impl Order {
    /// Understands `write_date desc, id`.
    pub(crate) fn parse(
        order: Option<&str>,
        default: &str,
        model: &str,
        fields: &Fields,
    ) -> Result<Self, Failure> {
        let order = order
            .filter(|order| !order.trim().is_empty())
            .unwrap_or(default);
        let mut keys = Vec::new();
        for key in order.split(',') {
            let mut words = key.split_whitespace();
            let field = words.next().unwrap_or_default();
            let descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
                None | Some("asc") => false,
                Some("desc") => true,
                Some(_) => {
                    return Err(Failure::new(
                        "odoo.exceptions.UserError",
                        format!(
                            "Invalid \"order\" specified ({order}). A valid \"order\" specification is a comma-separated list of valid field names (optionally followed by asc/desc for the direction)"
                        ),
                    ));
                }
            };
            if !fields.contains_key(field) {
                return Err(Failure::value_error(format!(
                    "Invalid field '{field}' on model '{model}'"
                )));
            }
            // By a link is by the order of the model that it points to, which nobody here asks for.
            if fields
                .get(field)
                .is_some_and(|field| field.kind == Kind::Many2one)
            {
                return Err(Failure::value_error(format!(
                    "The simulated Odoo does not know the order by {field}"
                )));
            }
            keys.push((field.to_owned(), descending));
        }
        Ok(Self(keys))
    }

    /// Whether it is by id alone: `Some(true)` is from the greatest down.
    pub(crate) fn by_id(&self) -> Option<bool> {
        self.0
            .first()
            .filter(|(field, _)| field == "id")
            .map(|(_, descending)| *descending)
    }

    /// Whether the last one written comes first, and of those of one moment the one with the least id.
    pub(crate) fn newest_first(&self) -> bool {
        let keys: Vec<_> = self
            .0
            .iter()
            .map(|(field, down)| (&**field, *down))
            .collect();
        matches!(
            keys.as_slice(),
            [("write_date", true)] | [("write_date", true), ("id", false), ..]
        )
    }

    pub(crate) fn compare(&self, left: &impl Row, right: &impl Row) -> Ordering {
        for (field, descending) in &self.0 {
            let (left, right) = (left.cell(field), right.cell(field));
            // Postgres puts nulls last, and first when descending.
            let order = match (&left, &right) {
                (Cell::Null, Cell::Null) => Ordering::Equal,
                (Cell::Null, _) => Ordering::Greater,
                (_, Cell::Null) => Ordering::Less,
                _ => compare(&left, &right).unwrap_or(Ordering::Equal),
            };
            if order != Ordering::Equal {
                return if *descending { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    }
}
