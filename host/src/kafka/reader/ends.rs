//! Which of the places that are read have come to their ends. Pure.

use super::Place;

/// Places on the way to their ends.
#[derive(Debug)]
pub(super) struct Ends {
    spots: Vec<Spot>,
}

#[derive(Debug)]
struct Spot {
    place: Place,
    is_read: bool,
}

impl Ends {
    pub(super) fn of(places: &[Place]) -> Self {
        let spot = |place: &Place| Spot { place: place.clone(), is_read: place.is_empty() };
        Self { spots: places.iter().map(spot).collect() }
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

    /// Kafka says that this offset is the end: what was to come is a transaction's marker, or aborted, or was
    /// taken by compaction. A leader that has just become one may say so before it knows of all that is there.
    pub(super) fn reached(&mut self, at: Option<usize>, offset: i64) {
        if let Some(spot) = at.and_then(|at| self.spots.get_mut(at))
            && offset >= spot.place.end
        {
            spot.is_read = true;
        }
    }

    /// The end of a partition whose topic is not told. It says something only where one topic can be meant.
    pub(super) fn reached_unnamed(&mut self, partition: i32) {
        let mut of = self.spots.iter_mut().filter(|spot| spot.place.partition == partition);
        if let (Some(spot), None) = (of.next(), of.next()) {
            spot.is_read = true;
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
        ends.reached(second, 8);
        assert_eq!(
            ends.waiting(),
            Some(&place("a", 1, 9)),
            "a leader that does not know of all yet"
        );
        ends.reached(second, 9);
        assert_eq!(ends.waiting(), None);
        assert!(ends.is_read("a"));
    }

    #[test]
    fn an_end_without_a_topic_ends_nothing_while_two_topics_could_be_meant() {
        let mut ends = Ends::of(&[place("a", 0, 3), place("b", 0, 3), place("b", 1, 3)]);
        ends.reached_unnamed(0);
        ends.reached(ends.find("a", 0), 3);
        ends.reached(ends.find("a", 0), 3);
        ends.reached_unnamed(0);
        assert!(ends.is_read("a"));
        assert_eq!(ends.waiting(), Some(&place("b", 0, 3)));
        ends.passed(ends.find("b", 0), 2);
        assert_eq!(ends.waiting(), Some(&place("b", 1, 3)));
        ends.reached_unnamed(1);
        assert_eq!(ends.waiting(), None);
    }
}
