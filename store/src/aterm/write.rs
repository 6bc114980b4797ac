//! Writing a `.drv`, and the two variants of it that are only ever hashed: with its input derivations replaced by hashes,
//! and with its own output paths blanked as well.

use std::collections::BTreeSet;

use super::NEEDS_ESCAPE;
use crate::{Derivation, OutputName, Sha256, StoreDir, StorePath, hex};

/// The bytes of the `.drv`.
pub(crate) fn write(drv: &Derivation, store: &StoreDir) -> Vec<u8> {
    let mut writer = Writer { store, out: Vec::with_capacity(2048), mask: false };
    writer.derivation(drv, |writer| {
        writer.list(&drv.input_drvs, |writer, (path, names)| {
            writer.out.push(b'(');
            writer.path(path);
            writer.names(names.iter());
        });
    });
    writer.out
}

/// What is hashed in place of the `.drv`, with its output paths and without; `inputs` are the hashes that stand for its input
/// derivations, in the order of these.
pub(crate) fn write_modulo(drv: &Derivation, store: &StoreDir, inputs: &[Sha256]) -> [Vec<u8>; 2] {
    let mut section = Writer { store, out: Vec::new(), mask: false };
    section.replaced_inputs(drv, inputs);
    [false, true].map(|mask| {
        let mut writer = Writer { store, out: Vec::with_capacity(2048 + section.out.len()), mask };
        writer.derivation(drv, |writer| writer.out.extend_from_slice(&section.out));
        writer.out
    })
}

struct Writer<'a> {
    store: &'a StoreDir,
    out: Vec<u8>,
    mask: bool,
}

impl Writer<'_> {
    fn derivation(&mut self, drv: &Derivation, inputs: impl FnOnce(&mut Self)) {
        self.out.extend_from_slice(b"Derive(");
        self.outputs(drv);
        self.out.push(b',');
        inputs(self);
        self.out.push(b',');
        self.list(&drv.input_srcs, Self::path);
        self.out.push(b',');
        self.string(drv.system.as_bytes());
        self.out.push(b',');
        self.string(&drv.builder);
        self.out.push(b',');
        self.list(&drv.args, |writer, arg| writer.string(arg));
        self.out.push(b',');
        self.env(drv);
        self.out.push(b')');
    }

    /// Inputs in the order of their hashes; those with the same hash are one.
    fn replaced_inputs(&mut self, drv: &Derivation, inputs: &[Sha256]) {
        let mut replaced: Vec<(&Sha256, &BTreeSet<OutputName>)> = inputs.iter().zip(drv.input_drvs.values()).collect();
        replaced.sort_by_key(|(hash, _)| **hash);
        self.list(replaced.chunk_by(|(a, _), (b, _)| a == b), |writer, same| {
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

    fn outputs(&mut self, drv: &Derivation) {
        self.list(&drv.outputs, |writer, (name, output)| {
            writer.out.push(b'(');
            writer.plain(name.as_str());
            writer.out.push(b',');
            if writer.mask {
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
    }

    fn env(&mut self, drv: &Derivation) {
        self.list(&drv.env, |writer, (name, value)| {
            let is_output = || str::from_utf8(name).is_ok_and(|name| drv.outputs.contains_key(name));
            writer.out.push(b'(');
            writer.string(name);
            writer.out.push(b',');
            if writer.mask && is_output() {
                writer.plain("")
            } else {
                writer.string(value)
            }
            writer.out.push(b')');
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
