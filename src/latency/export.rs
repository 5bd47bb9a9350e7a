//! Histograms as other programs read them: HdrHistogram's table of percentiles, and its V2 format.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

/// The histogram in HdrHistogram's V2 format, deflated, in base64: what all of its libraries read.
pub fn v2(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).expect("memory takes any number of bytes");
    STANDARD.encode(bytes)
}

/// Percentiles as HdrHistogram's `outputPercentileDistribution` writes them (`.hgrm`), in milliseconds where a histogram's value is
/// `scale` of one.
pub fn hgrm(histogram: &Histogram<u64>, scale: f64) -> String {
    let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    // Writing to a string can't fail.
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").unwrap_or_default();
    let mut count = 0;
    for value in histogram.iter_quantiles(5) {
        count += value.count_since_last_iteration();
        let (shown, quantile) = (value.value_iterated_to() as f64 / scale, value.quantile_iterated_to());
        if quantile < 1.0 {
            line(format_args!("{shown:12.6} {quantile:.12} {count:10} {:14.2}", 1.0 / (1.0 - quantile)));
        } else {
            line(format_args!("{shown:12.6} {quantile:.12} {count:10}"));
        }
    }
    let (mean, deviation) = (histogram.mean() / scale, histogram.stdev() / scale);
    line(format_args!("#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]"));
    line(format_args!("#[Max     = {:12.6}, Total count    = {:12}]", histogram.max() as f64 / scale, histogram.len()));
    let sub_buckets = 2u64.pow((2.0 * 10f64.powi(histogram.sigfig().into())).log2().ceil() as u32);
    line(format_args!("#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]", histogram.buckets()));
    out
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;

    #[test]
    fn what_is_written_can_be_read_again() {
        let mut histogram = super::super::empty();
        (1..=1000).for_each(|micros| histogram.record(micros * 10).unwrap());
        let bytes = STANDARD.decode(v2(&histogram)).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(read, histogram);
        let text = hgrm(&histogram, 1000.0);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
        assert_eq!(lines[2][1..], ["0.000000000000", "1", "1.00"]);
        let half = lines.iter().find(|line| line.get(1) == Some(&"0.500000000000")).unwrap();
        assert!(half[0].starts_with("5.0") && half[2].starts_with("50"), "{half:?}");
        assert!(text.contains("Total count    =         1000]") && text.contains("SubBuckets     =          256]"), "{text}");
    }
}
