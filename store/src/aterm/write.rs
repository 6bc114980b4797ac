//! Writing a `.drv`, and the two variants of it that are only ever hashed: with its input derivations replaced by hashes,
//! and with its own output paths blanked as well.

use std::collections::BTreeSet;
use std::ops::Range;

use super::NEEDS_ESCAPE;
use crate::{Derivation, Output, OutputName, Sha256, StoreDir, StorePath, hex};

/// The bytes of the `.drv`.
pub(crate) fn write(drv: &Derivation, store: &StoreDir) -> Vec<u8> {
    let mut writer = Writer { store, out: Vec::with_capacity(2048) };
    writer.before_inputs(&drv.outputs, false);
    writer.list(&drv.input_drvs, |writer, (path, names)| {
        writer.out.push(b'(');
        writer.path(path);
        writer.names(names.iter());
    });
    writer.behind_inputs(drv);
    writer.out
}

/// What a derivation is hashed by, but for its inputs: its outputs, and the text behind its input derivations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) outputs: Box<[(OutputName, Output)]>,
    /// Nothing, where the output is fixed: nothing else matters then.
    behind: Option<Behind>,
}

/// The text behind the input derivations.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Behind {
    text: Box<[u8]>,
    /// Where in it the paths of its own outputs stand.
    own: Box<[Range<usize>]>,
}

impl Frame {
    pub(crate) fn of(drv: &Derivation, store: &StoreDir) -> Self {
        let outputs = drv.outputs.iter().map(|(name, output)| (name.clone(), output.clone())).collect();
        let behind = (!drv.is_fixed_output()).then(|| {
            let mut writer = Writer { store, out: Vec::with_capacity(2048) };
            let own = writer.behind_inputs(drv);
            Behind { text: writer.out.into(), own: own.into() }
        });
        Self { outputs, behind }
    }

    /// What is hashed in place of the `.drv`, with its output paths and without; `inputs` are the hashes that stand for its
    /// input derivations, in the order of these, and what it wants of each.
    pub(crate) fn write_modulo(&self, store: &StoreDir, inputs: Vec<(Sha256, &BTreeSet<OutputName>)>) -> [Vec<u8>; 2] {
        let (text, own) = self.behind.as_ref().map_or((&[][..], &[][..]), |behind| (&behind.text, &behind.own));
        let mut section = Writer { store, out: Vec::new() };
        section.replaced_inputs(inputs);
        [false, true].map(|mask| {
            let mut writer = Writer { store, out: Vec::with_capacity(512 + section.out.len() + text.len()) };
            writer.before_inputs(self.outputs.iter().map(|(name, output)| (name, output)), mask);
            writer.out.extend_from_slice(&section.out);
            let mut from = 0;
            for path in own.iter().filter(|_| mask) {
                writer.out.extend_from_slice(&text[from..path.start]);
                from = path.end;
            }
            writer.out.extend_from_slice(&text[from..]);
            writer.out
        })
    }
}

struct Writer<'a> {
    store: &'a StoreDir,
    out: Vec<u8>,
}

impl Writer<'_> {
    /// `Derive([outputs],`; the outputs without their paths, if they are masked.
    fn before_inputs<'o>(&mut self, outputs: impl IntoIterator<Item = (&'o OutputName, &'o Output)>, mask: bool) {
        self.out.extend_from_slice(b"Derive(");
        self.list(outputs, |writer, (name, output)| {
            writer.out.push(b'(');
            writer.plain(name.as_str());
            writer.out.push(b',');
            if mask {
                writer.plain("")
            } else {
                writer.path(&output.path)
            }
            writer.out.push(b',');
            let (algo, hash) = output.fixed.map(|fixed| (fixed.method_algo(), fixed.digest.to_hex())).unwrap_or_default();
            writer.plain(&algo);
            writer.out.push(b',');
            writer.plain(&hash);
            writer.out.push(b')');
        });
        self.out.push(b',');
    }

    /// `,[sources],system,builder,[args],[env])`. Gives where the paths of its own outputs stand in what is written.
    fn behind_inputs(&mut self, drv: &Derivation) -> Vec<Range<usize>> {
        self.out.push(b',');
        self.list(&drv.input_srcs, Self::path);
        self.out.push(b',');
        self.string(drv.system.as_bytes());
        self.out.push(b',');
        self.string(&drv.builder);
        self.out.push(b',');
        self.list(&drv.args, |writer, arg| writer.string(arg));
        self.out.push(b',');
        let mut own = Vec::new();
        self.list(&drv.env, |writer, (name, value)| {
            writer.out.push(b'(');
            writer.string(name);
            writer.out.push(b',');
            let start = writer.out.len();
            writer.string(value);
            if str::from_utf8(name).is_ok_and(|name| drv.outputs.contains_key(name)) {
                own.push(start + 1..writer.out.len() - 1);
            }
            writer.out.push(b')');
        });
        self.out.push(b')');
        own
    }

    /// Inputs in the order of their hashes; those with the same hash are one.
    fn replaced_inputs(&mut self, mut inputs: Vec<(Sha256, &BTreeSet<OutputName>)>) {
        inputs.sort_by_key(|(hash, _)| *hash);
        self.list(inputs.chunk_by(|(a, _), (b, _)| a == b), |writer, same| {
            let [(hash, names), others @ ..] = same else { return };
            writer.out.extend_from_slice(b"(\"");
            hex::append(&mut writer.out, hash.as_bytes());
            writer.out.push(b'"');
            if others.is_empty() {
                writer.names(names.iter());
            } else {
                writer.names(same.iter().flat_map(|(_, names)| *names).collect::<BTreeSet<_>>().into_iter());
            }
        });
    }

    /// `,["a","b"])`, the end of an input derivation.
    fn names<'n>(&mut self, names: impl Iterator<Item = &'n OutputName>) {
        self.out.push(b',');
        self.list(names, |writer, name| writer.plain(name.as_str()));
        self.out.push(b')');
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Self, T)) {
        self.out.push(b'[');
        for (n, next) in items.into_iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            item(self, next);
        }
        self.out.push(b']');
    }

    fn path(&mut self, path: &StorePath) {
        for part in ["\"", self.store.as_str(), "/", path.as_str(), "\""] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    /// A string in which nothing needs an escape.
    fn plain(&mut self, text: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
    }

    fn string(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        let mut rest = bytes;
        while let Some(len) = rest.iter().position(|b| NEEDS_ESCAPE[usize::from(*b)]) {
            self.out.extend_from_slice(&rest[..len]);
            self.out.extend_from_slice(&[b'\\', escape_of(rest[len])]);
            rest = &rest[len + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }
}

/// What stands behind the backslash.
fn escape_of(byte: u8) -> u8 {
    match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        other => other,
    }
}
