//! Figures: medians, percentiles, and how they are printed.

/// The middle one; of an even number, the lower.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that a share of all does not exceed.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "no values were measured");
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[((last as f64) * share).floor() as usize]
}

/// A line of the result: what, its figure, the yardstick's, and how they compare.
pub(crate) fn compare(what: &str, figure: f64, yardstick: (&str, f64), unit: &str) {
    let (name, of_yardstick) = yardstick;
    println!(
        "{what}: {} {unit}; {name}: {} {unit}; ratio {:.2}",
        short(figure),
        short(of_yardstick),
        figure / of_yardstick
    );
}

/// Large numbers in thousands, small ones with their decimals.
fn short(figure: f64) -> String {
    if figure >= 10_000.0 { format!("{:.0} k", figure / 1e3) } else { format!("{figure:.2}") }
}
