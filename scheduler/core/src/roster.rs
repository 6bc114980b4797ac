//! Numbers that come and go, each of which keeps its place while it is there: who knows the place takes the number out without
//! a search, and no other is moved.

use crate::arena::No;

/// What marks a place as free, in what it holds: the rest is the next free place.
const FREE: u32 = 1 << 31;
/// Behind the last free place.
const NONE: u32 = u32::MAX;

/// Numbers in places.
#[derive(Debug)]
pub(crate) struct Roster<T> {
    places: Vec<No<T>>,
    /// The place that is filled next, marked as free; or none.
    free: u32,
    len: u32,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: NONE, len: 0 }
    }
}

impl<T> Roster<T> {
    /// One with these, in their places.
    pub(crate) fn of(numbers: &[No<T>]) -> Self {
        Self { places: numbers.to_vec(), free: NONE, len: numbers.len() as u32 }
    }

    /// Adds a number, and tells its place.
    pub(crate) fn add(&mut self, no: No<T>) -> u32 {
        self.len += 1;
        if self.free == NONE {
            self.places.push(no);
            return self.places.len() as u32 - 1;
        }
        let place = self.free & !FREE;
        self.free = std::mem::replace(&mut self.places[place as usize], no).bits();
        place
    }

    /// Takes out the number in a place.
    pub(crate) fn remove(&mut self, place: u32) {
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
            return;
        }
        self.places[place as usize] = No::of_bits(self.free);
        self.free = place | FREE;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, by their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = No<T>> {
        self.places.iter().copied().filter(|no| no.bits() & FREE == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(roster: &Roster<()>) -> Vec<u32> {
        roster.iter().map(No::bits).collect()
    }

    #[test]
    fn each_keeps_its_place_and_free_ones_are_filled() {
        let mut roster: Roster<()> = Roster::default();
        let places: Vec<u32> = (10..15).map(|n| roster.add(No::of_bits(n))).collect();
        assert_eq!(places, [0, 1, 2, 3, 4]);
        roster.remove(1);
        roster.remove(3);
        assert_eq!(numbers(&roster), [10, 12, 14]);
        assert_eq!([20, 21, 22].map(|n| roster.add(No::of_bits(n))), [3, 1, 5]);
        assert_eq!(numbers(&roster), [10, 21, 12, 20, 14, 22]);
        [0, 1, 2, 3, 4].into_iter().for_each(|place| roster.remove(place));
        assert!(!roster.is_empty());
        roster.remove(5);
        assert!(roster.is_empty() && numbers(&roster).is_empty());
        assert_eq!(roster.add(No::of_bits(30)), 0);
    }

    #[test]
    fn those_that_came_together_are_in_their_places() {
        let mut roster: Roster<()> = Roster::of(&[No::of_bits(7), No::of_bits(8)]);
        roster.remove(0);
        assert_eq!(numbers(&roster), [8]);
    }
}
