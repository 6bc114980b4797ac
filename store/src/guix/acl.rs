//! Whom a machine with Guix trusts: `/etc/guix/acl`, which `guix archive --authorize` adds to.

use super::{PublicKey, Sexp, Signature};
use crate::ParseError;

/// The largest list that is read, in bytes.
pub const MAX_ACL_BYTES: usize = 1 << 20;

/// The keys whose items are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acl(Vec<PublicKey>);

impl Acl {
    /// Reads `(acl (entry (public-key …) (tag (guix import))) …)`. Keys of kinds that are not known here, and entries for
    /// anything but importing, are passed over.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let refuse = |why| ParseError::new("a list of authorised keys", text, why);
        if text.len() > MAX_ACL_BYTES {
            return Err(refuse("it is too long"));
        }
        let sexp = Sexp::parse(text.as_bytes()).map_err(|error| refuse(error.why()))?;
        let entries = sexp.behind("acl").ok_or_else(|| refuse("it begins with another word"))?;
        Ok(Self(entries.iter().filter_map(import_key).collect()))
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.0
    }

    /// Whether a signature is good, and by one of these keys.
    pub fn accepts(&self, signature: &Signature) -> bool {
        self.0.contains(signature.key()) && signature.verify()
    }
}

impl FromIterator<PublicKey> for Acl {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

/// The key of an entry that is for importing.
fn import_key(entry: &Sexp) -> Option<PublicKey> {
    let [key, tag] = entry.behind("entry")? else { return None };
    let [what] = tag.behind("tag")? else { return None };
    let for_import = matches!(what.behind("guix")?, [word] if word.is("import"));
    PublicKey::from_sexp(key).ok().filter(|_| for_import)
}
