//! S-expressions as libgcrypt reads and writes them (Rivest's): atoms are bytes, and have several spellings.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::ParseError;

/// The deepest nesting that is read.
pub const MAX_SEXP_DEPTH: usize = 32;

/// Bytes that a token may have besides letters and digits.
const TOKEN_SPECIALS: &[u8] = b"-./_:*+=";

/// An atom or a list. Shown in the many lines that libgcrypt calls the advanced format, byte for byte, but that an atom
/// which is no token is always written in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sexp {
    /// Some bytes.
    Atom(Vec<u8>),
    /// Any number of expressions.
    List(Vec<Sexp>),
}

impl Sexp {
    /// An atom that is a word.
    pub fn word(word: &str) -> Self {
        Self::Atom(word.into())
    }

    /// A list that begins with a word.
    pub fn list(head: &str, tail: impl IntoIterator<Item = Sexp>) -> Self {
        Self::List([Self::word(head)].into_iter().chain(tail).collect())
    }

    /// A list of a word and some bytes: `(q #…#)`.
    pub fn pair(head: &str, bytes: &[u8]) -> Self {
        Self::list(head, [Self::Atom(bytes.into())])
    }

    /// Reads one expression, and white space around it. Errors show nothing of the text, which may be secret.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader { rest: text };
        reader.expression(0).and_then(|expression| reader.end().map(|()| expression)).map_err(refuse)
    }

    /// What stands behind `head` in a list that begins with it.
    pub fn behind(&self, head: &str) -> Option<&[Sexp]> {
        match self {
            Self::List(all) => all.split_first().filter(|(first, _)| first.is(head)).map(|(_, tail)| tail),
            Self::Atom(_) => None,
        }
    }

    /// The first list that begins with `head` among those in this one.
    pub fn find(&self, head: &str) -> Option<&Sexp> {
        match self {
            Self::List(all) => all.iter().find(|one| one.behind(head).is_some()),
            Self::Atom(_) => None,
        }
    }

    /// The bytes of a pair in this list: `b` in `(… (head b) …)`.
    pub fn bytes(&self, head: &str) -> Option<&[u8]> {
        match self.find(head)?.behind(head)? {
            [Self::Atom(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Whether it is this word.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(bytes) if bytes == word.as_bytes())
    }
}

fn refuse(why: &'static str) -> ParseError {
    ParseError::new("an S-expression", "", why)
}

/// Reads from the front of what is left.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn expression(&mut self, depth: usize) -> Result<Sexp, &'static str> {
        self.skip_space();
        let (first, behind) = self.rest.split_first().ok_or("it is cut off")?;
        match first {
            b'(' => {
                self.rest = behind;
                self.list(depth)
            }
            b'#' => self.hexadecimal(behind),
            b'|' => self.base64(behind),
            b'"' => self.quoted(behind),
            b'0'..=b'9' => self.counted(),
            _ => self.token(),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Sexp, &'static str> {
        if depth == MAX_SEXP_DEPTH {
            return Err("it is nested too deeply");
        }
        let mut all = Vec::new();
        loop {
            self.skip_space();
            if let Some(behind) = self.rest.strip_prefix(b")") {
                self.rest = behind;
                return Ok(Sexp::List(all));
            }
            all.push(self.expression(depth + 1)?);
        }
    }

    /// What stands before the next `end`, without white space.
    fn enclosed(&mut self, text: &'a [u8], end: u8) -> Result<String, &'static str> {
        let length = text.iter().position(|byte| *byte == end).ok_or("it is cut off")?;
        self.rest = &text[length + 1..];
        let digits: Vec<u8> = text[..length].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        String::from_utf8(digits).map_err(|_| "a character in it may not stand there")
    }

    fn hexadecimal(&mut self, text: &'a [u8]) -> Result<Sexp, &'static str> {
        let digits = self.enclosed(text, b'#')?.to_ascii_lowercase();
        crate::hex::decode(&digits).map(Sexp::Atom).ok_or("between its signs # there is more than pairs of digits")
    }

    fn base64(&mut self, text: &'a [u8]) -> Result<Sexp, &'static str> {
        let digits = self.enclosed(text, b'|')?;
        BASE64.decode(digits).map(Sexp::Atom).map_err(|_| "between its signs | there is more than base64")
    }

    fn quoted(&mut self, text: &'a [u8]) -> Result<Sexp, &'static str> {
        let length = text.iter().position(|byte| *byte == b'"').ok_or("it is cut off")?;
        let inside = &text[..length];
        self.rest = &text[length + 1..];
        // Nothing that Guix writes into a key, a signature or an ACL needs one.
        if inside.contains(&b'\\') { Err("escapes in quotes are not read here") } else { Ok(Sexp::Atom(inside.into())) }
    }

    /// `3:abc`
    fn counted(&mut self) -> Result<Sexp, &'static str> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, behind) = self.rest.split_at(digits);
        let length: usize = str::from_utf8(number).ok().and_then(|n| n.parse().ok()).ok_or("a length in it is too large")?;
        let behind = behind.strip_prefix(b":").ok_or("a word in it begins with a digit")?;
        let (bytes, behind) = behind.split_at_checked(length).ok_or("it is cut off")?;
        self.rest = behind;
        Ok(Sexp::Atom(bytes.into()))
    }

    fn token(&mut self) -> Result<Sexp, &'static str> {
        let length = self.rest.iter().take_while(|byte| is_token(**byte)).count();
        let (token, behind) = self.rest.split_at(length);
        self.rest = behind;
        if token.is_empty() { Err("a character in it may not stand there") } else { Ok(Sexp::Atom(token.into())) }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn end(&mut self) -> Result<(), &'static str> {
        self.skip_space();
        if self.rest.is_empty() { Ok(()) } else { Err("there is something behind it") }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || TOKEN_SPECIALS.contains(&byte)
}

impl fmt::Display for Sexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self, 0, f)?;
        f.write_str("\n")
    }
}

/// libgcrypt's `sexp.c`, `_gcry_sexp_sprint`: a list begins a line of its own, and so does what follows a list.
fn write(sexp: &Sexp, indent: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let all = match sexp {
        Sexp::Atom(bytes) => return write_atom(bytes, f),
        Sexp::List(all) => all,
    };
    f.write_str("(")?;
    let mut after_list = false;
    for (n, one) in all.iter().enumerate() {
        let is_list = matches!(one, Sexp::List(_));
        if n > 0 && !after_list {
            f.write_str(" ")?;
        }
        if is_list || after_list {
            write!(f, "\n{:width$}", "", width = indent + 1)?;
        }
        write(one, indent + 1, f)?;
        after_list = is_list;
    }
    if after_list {
        write!(f, "\n{:width$}", "", width = indent + 1)?;
    }
    f.write_str(")")
}

fn write_atom(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match str::from_utf8(bytes) {
        Ok(token) if bytes.iter().all(|b| is_token(*b)) && !bytes.first().is_none_or(u8::is_ascii_digit) => f.write_str(token),
        _ => write!(f, "#{}#", crate::hex::encode(bytes).to_ascii_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "(public-key \n (ecc \n  (curve Ed25519)\n  (q #706F094A#)\n  )\n )\n";

    #[test]
    fn a_key_is_written_as_libgcrypt_writes_it() {
        let key = Sexp::parse(KEY.as_bytes()).unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(key.find("ecc").unwrap().bytes("curve"), Some(&b"Ed25519"[..]));
    }

    #[test]
    fn all_spellings_of_an_atom_are_read() {
        let expected = Sexp::list("a", [Sexp::Atom(b"bc d".into()), Sexp::List(vec![])]);
        for text in ["(a #62632064# ())", "(a |YmMg ZA==| ())", "(a \"bc d\"())", "(1:a4:bc d())", " ( a\t4:bc d\n( ) ) \n"] {
            assert_eq!(Sexp::parse(text.as_bytes()).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_or_has_more_behind_it_is_refused() {
        for text in
            ["", "(", "(a", "(a))", "a b", "#6#", "#6", "|a|", "\"a", "\"\\n\"", "9:a", "9a", "99999999999999999999:a", "é"]
        {
            assert!(Sexp::parse(text.as_bytes()).is_err(), "{text:?} was read");
        }
        for len in 0..KEY.trim_end().len() {
            assert!(Sexp::parse(&KEY.as_bytes()[..len]).is_err(), "{len} bytes of it were read");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| ["(".repeat(depth), ")".repeat(depth)].concat();
        assert!(Sexp::parse(nested(MAX_SEXP_DEPTH).as_bytes()).is_ok());
        assert!(Sexp::parse(nested(1 << 20).as_bytes()).is_err());
    }
}
