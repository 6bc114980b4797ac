//! Reading a `.drv`: one pass, no recursion, no look-ahead beyond a byte. What is kept is a small multiple of the input.

use std::collections::{BTreeMap, BTreeSet};

use super::{DrvFault, DrvParseError, NEEDS_ESCAPE};
use crate::{Derivation, DrvPath, FixedHash, Output, OutputName, StoreDir, StorePath};

/// The largest `.drv` that is read, in bytes. The largest in Guix 1.5 has 175,494.
pub const MAX_DRV_BYTES: usize = 16 << 20;

/// Reads a whole `.drv`.
pub(crate) fn read(store: &StoreDir, input: &[u8]) -> Result<Derivation, DrvParseError> {
    let mut reader = Reader { store, input, at: 0 };
    reader.derivation().map_err(|fault| DrvParseError { at: reader.at, fault })
}

/// Its position is that of the next byte, or of what was wrong once something is.
struct Reader<'a> {
    store: &'a StoreDir,
    input: &'a [u8],
    at: usize,
}

type Result_<T> = Result<T, DrvFault>;

impl<'a> Reader<'a> {
    fn derivation(&mut self) -> Result_<Derivation> {
        if self.input.len() > MAX_DRV_BYTES {
            return Err(DrvFault::TooLarge);
        }
        if self.input.starts_with(b"DrvWithVersion(") {
            return Err(DrvFault::Unsupported("a dynamic derivation"));
        }
        self.expect(b"Derive([", "Derive([")?;
        let outputs = self.outputs()?;
        self.expect(b",[", ",[ before the input derivations")?;
        let input_drvs = self.input_drvs()?;
        self.expect(b",[", ",[ before the input sources")?;
        let input_srcs = self.sorted_list("sources are not sorted", Self::store_path)?;
        self.expect(b",", "a comma before the system")?;
        let system = self.system()?;
        self.expect(b",", "a comma before the builder")?;
        let builder = self.bytes()?;
        self.expect(b",[", ",[ before the arguments")?;
        let args = self.list(Self::bytes)?;
        self.expect(b",[", ",[ before the environment")?;
        let env = self.env()?;
        self.expect(b")", ") at the end")?;
        if self.at < self.input.len() {
            return Err(DrvFault::Expected("nothing behind the derivation"));
        }
        Ok(Derivation { outputs, input_drvs, input_srcs: BTreeSet::from_iter(input_srcs), system, builder, args, env })
    }

    fn outputs(&mut self) -> Result_<BTreeMap<OutputName, Output>> {
        let start = self.at;
        let outputs = self.sorted_map("outputs are not sorted", Self::output_name, Self::output)?;
        let wrong = match outputs.as_slice() {
            [] => Some(DrvFault::Expected("at least one output")),
            [(name, output)] if output.fixed.is_some() && *name != OutputName::OUT => {
                Some(DrvFault::Unsupported("a fixed output whose name is not out"))
            }
            [_] => None,
            several => several
                .iter()
                .any(|(_, output)| output.fixed.is_some())
                .then_some(DrvFault::Unsupported("a fixed output among others")),
        };
        match wrong {
            Some(fault) => self.fail_at(start, fault),
            None => Ok(BTreeMap::from_iter(outputs)),
        }
    }

    /// `,"path","algo","hash"`, behind the output's name.
    fn output(&mut self) -> Result_<Output> {
        self.expect(b",", "a comma before the output's path")?;
        if self.input[self.at..].starts_with(b"\"\"") {
            return Err(DrvFault::Unsupported("an output whose path is known only when it is built"));
        }
        let path = self.store_path()?;
        self.expect(b",", "a comma before the output's hash algorithm")?;
        let start = self.at;
        let algo = self.plain()?;
        self.expect(b",", "a comma before the output's hash")?;
        let hash = self.plain()?;
        if algo.is_empty() && hash.is_empty() {
            return Ok(Output { path, fixed: None });
        }
        match FixedHash::parse(&String::from_utf8_lossy(algo), &String::from_utf8_lossy(hash)) {
            Ok(fixed) => Ok(Output { path, fixed: Some(fixed) }),
            Err(e) => self.fail_at(start, e.into()),
        }
    }

    fn input_drvs(&mut self) -> Result_<BTreeMap<DrvPath, BTreeSet<OutputName>>> {
        let drvs = self.sorted_map("input derivations are not sorted", Self::drv_path, |reader| {
            reader.expect(b",[", ",[ before the names of outputs")?;
            let names = reader.sorted_list("names of outputs are not sorted", Self::output_name)?;
            Ok(BTreeSet::from_iter(names))
        })?;
        Ok(BTreeMap::from_iter(drvs))
    }

    fn env(&mut self) -> Result_<BTreeMap<Vec<u8>, Vec<u8>>> {
        let env = self.sorted_map("the environment is not sorted", Self::bytes, |reader| {
            reader.expect(b",", "a comma before the variable's value")?;
            reader.bytes()
        })?;
        Ok(BTreeMap::from_iter(env))
    }

    fn system(&mut self) -> Result_<String> {
        let start = self.at;
        match String::from_utf8(self.bytes()?) {
            Ok(system) => Ok(system),
            Err(_) => self.fail_at(start, DrvFault::Expected("a system in UTF-8")),
        }
    }

    /// The rest of a list behind its `[`.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result_<T>) -> Result_<Vec<T>> {
        let mut items = Vec::new();
        if self.skip(b']') {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.skip(b']') {
                return Ok(items);
            }
            self.expect(b",", "a comma or ] in a list")?;
        }
    }

    /// A list of which each item is greater than the one before.
    fn sorted_list<T: Ord>(&mut self, rule: &'static str, item: impl Fn(&mut Self) -> Result_<T>) -> Result_<Vec<T>> {
        let mut items = Vec::new();
        self.list(|reader| {
            let start = reader.at;
            let next = item(reader)?;
            if items.last().is_some_and(|last| *last >= next) {
                return reader.fail_at(start, DrvFault::NotCanonical(rule));
            }
            items.push(next);
            Ok(())
        })?;
        Ok(items)
    }

    /// A list of `(key, …)` of which each key is greater than the one before.
    fn sorted_map<K: Ord, V>(
        &mut self,
        rule: &'static str,
        key: impl Fn(&mut Self) -> Result_<K>,
        value: impl Fn(&mut Self) -> Result_<V>,
    ) -> Result_<Vec<(K, V)>> {
        let mut items: Vec<(K, V)> = Vec::new();
        self.list(|reader| {
            reader.expect(b"(", "( in a list")?;
            let start = reader.at;
            let next = key(reader)?;
            if items.last().is_some_and(|(last, _)| *last >= next) {
                return reader.fail_at(start, DrvFault::NotCanonical(rule));
            }
            items.push((next, value(reader)?));
            reader.expect(b")", ") in a list")
        })?;
        Ok(items)
    }

    fn store_path(&mut self) -> Result_<StorePath> {
        let start = self.at;
        let text = self.plain()?;
        let base = text.strip_prefix(self.store.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
        match base.map(StorePath::from_bytes) {
            Some(Ok(path)) => Ok(path),
            Some(Err(e)) => self.fail_at(start, e.into()),
            None => self.fail_at(start, DrvFault::Expected("a path in the store directory")),
        }
    }

    fn drv_path(&mut self) -> Result_<DrvPath> {
        let start = self.at;
        let path = self.store_path()?;
        path.try_into().or_else(|e: crate::ParseError| self.fail_at(start, e.into()))
    }

    fn output_name(&mut self) -> Result_<OutputName> {
        let start = self.at;
        let name = self.plain()?;
        OutputName::from_bytes(name).or_else(|e| self.fail_at(start, e.into()))
    }

    /// A string in which nothing needs an escape.
    fn plain(&mut self) -> Result_<&'a [u8]> {
        self.expect(b"\"", "a string")?;
        let run = self.run();
        self.expect(b"\"", "the end of a string without escapes")?;
        Ok(run)
    }

    /// Any string.
    fn bytes(&mut self) -> Result_<Vec<u8>> {
        self.expect(b"\"", "a string")?;
        let mut bytes = self.run().to_vec();
        loop {
            match self.input.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(bytes);
                }
                Some(b'\\') => bytes.push(self.escape()?),
                Some(_) => return Err(DrvFault::NotCanonical("a control character without its escape")),
                None => return Err(DrvFault::Expected("the end of a string")),
            }
            bytes.extend_from_slice(self.run());
        }
    }

    /// The bytes up to the next that ends a string, begins an escape, or needs one.
    fn run(&mut self) -> &'a [u8] {
        let rest = &self.input[self.at..];
        let len = rest.iter().position(|b| NEEDS_ESCAPE[usize::from(*b)]).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn escape(&mut self) -> Result_<u8> {
        let byte = match self.input.get(self.at + 1) {
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => return Err(DrvFault::NotCanonical("an escape that no writer uses")),
        };
        self.at += 2;
        Ok(byte)
    }

    fn skip(&mut self, byte: u8) -> bool {
        let there = self.input.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, literal: &[u8], what: &'static str) -> Result_<()> {
        if !self.input[self.at..].starts_with(literal) {
            return Err(DrvFault::Expected(what));
        }
        self.at += literal.len();
        Ok(())
    }

    fn fail_at<T>(&mut self, at: usize, fault: DrvFault) -> Result_<T> {
        self.at = at;
        Err(fault)
    }
}
