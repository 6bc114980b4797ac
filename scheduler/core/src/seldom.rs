//! What most builds have none of, and a few something: a farm keeps a million builds, so it takes room only where it is.

use std::collections::BTreeSet;
use std::ops::Deref;

use drover_messages::AgentId;
use drover_messages::request::Terms;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A thing that is mostly the usual one. Read, and written, it is that thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seldom<T>(Option<Box<T>>);

/// A thing that most builds have alike.
pub trait Usual: PartialEq + Sized + 'static {
    /// What most have.
    const USUAL: &'static Self;
}

impl Usual for Terms {
    const USUAL: &'static Self = &Self::NONE;
}

impl Usual for BTreeSet<AgentId> {
    const USUAL: &'static Self = &Self::new();
}

impl<T: Usual> From<T> for Seldom<T> {
    fn from(thing: T) -> Self {
        Self((thing != *T::USUAL).then(|| Box::new(thing)))
    }
}

impl<T: Usual> Deref for Seldom<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::USUAL)
    }
}

impl<T: Usual + Serialize> Serialize for Seldom<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.deref().serialize(serializer)
    }
}

impl<'de, T: Usual + Deserialize<'de>> Deserialize<'de> for Seldom<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_and_written_as_the_thing_it_is() {
        for terms in [Terms::default(), Terms { apart: true, ..Terms::default() }] {
            let seldom = Seldom::from(terms.clone());
            assert_eq!(*seldom, terms);
            let written = rmp_serde::to_vec_named(&terms).unwrap();
            assert_eq!(rmp_serde::to_vec_named(&seldom).unwrap(), written);
            assert_eq!(rmp_serde::from_slice::<Seldom<Terms>>(&written).unwrap(), seldom);
        }
        assert!(Seldom::from(BTreeSet::new()).0.is_none());
    }
}
