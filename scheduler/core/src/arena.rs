//! Things by number. What is linked a million times is linked by four bytes and found by an index, not by its name.
//!
//! A number is used again when its thing is gone: whoever removes a thing has removed every link to it.

use std::fmt;
use std::marker::PhantomData;

/// The number of a thing of this kind.
pub(crate) struct No<T>(u32, PhantomData<fn() -> T>);

impl<T> No<T> {
    fn index(self) -> usize {
        self.0 as usize
    }
}

impl<T> Clone for No<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for No<T> {}

impl<T> PartialEq for No<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for No<T> {}

impl<T> PartialOrd for No<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for No<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> fmt::Debug for No<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Things, each under its number.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    places: Vec<Option<T>>,
    free: Vec<No<T>>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Arena<T> {
    pub(crate) fn add(&mut self, thing: T) -> No<T> {
        if let Some(no) = self.free.pop() {
            self.places[no.index()] = Some(thing);
            return no;
        }
        self.places.push(Some(thing));
        No((self.places.len() - 1) as u32, PhantomData)
    }

    pub(crate) fn take(&mut self, no: No<T>) -> Option<T> {
        let thing = self.places.get_mut(no.index())?.take()?;
        self.free.push(no);
        Some(thing)
    }

    pub(crate) fn get(&self, no: No<T>) -> Option<&T> {
        self.places.get(no.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, no: No<T>) -> Option<&mut T> {
        self.places.get_mut(no.index())?.as_mut()
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_when_its_thing_is_gone() {
        let mut arena = Arena::default();
        let (a, b) = (arena.add("a"), arena.add("b"));
        assert_eq!(arena.take(a), Some("a"));
        assert_eq!((arena.get(a), arena.get(b)), (None, Some(&"b")));
        assert_eq!(arena.add("c"), a);
        assert_eq!(arena.iter().collect::<Vec<_>>(), [&"c", &"b"]);
    }
}
