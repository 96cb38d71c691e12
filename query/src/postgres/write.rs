//! Values as the bytes that clients read: text or binary, single or in arrays.

use super::cell::{Cell, beyond, can_be_said, cell, elements};
use super::copy::Form;
use super::failure::Refusal;
use super::numeric;
use super::reply::Replies;
use super::types::{Column, ColumnType, Format, PgType};
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Field;
use bytes::{BufMut, BytesMut};
use chrono::{Datelike, Duration, NaiveDate};
use std::fmt::Write;

/// Days from 1970 to 2000, where the dates of PostgreSQL begin.
const DAYS_TO_2000: i64 = 10_957;
const DAY: i64 = 86_400_000_000;

/// How the rows of an answer are written.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    columns: Vec<Column>,
    formats: Vec<Format>,
    /// The form of the file that they are written as, if they are.
    file: Option<Form>,
}

impl Rows {
    /// Rows with these columns, in these formats.
    ///
    /// # Errors
    /// If there are more or fewer formats than columns.
    pub(super) fn new(columns: Vec<Column>, formats: Vec<Format>) -> Result<Self, Refusal> {
        if formats.len() > 1 && formats.len() != columns.len() {
            let problem = format!("{} formats for {} columns", formats.len(), columns.len());
            return Err(Refusal::new("08P01", problem));
        }
        Ok(Self { columns, formats, file: None })
    }

    /// Rows with these columns, written as a file.
    pub(super) fn of_file(columns: Vec<Column>, form: Form) -> Self {
        Self { columns, formats: vec![form.format()], file: Some(form) }
    }

    /// Whether they are written as a file.
    pub(super) fn are_file(&self) -> bool {
        self.file.is_some()
    }

    /// What comes before them.
    pub(super) fn begin(&self, replies: &mut Replies) -> Result<(), Refusal> {
        let Some(form) = &self.file else { return replies.columns(&self.columns, &self.formats) };
        replies.copy(self.columns.len(), form.format(), form.beginning())?;
        let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let Some(header) = form.header(&names) else { return Ok(()) };
        replies.copied(|body| {
            body.extend_from_slice(&header);
            Ok(())
        })
    }

    /// What comes after so many of them.
    pub(super) fn end(&self, replies: &mut Replies, sent: u64) -> Result<String, Refusal> {
        let Some(form) = &self.file else { return Ok(format!("SELECT {sent}")) };
        if let Some(end) = form.end() {
            replies.copied(|body| {
                body.extend_from_slice(end);
                Ok(())
            })?;
        }
        replies.plain(b'c');
        Ok(format!("COPY {sent}"))
    }

    /// The columns.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Refuses to write what has other types than the client was told.
    pub(super) fn check(&self, columns: &[Column]) -> Result<(), Refusal> {
        let alike = self.columns.len() == columns.len()
            && self
                .columns
                .iter()
                .zip(columns)
                .all(|(told, own)| can_be_said(&own.kind, &told.kind));
        if alike {
            return Ok(());
        }
        let problem = "the answer has other columns or types than the client was told when it asked: prepare the \
                       statement anew, and cast parameters, as in CAST($1 AS BIGINT)";
        Err(Refusal::new("0A000", problem))
    }

    /// Writes a row.
    pub(super) fn write(
        &self,
        replies: &mut Replies,
        batch: &RecordBatch,
        row: usize,
    ) -> Result<(), Refusal> {
        if let Some(form) = &self.file {
            return replies.copied(|body| self.line(body, form, batch, row));
        }
        replies.row(self.columns.len(), |body| {
            let schema = batch.schema_ref();
            let told = self.columns.iter().zip(schema.fields()).zip(batch.columns()).enumerate();
            for (place, ((column, field), values)) in told {
                let format = Format::at(&self.formats, place).unwrap_or(Format::Text);
                sized(body, |body| value(body, values, field, row, &column.kind, format))?;
            }
            Ok(())
        })
    }
}

impl Rows {
    /// A row of a file.
    fn line(
        &self,
        line: &mut BytesMut,
        form: &Form,
        batch: &RecordBatch,
        row: usize,
    ) -> Result<(), Refusal> {
        let (mut bytes, mut ends) = (BytesMut::new(), Vec::with_capacity(self.columns.len()));
        let fields = batch.schema_ref().fields();
        for ((column, field), values) in self.columns.iter().zip(fields).zip(batch.columns()) {
            let start = bytes.len();
            let there = value(&mut bytes, values, field, row, &column.kind, form.format())?;
            ends.push(there.then_some(start..bytes.len()));
        }
        form.row(line, ends.into_iter().map(|place| place.and_then(|place| bytes.get(place))));
        Ok(())
    }
}

/// Something after its length; -1 where it is NULL.
fn sized(
    body: &mut BytesMut,
    fill: impl FnOnce(&mut BytesMut) -> Result<bool, Refusal>,
) -> Result<(), Refusal> {
    let at = body.len();
    body.put_i32(-1);
    let start = body.len();
    if fill(body)? {
        let length = i32::try_from(body.len().saturating_sub(start))
            .map_err(|_| Refusal::new("54000", "a value has more than 2 GiB"))?;
        if let Some(place) = body.get_mut(at..start) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    } else {
        body.truncate(start);
    }
    Ok(())
}

/// Writes a value; false for NULL.
fn value(
    body: &mut BytesMut,
    values: &dyn Array,
    field: &Field,
    row: usize,
    told: &ColumnType,
    format: Format,
) -> Result<bool, Refusal> {
    let mut own = ColumnType::of(field);
    if told.element == PgType::Oid && own.element == PgType::Int8 {
        own.element = PgType::Oid;
    }
    // What was told to be text is text in both formats.
    let format =
        if (own.element, own.array) == (told.element, told.array) { format } else { Format::Text };
    if own.array {
        let Some(items) = elements(values, row) else { return Ok(false) };
        let sides = own.sides.clone().unwrap_or_else(|| vec![items.len()]);
        match format {
            Format::Text => {
                let mut text = String::new();
                array_text(&mut text, &items, &sides, &mut 0)?;
                body.extend_from_slice(text.as_bytes());
            }
            Format::Binary => array_binary(body, &items, &sides, &own)?,
        }
        return Ok(true);
    }
    let Some(cell) = cell(values, field, row)? else { return Ok(false) };
    match format {
        Format::Text => text(body, &cell)?,
        Format::Binary => binary(body, &cell, own.element)?,
    }
    Ok(true)
}

fn item_field(items: &dyn Array) -> Field {
    Field::new("item", items.data_type().clone(), true)
}

/// `{1,2,NULL}`, with a pair of brackets for each side.
fn array_text(
    out: &mut String,
    items: &dyn Array,
    sides: &[usize],
    next: &mut usize,
) -> Result<(), Refusal> {
    let (side, inner) = match sides {
        [] => return Ok(()),
        [side] => (*side, None),
        [side, inner @ ..] => (*side, Some(inner)),
    };
    out.push('{');
    // An array without elements has no sides.
    for place in 0..if items.is_empty() { 0 } else { side } {
        if place > 0 {
            out.push(',');
        }
        if let Some(inner) = inner {
            array_text(out, items, inner, next)?;
            continue;
        }
        let at = *next;
        *next = at.saturating_add(1);
        match cell(items, &item_field(items), at)? {
            None => out.push_str("NULL"),
            Some(cell) => {
                let mut bytes = BytesMut::new();
                text(&mut bytes, &cell)?;
                quoted(out, &String::from_utf8_lossy(&bytes));
            }
        }
    }
    out.push('}');
    Ok(())
}

/// An element of an array: in quotes where it would be read as something else.
fn quoted(out: &mut String, text: &str) {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace());
    if plain {
        out.push_str(text);
        return;
    }
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

fn array_binary(
    body: &mut BytesMut,
    items: &dyn Array,
    sides: &[usize],
    own: &ColumnType,
) -> Result<(), Refusal> {
    let size = |size: usize| {
        i32::try_from(size).map_err(|_| Refusal::new("54000", "an array has too many elements"))
    };
    let sides = if items.is_empty() { &[] } else { sides };
    body.put_i32(size(sides.len())?);
    body.put_i32(i32::from(items.null_count() > 0));
    body.put_u32(own.element.known().oid);
    for side in sides {
        body.put_i32(size(*side)?);
        body.put_i32(1);
    }
    let field = item_field(items);
    for at in 0..items.len() {
        sized(body, |body| {
            let Some(cell) = cell(items, &field, at)? else { return Ok(false) };
            binary(body, &cell, own.element).map(|()| true)
        })?;
    }
    Ok(())
}

/// A value as its type's bytes.
fn binary(body: &mut BytesMut, cell: &Cell<'_>, kind: PgType) -> Result<(), Refusal> {
    let wide = || Refusal::new("22003", "a number does not fit its type");
    match cell {
        Cell::Bool(value) => body.put_u8(u8::from(*value)),
        Cell::Int(value) => match kind.known().length {
            4 if kind == PgType::Oid => body.put_u32(u32::try_from(*value).map_err(|_| wide())?),
            2 => body.put_i16(i16::try_from(*value).map_err(|_| wide())?),
            4 => body.put_i32(i32::try_from(*value).map_err(|_| wide())?),
            _ => body.put_i64(*value),
        },
        Cell::Float4(value) => body.put_f32(*value),
        Cell::Float8(value) => body.put_f64(*value),
        Cell::Text(text) => put_text(body, text)?,
        Cell::Bytes(bytes) => body.extend_from_slice(bytes),
        Cell::Date(days) => {
            let days = days.saturating_sub(DAYS_TO_2000);
            body.put_i32(i32::try_from(days).map_err(|_| beyond())?);
        }
        Cell::Time(micros) => body.put_i64(*micros),
        Cell::Timestamp(micros, _) => {
            body.put_i64(micros.checked_sub(DAYS_TO_2000 * DAY).ok_or_else(beyond)?);
        }
        Cell::Interval { months, days, micros } => {
            body.put_i64(*micros);
            body.put_i32(*days);
            body.put_i32(*months);
        }
        Cell::Numeric(text) => numeric::put(body, text)?,
    }
    Ok(())
}

/// Text without the character that PostgreSQL's text cannot hold, and that would end it for many clients.
fn put_text(body: &mut BytesMut, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        let problem = "a text has the character U+0000 in it, which PostgreSQL's text cannot hold; CAST(… AS BYTEA) \
                       gives it as bytes";
        return Err(Refusal::new("22021", problem));
    }
    body.extend_from_slice(text.as_bytes());
    Ok(())
}

/// A value as text, as PostgreSQL writes it.
fn text(body: &mut BytesMut, cell: &Cell<'_>) -> Result<(), Refusal> {
    let mut out = String::new();
    match cell {
        Cell::Bool(value) => out.push(if *value { 't' } else { 'f' }),
        Cell::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Cell::Float4(value) => float(&mut out, f64::from(*value), &format!("{value:e}"), 6),
        Cell::Float8(value) => float(&mut out, *value, &format!("{value:e}"), 15),
        Cell::Text(text) => return put_text(body, text),
        Cell::Bytes(bytes) => {
            out.push_str("\\x");
            for byte in *bytes {
                let _ = write!(out, "{byte:02x}");
            }
        }
        Cell::Date(days) => {
            let before_christ = date(&mut out, *days)?;
            out.push_str(before_christ);
        }
        Cell::Time(micros) => clock(&mut out, *micros),
        Cell::Timestamp(micros, zoned) => {
            let before_christ = date(&mut out, micros.div_euclid(DAY))?;
            out.push(' ');
            clock(&mut out, micros.rem_euclid(DAY));
            if *zoned {
                out.push_str("+00");
            }
            out.push_str(before_christ);
        }
        Cell::Interval { months, days, micros } => interval(&mut out, *months, *days, *micros),
        Cell::Numeric(text) => out.push_str(text),
    }
    body.extend_from_slice(out.as_bytes());
    Ok(())
}

/// The fewest digits that mean this number; with an exponent where it has more than so many before the point.
fn float(out: &mut String, value: f64, shortest: &str, digits: i32) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..digits).contains(&exponent) {
        plain(out, mantissa, exponent);
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
}

/// The digits of a mantissa with the point where the exponent puts it.
fn plain(out: &mut String, mantissa: &str, exponent: i32) {
    let unsigned = mantissa.strip_prefix('-');
    if unsigned.is_some() {
        out.push('-');
    }
    let digits: String = unsigned.unwrap_or(mantissa).chars().filter(|c| *c != '.').collect();
    match usize::try_from(exponent) {
        Ok(before) => {
            let before = before.saturating_add(1);
            for place in 0..before.max(digits.len()) {
                if place == before {
                    out.push('.');
                }
                out.push(digits.chars().nth(place).unwrap_or('0'));
            }
        }
        Err(_) => {
            out.push_str("0.");
            (1..exponent.unsigned_abs()).for_each(|_| out.push('0'));
            out.push_str(&digits);
        }
    }
}

/// A day, and what is written behind it for years before the first.
fn date(out: &mut String, days: i64) -> Result<&'static str, Refusal> {
    let day = NaiveDate::from_ymd_opt(1970, 1, 1)
        .and_then(|first| first.checked_add_signed(Duration::try_days(days)?))
        .ok_or_else(beyond)?;
    let (year, end) = match day.year() {
        year @ 1.. => (year, ""),
        year => (1_i32.saturating_sub(year), " BC"),
    };
    let _ = write!(out, "{year:04}-{:02}-{:02}", day.month(), day.day());
    Ok(end)
}

fn clock(out: &mut String, micros: i64) {
    let seconds = micros.div_euclid(1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let _ = write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60);
    let rest = micros.rem_euclid(1_000_000);
    if rest != 0 {
        out.push_str(format!(".{rest:06}").trim_end_matches('0'));
    }
}

/// `1 year 2 mons -3 days +04:05:06`
fn interval(out: &mut String, months: i32, days: i32, micros: i64) {
    let mut negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count == 0 {
            continue;
        }
        let space = if out.is_empty() { "" } else { " " };
        let plus = if negative && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        let _ = write!(out, "{space}{plus}{count} {unit}{plural}");
        negative = count < 0;
    }
    if micros != 0 || out.is_empty() {
        if !out.is_empty() {
            out.push(' ');
        }
        if micros < 0 {
            out.push('-');
        } else if negative {
            out.push('+');
        }
        clock(out, micros.saturating_abs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(cell: &Cell<'_>) -> String {
        let mut body = BytesMut::new();
        text(&mut body, cell).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    // As PostgreSQL 15 writes them.
    #[test]
    fn numbers_are_written_as_postgresql_writes_them() {
        for (value, text) in [
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (0.0, "0"),
            (-0.0, "-0"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789.125, "123456789.125"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(said(&Cell::Float8(value)), text);
        }
        assert_eq!(said(&Cell::Float4(1.0e6)), "1e+06");
        assert_eq!(said(&Cell::Float4(0.1)), "0.1");
    }

    #[test]
    fn times_are_written_as_postgresql_writes_them() {
        assert_eq!(said(&Cell::Date(0)), "1970-01-01");
        assert_eq!(said(&Cell::Date(-719_163)), "0001-12-31 BC");
        assert_eq!(said(&Cell::Date(2_932_897)), "10000-01-01");
        assert_eq!(said(&Cell::Timestamp(-1, true)), "1969-12-31 23:59:59.999999+00");
        assert_eq!(said(&Cell::Timestamp(1_500_000, false)), "1970-01-01 00:00:01.5");
        let interval = |months, days, micros| said(&Cell::Interval { months, days, micros });
        assert_eq!(interval(0, 0, 0), "00:00:00");
        assert_eq!(interval(14, -3, 14_706_000_000), "1 year 2 mons -3 days +04:05:06");
        assert_eq!(interval(-1, 1, -500_000), "-1 mons +1 day -00:00:00.5");
        let far = Cell::Timestamp(i64::MIN, false);
        assert!(text(&mut BytesMut::new(), &far).is_err());
        assert!(binary(&mut BytesMut::new(), &far, PgType::Timestamp).is_err());
    }

    #[test]
    fn an_element_that_would_be_read_otherwise_is_quoted() {
        let mut out = String::new();
        for text in ["a", "", "NULL", "a b", "say \"x\"\\"] {
            quoted(&mut out, text);
        }
        assert_eq!(out, r#"a"""NULL""a b""say \"x\"\\""#);
    }
}
