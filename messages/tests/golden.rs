//! The bytes of every message, as other processes of other versions will meet them.
//!
//! `golden/NAME.hex` is what goes over the wire, `golden/NAME.json` what a person types or reads. A test that fails here
//! says that the wire has changed: old bytes must still be read. A new message, or one whose version grew, is written
//! down with `DROVER_GOLDEN=write cargo test -p drover-messages --test golden`, and looked at.
#![allow(clippy::unwrap_used)]

#[path = "golden/samples.rs"]
mod samples;

use std::any::type_name;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use drover_messages::envelope::to_json;
use drover_messages::{Format, Message, decode, encode};

/// What is compared with the files of one name.
struct Checked {
    name: String,
    kind: &'static str,
    hex: String,
    json: String,
}

/// Reads back what it has written, in both forms; the bytes are compared by the tests.
fn check<M: Message + PartialEq + Debug>(name: &str, message: &M) -> Checked {
    let bytes = encode(message);
    assert_eq!(&decode::<M>(&bytes, Format::MessagePack).unwrap(), message, "{name}");
    let json = format!("{:#}\n", to_json(&bytes).unwrap());
    Checked { name: name.into(), kind: M::KIND, hex: wrapped(&bytes), json }
}

/// The golden files alone, without what this program writes, give the message.
fn read_back<M: Message + PartialEq + Debug>(name: &str, message: &M) {
    let text = std::fs::read_to_string(file(name, "hex")).unwrap();
    assert_eq!(&decode::<M>(&unhex(&text), Format::MessagePack).unwrap(), message, "{name}.hex as {}", type_name::<M>());
    let text = std::fs::read(file(name, "json")).unwrap();
    assert_eq!(&decode::<M>(&text, Format::Json).unwrap(), message, "{name}.json as {}", type_name::<M>());
}

#[test]
fn every_message_is_written_in_the_bytes_that_were_agreed() {
    for one in all() {
        if std::env::var_os("DROVER_GOLDEN").is_some_and(|wish| wish == "write") {
            std::fs::write(file(&one.name, "hex"), &one.hex).unwrap();
            std::fs::write(file(&one.name, "json"), &one.json).unwrap();
        }
        let read = |ending| std::fs::read_to_string(file(&one.name, ending)).unwrap_or_default();
        assert_eq!(read("hex"), one.hex, "{}.hex: the wire has changed", one.name);
        assert_eq!(read("json"), one.json, "{}.json", one.name);
    }
}

#[test]
fn the_bytes_that_were_agreed_are_read_in_both_forms() {
    macro_rules! read_all {
        ($name:expr, $message:expr) => {
            read_back($name, $message)
        };
    }
    samples::each!(read_all);
}

#[test]
fn every_golden_file_belongs_to_a_message() {
    let known: BTreeSet<String> =
        all().iter().flat_map(|one| [format!("{}.hex", one.name), format!("{}.json", one.name)]).collect();
    let folder = file("x", "hex").parent().unwrap().to_path_buf();
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = names.filter(|name| !name.ends_with(".rs")).collect();
    assert_eq!(there, known);
}

#[test]
fn no_two_messages_share_a_kind_and_none_is_left_out() {
    // As many as there are `impl Message for` in the crate: a new message needs its golden bytes.
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    let text: String = sources.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let kinds: BTreeSet<&str> = all().iter().map(|one| one.kind).collect();
    assert_eq!(kinds.len(), text.matches("\nimpl Message for ").count());
}

#[test]
fn fields_travel_with_their_names_and_another_field_gives_other_bytes() {
    let (name, message) = samples::done_published();
    let bytes = encode(&message);
    for field in ["kind", "body", "publication", "verdict"] {
        assert!(bytes.windows(field.len()).any(|window| window == field.as_bytes()), "{name}: {field}");
    }
    let mut other = message.clone();
    other.verdict = drover_messages::publish::PublishVerdict::NarMissing;
    assert_ne!(encode(&other), bytes);
}

fn all() -> Vec<Checked> {
    let mut all = Vec::new();
    macro_rules! check_all {
        ($name:expr, $message:expr) => {
            all.push(check($name, $message))
        };
    }
    samples::each!(check_all);
    all
}

fn file(name: &str, ending: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.{ending}"))
}

/// Hexadecimal, 32 bytes a line.
fn wrapped(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
