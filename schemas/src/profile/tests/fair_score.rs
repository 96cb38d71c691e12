//! The FAIR score.

use super::*;

#[test]
fn the_fair_score_of_a_full_record_is_26_of_26() {
    let metrics = fair::score(&record(), &[file()], false);
    assert_eq!(metrics.len(), 17);
    let points: f64 = metrics.iter().map(|metric| metric.points).sum();
    assert!((points - fair::POINTS).abs() < 1e-9);
    assert!((fair::per_cent(&metrics) - 100.0).abs() < 1e-9, "{metrics:#?}");
}

#[test]
fn each_missing_field_lowers_its_own_fair_metric_and_says_how_to_mend_it() {
    let missing = |change: &dyn Fn(&mut Record, &mut FileFacts)| {
        let (mut record, mut file) = (record(), file());
        change(&mut record, &mut file);
        fair::score(&record, &[file], false)
            .into_iter()
            .filter(|metric| metric.earned < metric.points)
            .map(|metric| {
                assert!(!metric.fix.is_empty());
                (metric.name, metric.points - metric.earned)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(missing(&|r, _| r.keywords.clear()), [("FsF-F2-01M", 1.0)]);
    assert_eq!(missing(&|r, _| r.publisher = None), [("FsF-F2-01M", 1.0)]);
    assert_eq!(missing(&|r, _| r.tier = None), [("FsF-A1-01M", 1.0)]);
    assert_eq!(missing(&|r, _| r.license = None), [("FsF-R1.1-01M", 1.0)]);
    assert_eq!(missing(&|_, f| f.variables[0].standard_name = None), [("FsF-I2-01M", 2.0)]);
    assert_eq!(
        missing(&|r, _| {
            r.related.clear();
            r.provenance = None;
        }),
        [("FsF-I3-01M", 2.0), ("FsF-R1.2-01M", 1.0)]
    );
    assert_eq!(
        missing(&|r, f| {
            r.conforms_to.clear();
            f.attributes.clear();
        }),
        [("FsF-R1.3-01M", 1.0)]
    );
    assert_eq!(
        missing(&|_, f| f.media_type = "application/x-proprietary".to_owned()),
        [("FsF-R1.3-02D", 1.0)]
    );
    let without_data: Vec<_> = fair::score(&record(), &[], false)
        .into_iter()
        .filter(|metric| metric.earned < metric.points)
        .map(|metric| metric.name)
        .collect();
    assert_eq!(
        without_data,
        ["FsF-F3-01M", "FsF-A1-02MD", "FsF-I2-01M", "FsF-R1-01M", "FsF-R1.3-01M", "FsF-R1.3-02D"]
    );
}
