//! Which of the places that are read have come to their ends. Pure.

use super::Place;

/// Places on the way to their ends.
#[derive(Debug)]
pub(super) struct Ends {
    spots: Vec<Spot>,
    /// Partitions whose end was told without their topic.
    unnamed: Vec<i32>,
}

#[derive(Debug)]
struct Spot {
    place: Place,
    is_read: bool,
    /// Whether its end was told, with its topic.
    is_told: bool,
}

impl Ends {
    pub(super) fn of(places: &[Place]) -> Self {
        let spot = |place: &Place| Spot {
            place: place.clone(),
            is_read: place.is_empty(),
            is_told: false,
        };
        Self { spots: places.iter().map(spot).collect(), unnamed: Vec::new() }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.spots.iter().map(|spot| &spot.place)
    }

    /// Where a place is.
    pub(super) fn find(&self, topic: &str, partition: i32) -> Option<usize> {
        self.places().position(|place| place.partition == partition && *place.topic == *topic)
    }

    pub(super) fn get(&self, at: usize) -> Option<&Place> {
        self.spots.get(at).map(|spot| &spot.place)
    }

    /// One that is not read to its end.
    pub(super) fn waiting(&self) -> Option<&Place> {
        self.spots.iter().find(|spot| !spot.is_read).map(|spot| &spot.place)
    }

    /// Whether all places of a topic are read to their ends.
    pub(super) fn is_read(&self, topic: &str) -> bool {
        self.spots.iter().all(|spot| spot.is_read || *spot.place.topic != *topic)
    }

    /// A record was read.
    pub(super) fn passed(&mut self, at: Option<usize>, offset: i64) {
        if let Some(spot) = at.and_then(|at| self.spots.get_mut(at))
            && offset + 1 >= spot.place.end
        {
            spot.is_read = true;
        }
    }

    /// Kafka says that this is the end: what was to come is a transaction's marker, or aborted, or was
    /// taken by compaction.
    pub(super) fn reached(&mut self, at: Option<usize>) {
        let Some(spot) = at.and_then(|at| self.spots.get_mut(at)) else { return };
        (spot.is_read, spot.is_told) = (true, true);
        let partition = spot.place.partition;
        self.count(partition);
    }

    /// The same of a partition whose topic is not told.
    pub(super) fn reached_unnamed(&mut self, partition: i32) {
        if self.waiting().is_some() {
            self.unnamed.push(partition);
            self.count(partition);
        }
    }

    /// Who of several is meant shows when as many ends are told as there are partitions of this number.
    fn count(&mut self, partition: i32) {
        let of = |spot: &&Spot| spot.place.partition == partition;
        let unnamed = self.unnamed.iter().filter(|number| **number == partition).count();
        let told = unnamed + self.spots.iter().filter(of).filter(|spot| spot.is_told).count();
        if told >= self.spots.iter().filter(of).count() {
            let all = self.spots.iter_mut().filter(|spot| spot.place.partition == partition);
            all.for_each(|spot| spot.is_read = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(topic: &str, partition: i32, end: i64) -> Place {
        Place { topic: topic.into(), partition, begin: 0, end }
    }

    #[test]
    fn a_place_ends_with_its_last_record_or_when_kafka_says_so_and_an_empty_one_at_once() {
        let mut ends = Ends::of(&[place("a", 0, 3), place("a", 1, 9), place("b", 0, 0)]);
        assert!(ends.is_read("b"));
        let (first, second) = (ends.find("a", 0), ends.find("a", 1));
        ends.passed(first, 1);
        assert_eq!(ends.waiting(), Some(&place("a", 0, 3)));
        ends.passed(first, 2);
        assert_eq!(ends.waiting(), Some(&place("a", 1, 9)));
        assert!(!ends.is_read("a"));
        // The record before the end is a marker.
        ends.passed(second, 7);
        ends.reached(second);
        assert_eq!(ends.waiting(), None);
        assert!(ends.is_read("a"));
    }

    #[test]
    fn a_partition_that_ends_twice_ends_no_other_one() {
        let mut ends = Ends::of(&[place("a", 0, 3), place("a", 1, 3)]);
        ends.reached(ends.find("a", 0));
        ends.reached(ends.find("a", 0));
        ends.reached_unnamed(0);
        assert_eq!(ends.waiting(), Some(&place("a", 1, 3)));
        ends.reached_unnamed(1);
        assert_eq!(ends.waiting(), None);
    }

    #[test]
    fn an_end_without_a_topic_ends_nothing_while_two_topics_could_be_meant() {
        let mut ends = Ends::of(&[place("a", 0, 3), place("b", 0, 3)]);
        // It may be that of `a`, which has not told its end yet though it is read.
        ends.passed(ends.find("a", 0), 2);
        ends.reached_unnamed(0);
        assert!(ends.is_read("a"));
        assert!(!ends.is_read("b"));
        ends.reached(ends.find("a", 0));
        assert!(ends.is_read("b"));
    }
}
