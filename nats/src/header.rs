//! Headers: what a person sees of a message without reading its body, and what says how the body is written.

use std::any::Any;

use async_nats::{HeaderMap, HeaderName};
use drover_messages::{Format, Message, bundle};

pub(crate) const CONTENT_TYPE: &str = "Content-Type";
pub(crate) const KIND: &str = "Kind";
/// Of what kind the messages in a bundle are.
pub(crate) const OF: &str = "Of";
/// How many there are, where one message is of several.
pub(crate) const COUNT: &str = "Count";
/// Why a message was set aside.
pub(crate) const REASON: &str = "Reason";
/// Where a message that was set aside came from.
pub(crate) const CAME_ON: &str = "Came-On";
/// The place of a chunk in its log, in bytes.
pub(crate) const OFFSET: &str = "Offset";
/// How many bytes before this chunk were dropped.
pub(crate) const GAP: &str = "Gap";
/// The micro service protocol's own way to say that a request failed.
pub(crate) const SERVICE_ERROR: &str = "Nats-Service-Error";

pub(crate) const JSON: &str = "application/json";

/// The longest value, in bytes, of a header that carries words.
const MAX_WORDS_BYTES: usize = 1024;

pub(crate) fn of<M: Message + Any>(message: &M, format: Format) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if format == Format::Json {
        headers.insert(HeaderName::from_static(CONTENT_TYPE), JSON);
    }
    headers.insert(HeaderName::from_static(KIND), kind::<M>());
    for (name, value) in crate::labels::of(message) {
        headers.insert(HeaderName::from_static(name), words(value));
    }
    headers
}

pub(crate) fn of_bundle<M: Message>(count: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(KIND), bundle::KIND);
    headers.insert(HeaderName::from_static(OF), kind::<M>());
    headers.insert(HeaderName::from_static(COUNT), count.to_string());
    headers
}

fn kind<M: Message>() -> String {
    format!("{}/{}", M::KIND, M::VERSION)
}

/// How the body is written: JSON where the header says so, MessagePack where it says nothing.
pub(crate) fn format(headers: &HeaderMap) -> Format {
    let json = headers.iter().any(|(name, values)| {
        AsRef::<str>::as_ref(name).eq_ignore_ascii_case(CONTENT_TYPE)
            && values.iter().any(|value| value.as_str().starts_with(JSON))
    });
    if json { Format::Json } else { Format::MessagePack }
}

pub(crate) fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.as_str())
}

/// Words that fit into a header: one bounded line. Mostly they do already.
pub(crate) fn words(text: impl Into<String>) -> String {
    let mut line = text.into();
    if line.contains(char::is_control) {
        line = line.replace(char::is_control, " ");
    }
    line.truncate(line.floor_char_boundary(MAX_WORDS_BYTES));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_believed_only_where_the_header_says_so_in_any_case() {
        let mut headers = HeaderMap::new();
        assert_eq!(format(&headers), Format::MessagePack);
        headers.insert("content-type", "application/json; charset=utf-8");
        assert_eq!(format(&headers), Format::Json);
    }

    #[test]
    fn words_become_one_bounded_line() {
        assert_eq!(words("a\r\nb"), "a  b");
        assert_eq!(words("ü".repeat(MAX_WORDS_BYTES)).len(), MAX_WORDS_BYTES);
        assert_eq!(words(format!("a{}", "ü".repeat(MAX_WORDS_BYTES))).len(), MAX_WORDS_BYTES - 1);
    }
}
