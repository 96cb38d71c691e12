//! Canonical units of frequent CF standard names (CF standard name table, version 93). A name that
//! is not here is not compared with its unit: the table of all 5,023 is not part of Tarn.

/// The unit that a standard name is defined in.
pub(super) fn canonical_unit(standard_name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(_, names)| names.contains(&standard_name)).map(|(unit, _)| *unit)
}

/// By unit.
const NAMES: [(&str, &[&str]); 23] = [
    (
        "K",
        &[
            "air_temperature",
            "sea_surface_temperature",
            "sea_water_temperature",
            "sea_water_potential_temperature",
            "sea_water_conservative_temperature",
            "surface_temperature",
            "soil_temperature",
            "dew_point_temperature",
            "air_potential_temperature",
            "brightness_temperature",
            "toa_brightness_temperature",
        ],
    ),
    (
        "Pa",
        &[
            "air_pressure",
            "air_pressure_at_mean_sea_level",
            "surface_air_pressure",
            "surface_downward_eastward_stress",
            "surface_downward_northward_stress",
            "water_vapor_partial_pressure_in_air",
        ],
    ),
    ("dbar", &["sea_water_pressure"]),
    (
        "m s-1",
        &[
            "eastward_wind",
            "northward_wind",
            "wind_speed",
            "wind_speed_of_gust",
            "upward_air_velocity",
            "eastward_sea_water_velocity",
            "northward_sea_water_velocity",
            "sea_water_speed",
            "sea_water_x_velocity",
            "sea_water_y_velocity",
            "x_wind",
            "y_wind",
            "lwe_precipitation_rate",
            "rainfall_rate",
            "radial_velocity_of_scatterers_away_from_instrument",
        ],
    ),
    ("Pa s-1", &["lagrangian_tendency_of_air_pressure"]),
    (
        "m",
        &[
            "altitude",
            "height",
            "depth",
            "geopotential_height",
            "surface_altitude",
            "sea_surface_height_above_geoid",
            "sea_surface_wave_significant_height",
            "ocean_mixed_layer_thickness_defined_by_sigma_t",
            "sea_ice_thickness",
            "surface_snow_thickness",
            "bedrock_altitude",
            "sea_floor_depth_below_geoid",
            "projection_x_coordinate",
            "projection_y_coordinate",
            "lwe_thickness_of_precipitation_amount",
            "cell_thickness",
        ],
    ),
    ("degree_north", &["latitude"]),
    ("degree_east", &["longitude"]),
    (
        "degree",
        &[
            "grid_latitude",
            "grid_longitude",
            "wind_from_direction",
            "wind_to_direction",
            "solar_zenith_angle",
            "solar_azimuth_angle",
            "sea_surface_wave_from_direction",
        ],
    ),
    ("s", &["time", "forecast_period", "forecast_reference_time"]),
    (
        "kg m-2 s-1",
        &["precipitation_flux", "rainfall_flux", "snowfall_flux", "surface_upward_water_flux"],
    ),
    (
        "kg m-2",
        &[
            "precipitation_amount",
            "rainfall_amount",
            "atmosphere_mass_content_of_water_vapor",
            "surface_snow_amount",
        ],
    ),
    (
        "1",
        &[
            "specific_humidity",
            "relative_humidity",
            "cloud_area_fraction",
            "land_area_fraction",
            "sea_area_fraction",
            "sea_ice_area_fraction",
            "humidity_mixing_ratio",
            "surface_albedo",
            "sea_water_practical_salinity",
            "mole_fraction_of_carbon_dioxide_in_air",
            "mole_fraction_of_methane_in_air",
            "mole_fraction_of_ozone_in_air",
            "sea_water_ph_reported_on_total_scale",
        ],
    ),
    ("1e-3", &["sea_water_salinity", "sea_surface_salinity"]),
    ("g kg-1", &["sea_water_absolute_salinity"]),
    (
        "W m-2",
        &[
            "surface_downwelling_shortwave_flux_in_air",
            "surface_upwelling_shortwave_flux_in_air",
            "surface_downwelling_longwave_flux_in_air",
            "surface_upwelling_longwave_flux_in_air",
            "toa_outgoing_longwave_flux",
            "toa_incoming_shortwave_flux",
            "surface_upward_latent_heat_flux",
            "surface_upward_sensible_heat_flux",
        ],
    ),
    ("m2 s-2", &["geopotential"]),
    (
        "kg m-3",
        &["air_density", "sea_water_density", "mass_concentration_of_chlorophyll_in_sea_water"],
    ),
    ("m2", &["cell_area"]),
    ("mol m-2", &["atmosphere_mole_content_of_ozone"]),
    (
        "mol m-3",
        &[
            "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water",
            "mole_concentration_of_nitrate_in_sea_water",
        ],
    ),
    ("S m-1", &["sea_water_electrical_conductivity"]),
    ("dBZ", &["equivalent_reflectivity_factor"]),
];
