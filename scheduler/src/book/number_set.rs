//! A set of numbers of paths, and the place of each among them: a bit for each number there is, so that what many builds
//! speak of is put together in little room and without hashing.

const BITS: u64 = u64::BITS as u64;

/// Some of the numbers below a bound.
#[derive(Debug)]
pub(super) struct NumberSet {
    words: Vec<u64>,
}

impl NumberSet {
    /// None of the numbers below the bound.
    pub(super) fn below(bound: u64) -> Self {
        Self { words: vec![0; bound.div_ceil(BITS) as usize] }
    }

    /// Adds a number; false where it is far beyond the bound.
    #[must_use]
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let word = self.words.get_mut((number / BITS) as usize);
        word.map(|word| *word |= 1 << (number % BITS)).is_some()
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.words.iter().zip(0..).flat_map(|(word, n)| {
            let ones = std::iter::successors(Some(*word), |rest| Some(rest & rest.wrapping_sub(1)));
            ones.take_while(|rest| *rest != 0).map(move |rest| n * BITS + u64::from(rest.trailing_zeros()))
        })
    }

    /// Counts them, so that places can be asked for.
    pub(super) fn count(self) -> Places {
        let mut sum = 0;
        let count = |word: &u64| {
            let before = sum;
            sum += word.count_ones() as usize;
            before
        };
        let before = self.words.iter().map(count).collect();
        Places { set: self, before }
    }
}

/// A set of numbers that does not change any more.
#[derive(Debug)]
pub(super) struct Places {
    set: NumberSet,
    /// How many there are before each word.
    before: Vec<usize>,
}

impl Places {
    /// How many of the set's numbers are less than that one, which must be one of them.
    pub(super) fn place(&self, number: u64) -> Option<usize> {
        let n = (number / BITS) as usize;
        let (word, bit) = (*self.set.words.get(n)?, 1 << (number % BITS));
        (word & bit != 0).then(|| self.before[n] + (word & (bit - 1)).count_ones() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_order_and_have_their_places() {
        let numbers = [0, 5, 63, 64, 65, 127, 1000, 1023];
        let mut set = NumberSet::below(1024);
        assert!(numbers.iter().rev().chain(&numbers).all(|number| set.insert(*number)));
        assert!(!set.insert(1024) && !set.insert(u64::MAX));
        assert!(set.iter().eq(numbers));
        let places = set.count();
        assert!(numbers.iter().enumerate().all(|(place, number)| places.place(*number) == Some(place)));
        assert!([1, 66, 1022, 1024, u64::MAX].iter().all(|other| places.place(*other).is_none()));
    }

    #[test]
    fn a_set_of_nothing_has_no_numbers() {
        assert_eq!(NumberSet::below(0).iter().count(), 0);
        assert_eq!(NumberSet::below(100).count().place(0), None);
    }
}
