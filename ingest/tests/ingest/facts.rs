//! Facts of shared files against netCDF4.

use crate::data::data;
use crate::support::{E3SM, expected};
use tarn_connectors::{Location, Stores};
use tarn_ingest::facts::extract;
use tarn_schemas::facts::FileFacts;

async fn facts(file: &str) -> Option<FileFacts> {
    let stores = Stores::default();
    let location = Location::from_path(&data()?.join(file)).unwrap();
    let stat = stores.stat(&location).await.unwrap();
    Some(extract(&stores, &stat).await.unwrap())
}

#[tokio::test]
async fn statistics_leave_out_what_netcdf4_masks() {
    let Some(facts) = facts(&format!("netcdf/cmip6/{}", E3SM[2])).await else { return };
    let ta = facts.variables.iter().find(|variable| variable.name == "ta").unwrap();
    let whole = expected(&format!("netcdf__cmip6__{}", E3SM[2]), "ta");
    let masked = &whole["stats_without_default_fill"];
    // serde_json reads a double to within one unit of its last place.
    let near = |own: Option<f64>, other: &serde_json::Value| {
        (own.unwrap() - other.as_f64().unwrap()).abs() < 1e-9
    };
    assert!(near(ta.min, &masked["min"]), "{:?}", ta.min);
    assert!(near(ta.max, &masked["max"]), "{:?}", ta.max);
    assert_eq!(ta.missing, whole["n_default_fill"].as_u64());
    assert_eq!(ta.shape, [180, 2, 2, 2]);
    assert_eq!(ta.dimensions, ["time", "plev", "lat", "lon"]);
    assert_eq!(ta.standard_name.as_deref(), Some("air_temperature"));
    assert_eq!(ta.units.as_deref(), Some("K"));
    assert_eq!((facts.media_type.as_str(), facts.bytes), ("application/x-netcdf", 42_222));
    let source = facts.attributes.iter().find(|(name, _)| name == "source_id").unwrap();
    assert_eq!(source.1, "E3SM-1-0");
}

#[tokio::test]
async fn extents_come_from_coordinates_of_any_calendar() {
    let Some(noleap) = facts(&format!("netcdf/cmip6/{}", E3SM[2])).await else { return };
    // 2000-01-16T12:00 and 2014-12-16T12:00, as xarray decodes the first and last time.
    assert_eq!(noleap.extent.time, Some((948_024_000.0, 1_418_731_200.0)));
    assert_eq!(noleap.extent.bounding_box, Some([0.5, 88.5, 1.5, 89.5]));
    let civil = "netcdf/cmip6/ta_Amon_MRI-ESM2-0_historical_r1i1p1f1_gn_200001-201412.nc";
    let civil = facts(civil).await.unwrap();
    assert_eq!(civil.extent.time, Some((948_024_000.0, 1_418_731_200.0)));
}
