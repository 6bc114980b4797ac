//! Whether bytes are what a request says they are. Bytes go in as they come; a verdict comes out. No bucket, no clock.
//!
//! Of an output it is checked that it is the nar that the agent reported, and refers to what was reported and to
//! nothing else that it could know of; that an attempt may make this path is the scheduler's knowledge. Of a source,
//! and of an output whose content is fixed, the path is computed from the content as well.

use std::collections::BTreeSet;

use drover_messages::publish::{Origin, Publish};
use drover_messages::request::Nar;
use drover_store::nar::{NarParser, NarSink};
use drover_store::{ContentAddress, RefScanner, Sha256Hasher, StorePath};

use super::{ContentDigest, Refusal, Unzip};

/// Bytes that are what they should be. Only [`Verification::finish`] makes one.
#[derive(Debug)]
pub struct Verified {
    references: Vec<StorePath>,
    ca: Option<ContentAddress>,
}

impl Verified {
    /// What it refers to, itself included, in order.
    pub fn references(&self) -> &[StorePath] {
        &self.references
    }

    /// The proof of its path, if its path follows from its content.
    pub fn ca(&self) -> Option<&ContentAddress> {
        self.ca.as_ref()
    }
}

/// The reading of one object.
pub struct Verification<'a> {
    request: &'a Publish,
    references: BTreeSet<StorePath>,
    file: Sha256Hasher,
    file_size: u64,
    unzip: Unzip,
    reading: Reading,
}

impl<'a> Verification<'a> {
    /// Before the first byte.
    pub fn new(request: &'a Publish) -> Result<Self, Refusal> {
        Ok(Self {
            request,
            references: request.references.iter().cloned().collect(),
            file: Sha256Hasher::new(),
            file_size: 0,
            unzip: Unzip::new(request.nar.nar_size).map_err(Refusal::not_zstd)?,
            reading: Reading::new(request),
        })
    }

    /// Takes the next bytes of the object, and shows to `tap` what they are of the nar. Stops at the first that cannot be
    /// right.
    pub fn feed(&mut self, bytes: &[u8], mut tap: impl FnMut(&[u8])) -> Result<(), Refusal> {
        self.file_size += bytes.len() as u64;
        if self.file_size > self.request.nar.file_size {
            return Err(self.wrong_file_size());
        }
        self.file.update(bytes);
        let reading = &mut self.reading;
        self.unzip.push(bytes, |nar| {
            reading.feed(nar)?;
            tap(nar);
            Ok(())
        })
    }

    /// After the last byte.
    pub fn finish(self) -> Result<Verified, Refusal> {
        let claimed = &self.request.nar;
        if self.file_size != claimed.file_size {
            return Err(self.wrong_file_size());
        }
        let file_hash = self.file.finish();
        if file_hash != claimed.file_hash {
            return Err(Refusal::FileHash { claimed: claimed.file_hash, found: file_hash });
        }
        if !self.unzip.is_whole() {
            return Err(Refusal::NotZstd("it ends too early".into()));
        }
        let found = self.reading.finish(claimed)?;
        let ca = check(self.request, &self.references, found)?;
        Ok(Verified { references: self.references.into_iter().collect(), ca })
    }

    fn wrong_file_size(&self) -> Refusal {
        Refusal::FileSize { claimed: self.request.nar.file_size, found: self.file_size }
    }
}

/// The nar as it passes by.
struct Reading {
    parser: NarParser,
    hasher: Sha256Hasher,
    expected: u64,
    references: RefScanner,
    content: Option<ContentDigest>,
}

/// What stands in the nar.
struct Found {
    references: BTreeSet<StorePath>,
    content: Option<ContentDigest>,
}

struct Nothing;

impl NarSink for Nothing {}

impl Reading {
    fn new(request: &Publish) -> Self {
        let (candidates, address): (&[_], _) = match &request.origin {
            Origin::Output { candidates, ca, .. } => (candidates, ca.as_ref()),
            Origin::Source { ca, .. } => (&[], Some(ca)),
        };
        let own = request.references.contains(&request.path).then_some(&request.path);
        // The references of a source are part of its path. Nothing else says what it could refer to.
        let references = match &request.origin {
            Origin::Output { .. } => {
                RefScanner::new(candidates.iter().chain(&request.references).chain([&request.path]).collect::<BTreeSet<_>>())
            }
            Origin::Source { .. } => RefScanner::new([]),
        };
        Self {
            parser: NarParser::new(),
            hasher: Sha256Hasher::new(),
            expected: request.nar.nar_size,
            references,
            content: address.map(|address| ContentDigest::new(address, own)),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let size = self.parser.position() + bytes.len() as u64;
        if size > self.expected {
            return Err(Refusal::NarSize { claimed: self.expected, found: size });
        }
        let taken = match &mut self.content {
            Some(content) => {
                content.nar(bytes);
                self.parser.feed(bytes, content)?
            }
            None => self.parser.feed(bytes, &mut Nothing)?,
        };
        if taken < bytes.len() {
            // It ended before the bytes did.
            return Err(Refusal::NarSize { claimed: self.expected, found: self.parser.position() });
        }
        self.hasher.update(bytes);
        self.references.feed(bytes);
        Ok(())
    }

    fn finish(self, claimed: &Nar) -> Result<Found, Refusal> {
        let size = self.parser.position();
        if size != claimed.nar_size || !self.parser.is_done() {
            return Err(Refusal::NarSize { claimed: claimed.nar_size, found: size });
        }
        let nar_hash = self.hasher.finish();
        if nar_hash != claimed.nar_hash {
            return Err(Refusal::NarHash { claimed: claimed.nar_hash, found: nar_hash });
        }
        Ok(Found { references: self.references.into_found(), content: self.content })
    }
}

/// What the bytes are of, now that they are known to be the bytes in question.
fn check(request: &Publish, declared: &BTreeSet<StorePath>, found: Found) -> Result<Option<ContentAddress>, Refusal> {
    let address = match &request.origin {
        Origin::Output { ca, .. } => {
            check_references(declared, &found.references)?;
            ca.as_ref()
        }
        Origin::Source { ca, .. } => Some(ca),
    };
    let (Some(address), Some(content)) = (address, found.content) else { return Ok(None) };
    check_address(request, declared, address, content)?;
    Ok(Some(*address))
}

fn check_references(declared: &BTreeSet<StorePath>, found: &BTreeSet<StorePath>) -> Result<(), Refusal> {
    let undeclared: Vec<StorePath> = found.difference(declared).cloned().collect();
    if !undeclared.is_empty() {
        return Err(Refusal::UndeclaredReferences(undeclared));
    }
    let absent: Vec<StorePath> = declared.difference(found).cloned().collect();
    if !absent.is_empty() {
        return Err(Refusal::AbsentReferences(absent));
    }
    Ok(())
}

fn check_address(
    request: &Publish,
    references: &BTreeSet<StorePath>,
    address: &ContentAddress,
    content: ContentDigest,
) -> Result<(), Refusal> {
    let found = content.finish().ok_or(Refusal::NotOneFile)?;
    let promised = match address {
        ContentAddress::Text(hash) => (*hash).into(),
        ContentAddress::Fixed(fixed) => fixed.digest,
    };
    if found != promised {
        return Err(Refusal::Content { promised: promised.to_string(), found: found.to_string() });
    }
    match address.is_of(&request.store_dir, &request.path, references) {
        true => Ok(()),
        false => Err(Refusal::Path),
    }
}
