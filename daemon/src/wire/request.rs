//! The bytes of one request, gathered so that it leaves in a single write.

/// A request under construction.
#[derive(Debug, Default)]
pub struct Request(Vec<u8>);

impl Request {
    /// A request that begins with the number of an operation.
    pub fn new(operation: u64) -> Self {
        let mut request = Self(Vec::with_capacity(256));
        request.number(operation);
        request
    }

    /// Bytes that are no operation, such as a part of the handshake.
    pub fn bare() -> Self {
        Self::default()
    }

    /// Adds a number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Adds a truth value.
    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.number(value.into())
    }

    /// Adds a string of any bytes.
    pub fn bytes(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }

    /// Adds a list of strings.
    pub fn list<T: AsRef<[u8]>>(&mut self, items: impl ExactSizeIterator<Item = T>) -> &mut Self {
        self.number(items.len() as u64);
        for item in items {
            self.bytes(item);
        }
        self
    }

    /// What is to be written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the buffer up, for a stream to be appended.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_padded_with_zeros_to_a_multiple_of_eight() {
        let mut request = Request::bare();
        request.bytes("abc").bytes("12345678").bytes("");
        let golden = b"\x03\0\0\0\0\0\0\0abc\0\0\0\0\0\x08\0\0\0\0\0\0\x0012345678\0\0\0\0\0\0\0\0";
        assert_eq!(request.as_bytes(), golden);
    }

    #[test]
    fn a_list_is_its_length_and_its_items() {
        let mut request = Request::new(31);
        request.list(["a", "b"].iter()).flag(true);
        let golden = b"\x1f\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0a\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0b\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0";
        assert_eq!(request.as_bytes(), golden);
    }
}
