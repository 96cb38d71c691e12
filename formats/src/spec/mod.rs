//! SPEC scan logs: which scan ran when, with which command.
//!
//! Format: "SPEC data file format", Certified Scientific Software. A file begins with a header
//! (`#F` file name, `#E` epoch, `#D` date, `#C` comment); each scan begins with
//! `#S number  command arguments`, followed by its date in a `#D` line.

mod scan;

use crate::contents::{Attribute, AttributeValue, Contents, Dimension, Format, Variable};
use crate::error::FormatError;
use crate::grids::grids;
use crate::reader::{Reader, checked};
use crate::region::Region;
use crate::source::ByteSource;
use arrow::array::{
    Array, ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, new_empty_array,
};
use scan::Log;
use std::sync::Arc;

/// An open SPEC file: the dimension `scan`, and over it `scan` (number, Int64), `macro` (first word
/// of the command, Utf8), `args` (the rest of it, Utf8) and `started` (Timestamp in microseconds
/// without a time zone, NULL where the scan has no date). Scans stand in the order of the file, and
/// a number that occurs twice gives two rows.
///
/// The header is in the attributes `file`, `epoch` (seconds), `date` and `comment`.
#[derive(Debug)]
pub struct SpecReader {
    location: String,
    contents: Contents,
    columns: Vec<(String, ArrayRef)>,
}

impl SpecReader {
    /// Reads the header and the first lines of every scan.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] with the line of a scan that has no number.
    pub fn open(source: &dyn ByteSource) -> Result<Self, FormatError> {
        let log = Log::read(source)?;
        let columns: Vec<(String, ArrayRef)> = [
            (
                "scan",
                Arc::new(log.scans.iter().map(|s| s.number).collect::<Int64Array>()) as ArrayRef,
            ),
            (
                "macro",
                Arc::new(StringArray::from_iter_values(log.scans.iter().map(|s| &s.command))),
            ),
            (
                "args",
                Arc::new(StringArray::from_iter_values(log.scans.iter().map(|s| &s.arguments))),
            ),
            (
                "started",
                Arc::new(
                    log.scans.iter().map(|s| s.started).collect::<TimestampMicrosecondArray>(),
                ),
            ),
        ]
        .map(|(name, values)| (format!("/{name}"), values))
        .into();
        let dimension = Dimension {
            name: "scan".to_owned(),
            length: log.scans.len() as u64,
            unlimited: true,
            coordinate: Some("/scan".to_owned()),
        };
        let variables: Vec<Variable> = columns
            .iter()
            .map(|(path, values)| Variable {
                path: path.clone(),
                name: path.trim_start_matches('/').to_owned(),
                dimensions: vec![dimension.clone()],
                data_type: values.data_type().clone(),
                chunk_shape: None,
                filters: vec![],
                fallback: false,
                stored_bytes: None,
                attributes: vec![],
                default_fill: false,
            })
            .collect();
        let mut grids = grids(&variables);
        for grid in &mut grids {
            "scans".clone_into(&mut grid.name);
        }
        let attributes = log
            .header
            .into_iter()
            .map(|(name, text)| {
                let number = text.parse::<i64>().ok().filter(|_| name == "epoch");
                let value = match number {
                    Some(number) => {
                        AttributeValue::Numbers(Arc::new(Int64Array::from(vec![number])))
                    }
                    None => AttributeValue::Text(vec![text]),
                };
                Attribute { name: name.to_owned(), value }
            })
            .collect();
        let contents = Contents {
            format: Format::Spec,
            attributes,
            groups: vec![],
            variables,
            grids,
            unreadable: vec![],
        };
        Ok(Self { location: source.location().to_owned(), contents, columns })
    }
}

impl Reader for SpecReader {
    fn location(&self) -> &str {
        &self.location
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        let variable = checked(&self.location, &self.contents, path, region)?;
        let values = self.columns.iter().find(|(path, _)| *path == variable.path);
        let cut = values.and_then(|(_, values)| {
            let range = region.ranges().first()?;
            let start = usize::try_from(range.start).ok()?;
            let length = usize::try_from(range.end).ok()?.checked_sub(start)?;
            (start + length <= values.len()).then(|| values.slice(start, length))
        });
        Ok(cut.unwrap_or_else(|| new_empty_array(&variable.data_type)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMicrosecondType;

    fn open(text: &str) -> Result<SpecReader, FormatError> {
        SpecReader::open(&MemorySource::new("log.dat", text.as_bytes().to_vec()))
    }

    #[test]
    fn a_log_gives_its_scans_in_the_order_of_the_file() {
        let reader = open(
            "#F setup.dat\n#E 1454539891\n#D Wed Feb 03 16:51:31 2016\n#C first\n#C second\n\n\
             #S 1  ascan  mr 10.3 10.4  30 0.1\n#D Wed Feb  3 16:55:00 2016\n#N 1\n1 2 3\n\n\
             #S 2 FlyScan\n1 2\n#S 2  FlyScan ar 1\n#D Thu Jan 01 00:00:01 1970\n#D Fri Jan 02 00:00:01 1970\n",
        )
        .unwrap();
        let contents = reader.contents();
        assert_eq!(contents.grids[0].name, "scans");
        assert_eq!(contents.grids[0].variables, ["/macro", "/args", "/started"]);
        let names: Vec<_> = contents.attributes.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["file", "epoch", "date", "comment"]);

        let read = |path: &str| reader.read(path, &Region::whole(&[3])).unwrap();
        assert_eq!(read("/scan").as_ref(), &Int64Array::from(vec![1, 2, 2]) as &dyn Array);
        let text = |path: &str| {
            read(path).as_string::<i32>().iter().map(|s| s.unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(text("/macro"), ["ascan", "FlyScan", "FlyScan"]);
        assert_eq!(text("/args"), ["mr 10.3 10.4  30 0.1", "", "ar 1"]);
        let started = read("/started");
        let started = started.as_primitive::<TimestampMicrosecondType>();
        // 2016-02-03T16:55:00 is 1454518500 seconds after 1970 (`date -u -d … +%s`).
        let expected = vec![Some(1_454_518_500_000_000), None, Some(1_000_000)];
        assert_eq!(started, &TimestampMicrosecondArray::from(expected));
    }

    #[test]
    fn a_scan_without_a_number_is_refused_with_its_line() {
        let error = open("#F x\n\n#S abc ascan\n").unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
