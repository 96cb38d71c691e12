//! Filling in what a record leaves out: from the lab's defaults and the clock.

use crate::model::LabDefaults;
use chrono::{Months, NaiveDate};
use tarn_schemas::profile::{parse_date, review_months};
use tarn_schemas::{Record, Tier};

/// The record with everything filled in that the lab knows. Dates that an earlier version filled in
/// stay as they are, so that registering the same record on another day changes nothing.
pub(crate) fn fill(
    mut record: Record,
    defaults: &LabDefaults,
    earlier: Option<&Record>,
    today: NaiveDate,
) -> Record {
    record.publisher = record.publisher.or_else(|| defaults.publisher.clone());
    record.contact = record.contact.or_else(|| defaults.contact.clone());
    record.steward = record.steward.or_else(|| record.contact.clone());
    record.issued = record
        .issued
        .or_else(|| earlier.and_then(|earlier| earlier.issued.clone()))
        .or_else(|| Some(today.to_string()));
    // A day of review that has passed is no day to look at the record again.
    let earlier = earlier.and_then(|earlier| earlier.review.clone());
    let coming = |review: &String| parse_date(review).is_some_and(|day| day >= today);
    record.review = record.review.or_else(|| earlier.filter(coming));
    record.review = record.review.or_else(|| {
        today.checked_add_months(Months::new(review_months(record.tier))).map(|day| day.to_string())
    });
    record.resource_type = record.resource_type.or_else(|| Some("Dataset".to_owned()));
    if record.tier == Some(Tier::Registered) {
        let conditions = record.conditions.get_or_insert_default();
        conditions.assurance.get_or_insert_with(|| "low".to_owned());
    }
    record.language = record.language.or_else(|| Some("en".to_owned()));
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_and_what_is_written_stays() {
        let defaults: LabDefaults = serde_json::from_value(serde_json::json!({
            "publisher": {"name": "ORNL"},
            "contact": {"name": "Desk", "email": "desk@lab.gov"},
        }))
        .unwrap();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let record: Record = serde_json::from_str(r#"{"name": "x", "language": "de"}"#).unwrap();
        let first = fill(record.clone(), &defaults, None, day("2026-11-22"));
        assert_eq!(first.publisher.as_ref().unwrap().name, "ORNL");
        assert_eq!(first.steward, first.contact);
        assert_eq!(first.issued.as_deref(), Some("2026-11-22"));
        assert_eq!(first.review.as_deref(), Some("2028-11-22"));
        assert_eq!(first.resource_type.as_deref(), Some("Dataset"));
        assert_eq!(first.language.as_deref(), Some("de"));
        assert_eq!(first.tier, None);
        // The next day, and filling what is filled, change nothing.
        assert_eq!(fill(record, &defaults, Some(&first), day("2026-11-23")), first);
        assert_eq!(fill(first.clone(), &defaults, None, day("2027-11-23")), first);
        // After the day of review the next one is filled in.
        let record: Record = serde_json::from_str(r#"{"name": "x"}"#).unwrap();
        let later = fill(record, &defaults, Some(&first), day("2028-11-23"));
        assert_eq!(later.review.as_deref(), Some("2030-11-23"));
    }
}
