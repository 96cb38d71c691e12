//! Delta tables at their pinned version.

use crate::support::{Lab, person, rows};
use arrow::array::{Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use deltalake::DeltaTable;
use std::sync::Arc;
use tarn_schemas::Principal;
use url::Url;

fn schema(metadata: bool) -> Schema {
    let field = |name: &str, kind: DataType, attributes: &[(&str, &str)]| {
        let attributes = attributes.iter().filter(|_| metadata);
        Field::new(name, kind, true).with_metadata(
            attributes.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        )
    };
    let time = [("units", "days since 2000-01-01"), ("calendar", "360_day")];
    Schema::new(vec![
        field("time", DataType::Float64, &time),
        field("site", DataType::Utf8, &[]),
        field("value", DataType::Float64, &[("units", "K")]),
    ])
}

fn batch(times: [f64; 2], sites: [&str; 2], values: [Option<f64>; 2]) -> RecordBatch {
    let columns = vec![
        Arc::new(Float64Array::from(times.to_vec())) as _,
        Arc::new(StringArray::from(sites.to_vec())) as _,
        Arc::new(Float64Array::from(values.to_vec())) as _,
    ];
    RecordBatch::try_new(Arc::new(schema(false)), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_table_is_read_at_its_version_with_the_attributes_that_the_catalog_knows() {
    let lab = Lab::new("ornl").await;
    lab.register("weather", "public").await;
    let folder = lab.folder.path().join("secret_place");
    std::fs::create_dir(&folder).unwrap();
    let url = Url::from_directory_path(&folder).unwrap();
    let table = DeltaTable::try_from_url(url.clone()).await.unwrap();
    let first = batch([0.0, 59.0], ["a", "b"], [Some(280.0), None]);
    let table = table.write(vec![first]).await.unwrap();
    let second = batch([360.0, 361.0], ["a", "c"], [Some(290.0), Some(f64::NAN)]);
    table.write(vec![second]).await.unwrap();
    assert_eq!(lab.put_delta("weather", "air", &schema(true), url.as_str(), 0).await, 1);
    assert_eq!(lab.put_delta("weather", "air", &schema(true), url.as_str(), 1).await, 2);

    let session = lab.session(person()).await;
    let counts = "SELECT count(*), count(value), count(DISTINCT site) FROM weather";
    assert_eq!(rows(&session, &format!("{counts}@1.air")).await.unwrap(), [["2", "1", "2"]]);
    assert_eq!(rows(&session, &format!("{counts}@2.air")).await.unwrap(), [["4", "3", "3"]]);
    assert_eq!(rows(&session, &format!("{counts}.air")).await.unwrap(), [["4", "3", "3"]]);

    let february = "SELECT site, cf_year(time) FROM weather.air WHERE cf_month(time) = 2";
    assert_eq!(rows(&session, february).await.unwrap(), [["b", "2000"]]);
    let years = "SELECT site FROM weather.air WHERE cf_year(time) = 2001 AND site <> 'c'";
    assert_eq!(rows(&session, years).await.unwrap(), [["a"]]);
    let celsius = "SELECT convert_units(value, 'K', 'degC') FROM weather.air WHERE time = 0";
    let got: f64 = rows(&session, celsius).await.unwrap()[0][0].parse().unwrap();
    assert!((got - 6.85).abs() < 1e-9, "{got}");

    let prepared = session.plan("SELECT site, value FROM weather.air").await.unwrap();
    let promised = prepared.schema();
    assert_eq!(promised.field(0).data_type(), &DataType::Utf8);
    assert_eq!(promised.field(1).metadata()["units"], "K");
    for batch in prepared.start().await.unwrap().collect().await.unwrap() {
        assert_eq!(batch.schema(), promised);
    }

    let plan = rows(&session, "EXPLAIN SELECT * FROM weather.air WHERE site = 'a'").await.unwrap();
    let plan = plan.concat().join(" ");
    assert!(plan.contains("DeltaScanExec: table=ornl.weather.air"), "{plan}");
    assert!(!plan.contains("secret_place") && !plan.contains(".parquet"), "{plan}");

    std::fs::remove_dir_all(&folder).unwrap();
    let fresh = Lab::session(&lab, Principal::Owner).await;
    let error = rows(&fresh, "SELECT * FROM weather.air").await.unwrap_err().to_string();
    assert!(!error.is_empty());
}
