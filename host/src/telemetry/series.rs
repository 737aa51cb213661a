//! A metric by label values, kept sorted: looked up without allocating, and readable by the page.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A counter.
pub(super) type CounterCell = Counter;

/// A gauge of seconds and the like.
pub(super) type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Label combinations that one metric may have; what is over is counted under [`OVERFLOW`], so that
/// a flood of names cannot eat the memory.
const SERIES_MAX: usize = 20_000;

/// The label value that stands for all that is over [`SERIES_MAX`].
const OVERFLOW: &str = "(other)";

/// Something that can be counted up.
pub(super) trait Cell {
    /// Adds `n`.
    fn add(&self, n: u64);
}

impl Cell for CounterCell {
    fn add(&self, n: u64) {
        self.inc_by(n);
    }
}

/// A metric `M` for each combination of `N` label values.
pub(super) struct Series<const N: usize, M> {
    shared: Arc<Shared<N, M>>,
}

/// What the clones of a series share.
struct Shared<const N: usize, M> {
    labels: [&'static str; N],
    make: fn() -> M,
    rows: RwLock<Vec<([Box<str>; N], M)>>,
}

impl<const N: usize, M> Clone for Series<N, M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<const N: usize, M> fmt::Debug for Series<N, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").field("labels", &self.shared.labels).finish_non_exhaustive()
    }
}

impl<const N: usize, M> Series<N, M>
where
    M: Clone + EncodeMetric + TypedMetric + Send + Sync + 'static,
{
    /// A series without metrics yet.
    pub(super) fn new(labels: [&'static str; N], make: fn() -> M) -> Self {
        Self { shared: Arc::new(Shared { labels, make, rows: RwLock::default() }) }
    }

    /// Calls `f` with the metric of these label values, which is made when it is missing.
    pub(super) fn with<R>(&self, values: [&str; N], f: impl Fn(&M) -> R) -> R {
        let rows = self.read();
        if let Ok(index) = find(&rows, values) {
            return f(&rows[index].1);
        }
        drop(rows);
        let metric = {
            let mut rows = self.write();
            let values = if rows.len() < SERIES_MAX { values } else { [OVERFLOW; N] };
            let index = match find(&rows, values) {
                Ok(index) => index,
                Err(index) => {
                    rows.insert(index, (values.map(Box::from), (self.shared.make)()));
                    index
                }
            };
            rows[index].1.clone()
        };
        f(&metric)
    }

    /// Forgets the metric of these label values.
    pub(super) fn remove(&self, values: [&str; N]) {
        let mut rows = self.write();
        if let Ok(index) = find(&rows, values) {
            rows.remove(index);
        }
    }

    /// Shows every metric, sorted by its label values.
    pub(super) fn each(&self, mut f: impl FnMut([&str; N], &M)) {
        for (values, metric) in self.read().iter() {
            f(values.each_ref().map(AsRef::as_ref), metric);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<([Box<str>; N], M)>> {
        self.shared.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<([Box<str>; N], M)>> {
        self.shared.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const N: usize, M> Series<N, M>
where
    M: Cell + Clone + EncodeMetric + TypedMetric + Send + Sync + 'static,
{
    /// Adds `n` to the counter of these label values; 0 makes it exist.
    pub(super) fn add(&self, values: [&str; N], n: u64) {
        self.with(values, |metric| metric.add(n));
    }
}

/// Where the row of these values is, or belongs.
fn find<const N: usize, M>(rows: &[([Box<str>; N], M)], values: [&str; N]) -> Result<usize, usize> {
    rows.binary_search_by(|(row, _)| row.iter().map(AsRef::as_ref).cmp(values))
}

impl<const N: usize, M> EncodeMetric for Series<N, M>
where
    M: EncodeMetric + TypedMetric,
{
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let rows = self.shared.rows.read().unwrap_or_else(PoisonError::into_inner);
        for (values, metric) in rows.iter() {
            let mut labels = self.shared.labels.iter().zip(values);
            let labels: [(&str, &str); N] = std::array::from_fn(|_| {
                labels.next().map_or(("", ""), |(&name, value)| (name, value.as_ref()))
            });
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// Writes a number into a buffer that is large enough for it.
pub(super) fn decimal(number: i32, digits: &mut [u8; 11]) -> &str {
    use std::io::Write as _;
    let mut rest = &mut digits[..];
    let written = match write!(rest, "{number}") {
        Ok(()) => 11 - rest.len(),
        Err(_) => 0,
    };
    std::str::from_utf8(&digits[..written]).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_names_is_counted_under_one_name() {
        let series = Series::new(["name"], CounterCell::default);
        for i in 0..SERIES_MAX + 7 {
            series.add([&format!("{i:08}")], 1);
        }
        let (mut rows, mut other) = (0, 0);
        series.each(|[name], counter| {
            rows += 1;
            if name == OVERFLOW {
                other = counter.get();
            }
        });
        assert_eq!((rows, other), (SERIES_MAX + 1, 7));
    }

    #[test]
    fn rows_are_found_again_whatever_the_order() {
        let series = Series::new(["a", "b"], CounterCell::default);
        for values in [["b", "a"], ["a", "b"], ["ab", ""], ["a", "b"]] {
            series.add(values, 1);
        }
        let mut seen = Vec::new();
        series.each(|[a, b], counter| seen.push((a.to_owned(), b.to_owned(), counter.get())));
        let seen: Vec<_> = seen.iter().map(|(a, b, n)| (a.as_str(), b.as_str(), *n)).collect();
        assert_eq!(seen, [("a", "b", 2), ("ab", "", 1), ("b", "a", 1)]);
    }
}
