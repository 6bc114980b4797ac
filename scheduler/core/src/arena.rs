//! Things by number. What is linked a million times is linked by four bytes and found by an index, not by its name.
//!
//! A number is used again when its thing is gone: whoever removes a thing has removed every link to it.

use std::fmt;
use std::marker::PhantomData;

/// The number of a thing of this kind.
pub(crate) struct No<T>(u32, PhantomData<fn() -> T>);

impl<T> No<T> {
    /// Its place in a list that has one for each thing.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// The number itself; there are less than half of what it could say.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn of_bits(bits: u32) -> Self {
        Self(bits, PhantomData)
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

/// Places that are made together. Nothing is moved when more are needed.
const CHUNK: usize = 1024;

/// Things, each under its number.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<No<T>>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Arena<T> {
    pub(crate) fn add(&mut self, thing: T) -> No<T> {
        if let Some(no) = self.free.pop() {
            self.chunks[no.index() / CHUNK][no.index() % CHUNK] = Some(thing);
            return no;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let last = &mut self.chunks[before / CHUNK];
        last.push(Some(thing));
        No((before + last.len() - 1) as u32, PhantomData)
    }

    pub(crate) fn take(&mut self, no: No<T>) -> Option<T> {
        let thing = self.chunks.get_mut(no.index() / CHUNK)?.get_mut(no.index() % CHUNK)?.take()?;
        self.free.push(no);
        Some(thing)
    }

    pub(crate) fn get(&self, no: No<T>) -> Option<&T> {
        self.chunks.get(no.index() / CHUNK)?.get(no.index() % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, no: No<T>) -> Option<&mut T> {
        self.chunks.get_mut(no.index() / CHUNK)?.get_mut(no.index() % CHUNK)?.as_mut()
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }

    /// All of them, each with its number.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (No<T>, &T)> {
        let places = self.chunks.iter().enumerate().flat_map(|(n, chunk)| chunk.iter().zip(n * CHUNK..));
        places.filter_map(|(thing, n)| Some((No(n as u32, PhantomData), thing.as_ref()?)))
    }

    /// All of them, each with its number, to be changed.
    pub(crate) fn numbered_mut(&mut self) -> impl Iterator<Item = (No<T>, &mut T)> {
        let places = self.chunks.iter_mut().enumerate().flat_map(|(n, chunk)| chunk.iter_mut().zip(n * CHUNK..));
        places.filter_map(|(thing, n)| Some((No(n as u32, PhantomData), thing.as_mut()?)))
    }

    /// A list for all numbers that there are.
    pub(crate) fn list_of<V: Clone>(&self, value: V) -> Vec<V> {
        vec![value; self.chunks.len() * CHUNK]
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
        assert_eq!(arena.take(b), Some("b"));
        assert_eq!(arena.numbered().collect::<Vec<_>>(), [(a, &"c")]);
    }

    #[test]
    fn there_is_always_room_for_more() {
        let mut arena = Arena::default();
        let numbers: Vec<No<usize>> = (0..2 * CHUNK + 1).map(|n| arena.add(n)).collect();
        assert!(numbers.iter().enumerate().all(|(n, no)| arena.get(*no) == Some(&n)));
        assert!(arena.iter().copied().eq(0..2 * CHUNK + 1));
    }
}
