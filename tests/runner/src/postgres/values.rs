//! Conversions between Postgres and the interface, by the Rust types that Spin uses for them, so
//! that what Spin cannot convert is not converted here either. One of these surprises: a
//! `timestamptz` column fails the query, and a `datetime` parameter does not go into one, since
//! both go by a type without a time zone. Select `at time zone 'utc'`; pass text or `timestamp`.

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::{Buf as _, BufMut as _, BytesMut};
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _, Utc};
use rust_decimal::Decimal;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::bindings::postgres::{self as wit, Column, DbDataType, DbValue, ParameterValue};

type BoxError = Box<dyn std::error::Error + Sync + Send>;

pub(super) fn to_sql(value: &ParameterValue) -> Result<Box<dyn ToSql + Send + Sync>> {
    Ok(match value {
        ParameterValue::Boolean(value) => Box::new(*value),
        ParameterValue::Int8(value) => Box::new(*value),
        ParameterValue::Int16(value) => Box::new(*value),
        ParameterValue::Int32(value) => Box::new(*value),
        ParameterValue::Int64(value) => Box::new(*value),
        ParameterValue::Floating32(value) => Box::new(*value),
        ParameterValue::Floating64(value) => Box::new(*value),
        ParameterValue::Str(value) => Box::new(value.clone()),
        ParameterValue::Binary(value) => Box::new(value.clone()),
        ParameterValue::Date((year, month, day)) => Box::new(date(*year, *month, *day)?),
        ParameterValue::Time((hour, minute, second, nanosecond)) => {
            Box::new(time(*hour, *minute, *second, *nanosecond)?)
        }
        ParameterValue::Datetime((year, month, day, hour, minute, second, nanosecond)) => {
            Box::new(NaiveDateTime::new(
                date(*year, *month, *day)?,
                time(*hour, *minute, *second, *nanosecond)?,
            ))
        }
        ParameterValue::Timestamp(seconds) => Box::new(
            DateTime::<Utc>::from_timestamp(*seconds, 0)
                .ok_or_else(|| anyhow!("invalid epoch timestamp {seconds}"))?,
        ),
        ParameterValue::Uuid(value) => {
            Box::new(Uuid::parse_str(value).with_context(|| format!("invalid UUID {value}"))?)
        }
        ParameterValue::Jsonb(value) => Box::new(
            serde_json::from_slice::<serde_json::Value>(value)
                .with_context(|| format!("invalid JSON {}", String::from_utf8_lossy(value)))?,
        ),
        ParameterValue::Decimal(value) => Box::new(decimal(value)?),
        ParameterValue::ArrayInt32(values) => Box::new(values.clone()),
        ParameterValue::ArrayInt64(values) => Box::new(values.clone()),
        ParameterValue::ArrayDecimal(values) => Box::new(
            values
                .iter()
                .map(|value| value.as_deref().map(decimal).transpose())
                .collect::<Result<Vec<_>>>()?,
        ),
        ParameterValue::ArrayStr(values) => Box::new(values.clone()),
        ParameterValue::Interval(value) => Box::new(Interval(*value)),
        ParameterValue::DbNull => Box::new(Null),
        ParameterValue::RangeInt32(_)
        | ParameterValue::RangeInt64(_)
        | ParameterValue::RangeDecimal(_) => bail!("this runner does not support ranges"),
    })
}

fn date(year: i32, month: u8, day: u8) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month.into(), day.into())
        .ok_or_else(|| anyhow!("invalid date y={year}, m={month}, d={day}"))
}

fn time(hour: u8, minute: u8, second: u8, nanosecond: u32) -> Result<NaiveTime> {
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond)
        .ok_or_else(|| anyhow!("invalid time {hour}:{minute}:{second}:{nanosecond}"))
}

fn decimal(value: &str) -> Result<Decimal> {
    Decimal::from_str_exact(value).with_context(|| format!("invalid decimal {value}"))
}

pub(super) fn columns(row: &tokio_postgres::Row) -> Vec<Column> {
    row.columns()
        .iter()
        .map(|column| Column {
            name: column.name().to_owned(),
            data_type: data_type(column.type_()),
        })
        .collect()
}

fn data_type(postgres: &Type) -> DbDataType {
    match *postgres {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INT4_RANGE => DbDataType::RangeInt32,
        Type::INT8_RANGE => DbDataType::RangeInt64,
        Type::NUM_RANGE => DbDataType::RangeDecimal,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DbDataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DbDataType::ArrayStr,
        Type::INTERVAL => DbDataType::Interval,
        _ => DbDataType::Other(postgres.name().to_owned()),
    }
}

pub(super) fn row(row: &tokio_postgres::Row) -> Result<wit::Row> {
    (0..row.len()).map(|index| value(row, index)).collect()
}

fn value(row: &tokio_postgres::Row, index: usize) -> Result<DbValue> {
    let Some(column) = row.columns().get(index) else {
        bail!("there is no column {index}");
    };
    match *column.type_() {
        Type::BOOL => plain(row, index, DbValue::Boolean),
        Type::BYTEA => plain(row, index, DbValue::Binary),
        Type::FLOAT4 => plain(row, index, DbValue::Floating32),
        Type::FLOAT8 => plain(row, index, DbValue::Floating64),
        Type::INT2 => plain(row, index, DbValue::Int16),
        Type::INT4 => plain(row, index, DbValue::Int32),
        Type::INT8 => plain(row, index, DbValue::Int64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => plain(row, index, DbValue::Str),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => converted(row, index, |value: NaiveDateTime| {
            let (year, month, day) = date_parts(value.date())?;
            let (hour, minute, second, nanosecond) = time_parts(value.time())?;
            Ok(DbValue::Datetime((
                year, month, day, hour, minute, second, nanosecond,
            )))
        }),
        Type::DATE => converted(row, index, |value| Ok(DbValue::Date(date_parts(value)?))),
        Type::TIME => converted(row, index, |value| Ok(DbValue::Time(time_parts(value)?))),
        Type::UUID => plain(row, index, |value: Uuid| DbValue::Uuid(value.to_string())),
        Type::JSONB => converted(row, index, |value: serde_json::Value| {
            Ok(DbValue::Jsonb(serde_json::to_vec(&value)?))
        }),
        Type::NUMERIC => plain(row, index, |value: Decimal| {
            DbValue::Decimal(value.to_string())
        }),
        Type::INT4_ARRAY => plain(row, index, DbValue::ArrayInt32),
        Type::INT8_ARRAY => plain(row, index, DbValue::ArrayInt64),
        Type::NUMERIC_ARRAY => plain(row, index, |values: Vec<Option<Decimal>>| {
            let values = values.into_iter();
            DbValue::ArrayDecimal(
                values
                    .map(|value| value.map(|value| value.to_string()))
                    .collect(),
            )
        }),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => {
            plain(row, index, DbValue::ArrayStr)
        }
        Type::INTERVAL => plain(row, index, |Interval(value)| DbValue::Interval(value)),
        Type::INT4_RANGE | Type::INT8_RANGE | Type::NUM_RANGE => bail!(
            "column {}: this runner does not support ranges",
            column.name()
        ),
        _ => plain(row, index, |Raw(value)| DbValue::Unsupported(value)),
    }
}

fn plain<'a, T: FromSql<'a>>(
    row: &'a tokio_postgres::Row,
    index: usize,
    convert: impl FnOnce(T) -> DbValue,
) -> Result<DbValue> {
    converted(row, index, |value| Ok(convert(value)))
}

fn converted<'a, T: FromSql<'a>>(
    row: &'a tokio_postgres::Row,
    index: usize,
    convert: impl FnOnce(T) -> Result<DbValue>,
) -> Result<DbValue> {
    match row.try_get::<_, Option<T>>(index)? {
        Some(value) => convert(value),
        None => Ok(DbValue::DbNull),
    }
}

fn date_parts(value: NaiveDate) -> Result<(i32, u8, u8)> {
    Ok((
        value.year(),
        value.month().try_into()?,
        value.day().try_into()?,
    ))
}

fn time_parts(value: NaiveTime) -> Result<(u8, u8, u8, u32)> {
    Ok((
        value.hour().try_into()?,
        value.minute().try_into()?,
        value.second().try_into()?,
        value.nanosecond(),
    ))
}

/// What a value takes on the host, roughly.
pub(super) fn size_bytes(value: &DbValue) -> usize {
    let content = match value {
        DbValue::Str(value) | DbValue::Uuid(value) | DbValue::Decimal(value) => value.len(),
        DbValue::Binary(value) | DbValue::Jsonb(value) | DbValue::Unsupported(value) => value.len(),
        DbValue::ArrayInt32(values) => values.len().saturating_mul(8),
        DbValue::ArrayInt64(values) => values.len().saturating_mul(16),
        DbValue::ArrayDecimal(values) | DbValue::ArrayStr(values) => values
            .iter()
            .map(|value| {
                value
                    .as_ref()
                    .map_or(24, |value| value.len().saturating_add(24))
            })
            .sum(),
        _ => 0,
    };
    content.saturating_add(size_of::<DbValue>())
}

/// NULL for a parameter of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, BoxError> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The bytes of a type that the interface does not have.
struct Raw(Vec<u8>);

impl FromSql<'_> for Raw {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(raw.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[derive(Debug)]
struct Interval(wit::Interval);

impl ToSql for Interval {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_i64(self.0.micros);
        out.put_i32(self.0.days);
        out.put_i32(self.0.months);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INTERVAL
    }

    to_sql_checked!();
}

impl FromSql<'_> for Interval {
    fn from_sql(_: &Type, mut raw: &[u8]) -> Result<Self, BoxError> {
        if raw.len() != 16 {
            return Err("unexpected binary format for Postgres INTERVAL".into());
        }
        Ok(Self(wit::Interval {
            micros: raw.get_i64(),
            days: raw.get_i32(),
            months: raw.get_i32(),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INTERVAL
    }
}
