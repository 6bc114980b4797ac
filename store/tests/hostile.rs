//! Bytes that nobody honest wrote: an error that says where, never a panic, never a deep stack, never much memory.

#![allow(clippy::unwrap_used)] // a test that panics fails

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bytes::Bytes;
use drover_store::nar::NarCheck;
use drover_store::{
    Derivation, DrvFault, DrvPath, Fault, NarInfo, Output, OutputName, Pack, PackWriter, Sha256, StoreDir, StorePath, verify,
};
use proptest::prelude::*;

const OUT: &str = "/nix/store/0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-x";

fn vector(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)).unwrap()
}

fn fault_of(aterm: &str) -> (usize, DrvFault) {
    let error = Derivation::parse(&StoreDir::nix(), aterm.as_bytes()).expect_err(aterm);
    (error.at, error.fault)
}

/// A derivation with this text in place of what stands behind its outputs.
fn after_outputs(rest: &str) -> String {
    format!("Derive([(\"out\",\"{OUT}\",\"\",\"\")]{rest}")
}

#[test]
fn an_error_says_at_which_byte_it_broke() {
    let good = after_outputs(r#",[],[],"s","b",[],[("a","1"),("b","2")])"#);
    Derivation::parse(&StoreDir::nix(), good.as_bytes()).unwrap();
    let at = |what: &str| good.find(what).unwrap();
    assert_eq!(fault_of(&good[..20]).0, 20);
    assert_eq!(fault_of(&format!("{good} ")), (good.len(), DrvFault::Expected("nothing behind the derivation")));
    assert_eq!(fault_of(&good.replace("\"b\",\"2\"", "\"a\",\"2\"")).0, at("\"b\",\"2\""));
    assert_eq!(fault_of(&good.replace("\"1\"", "\"\\x\"")).0, at("\"1\"") + 1);
    assert_eq!(fault_of(&good.replace("\"1\"", "\"\n\"")).0, at("\"1\"") + 1);
    assert_eq!(fault_of(&good.replace("/nix", "/gnu")).0, at("\"/nix"));
}

#[test]
fn what_only_a_lenient_reader_takes_is_not_canonical() {
    let path = |hash: char, name: &str| format!("\"/nix/store/{}-{name}\"", String::from(hash).repeat(32));
    let (a, b) = (path('0', "a"), path('1', "b"));
    let (da, db) = (path('0', "a.drv"), path('1', "b.drv"));
    for rest in [
        format!(r#",[],[{b},{a}],"s","b",[],[])"#),
        format!(r#",[],[{a},{a}],"s","b",[],[])"#),
        format!(r#",[({db},["out"]),({da},["out"])],[],"s","b",[],[])"#),
        format!(r#",[({da},["out","dev"])],[],"s","b",[],[])"#),
        r#",[],[],"s","b",[],[("b",""),("a","")])"#.to_owned(),
        "\t,[],[],\"s\",\"b\",[],[])".to_owned(),
    ] {
        let (_, fault) = fault_of(&after_outputs(&rest));
        assert!(matches!(fault, DrvFault::NotCanonical(_) | DrvFault::Expected(_)), "{rest}: {fault}");
    }
    let (_, fault) = fault_of(&after_outputs(&format!(r#",[({a},["out"])],[],"s","b",[],[])"#)));
    assert!(matches!(fault, DrvFault::Value(_)), "a source among the derivations: {fault}");
}

#[test]
fn what_cannot_be_built_yet_is_named_as_such() {
    for aterm in [
        r#"Derive([("out","","r:sha256","")],[],[],"s","b",[],[])"#,
        r#"Derive([("out","","","")],[],[],"s","b",[],[])"#,
        r#"DrvWithVersion("xp-dyn-drv",[("out","","","")],[],[],"s","b",[],[])"#,
    ] {
        assert!(matches!(fault_of(aterm).1, DrvFault::Unsupported(_)), "{aterm}");
    }
    assert_eq!(fault_of(r#"Derive([],[],[],"s","b",[],[])"#).1, DrvFault::Expected("at least one output"));
}

#[test]
fn brackets_without_end_need_no_stack() {
    let deep = "[(".repeat(1 << 20);
    assert!(Derivation::parse(&StoreDir::nix(), format!("Derive({deep}").as_bytes()).is_err());
}

/// A chain of derivations, each the input of the next.
fn chain(length: usize) -> (BTreeMap<DrvPath, Bytes>, Vec<DrvPath>) {
    let store = StoreDir::nix();
    let mut modulo = drover_store::Modulo::new();
    let (mut drvs, mut order) = (BTreeMap::new(), Vec::<DrvPath>::new());
    for n in 0..length {
        let name: OutputName = "out".parse().unwrap();
        let placeholder: StorePath = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-x".parse().unwrap();
        let mut drv = Derivation {
            outputs: BTreeMap::from([(name.clone(), Output { path: placeholder, fixed: None })]),
            input_drvs: order.last().map(|last| (last.clone(), BTreeSet::from([name.clone()]))).into_iter().collect(),
            input_srcs: BTreeSet::new(),
            system: "s".into(),
            builder: "b".into(),
            args: vec![n.to_string().into()],
            env: BTreeMap::new(),
        };
        let unnamed: DrvPath = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-x.drv".parse().unwrap();
        let hashes = modulo.add(&store, &unnamed, &drv).unwrap();
        drv.outputs.insert(name.clone(), Output { path: hashes.outputs[&name].clone(), fixed: None });
        let path = drv.path(&store, "x").unwrap();
        modulo.add(&store, &path, &drv).unwrap();
        drvs.insert(path.clone(), drv.write(&store).into());
        order.push(path);
    }
    (drvs, order)
}

#[test]
fn a_chain_of_twenty_thousand_derivations_is_verified_without_recursion() {
    let (drvs, _) = chain(20_000);
    assert_eq!(verify(&StoreDir::nix(), &drvs, |_| None).unwrap().len(), 20_000);
}

#[test]
fn a_missing_input_is_named_by_what_needs_it() {
    let (mut drvs, order) = chain(3);
    drvs.remove(&order[0]);
    let error = verify(&StoreDir::nix(), &drvs, |_| None).unwrap_err();
    assert_eq!((error.drv, error.fault), (order[1].clone(), Fault::MissingInput(order[0].clone())));
}

#[test]
fn a_wrong_output_path_is_found_though_the_name_is_right() {
    let (store, (drvs, order)) = (StoreDir::nix(), chain(1));
    let mut drv = Derivation::parse(&store, &drvs[&order[0]]).unwrap();
    drv.outputs.values_mut().for_each(|output| output.path = OUT["/nix/store/".len()..].parse().unwrap());
    let liar = drv.path(&store, "x").unwrap();
    let given = BTreeMap::from([(liar.clone(), drv.write(&store).into())]);
    let error = verify(&store, &given, |_| None).unwrap_err();
    assert!(matches!(error.fault, Fault::WrongOutput { .. }), "{error}");
    assert_eq!(error.drv, liar);
}

#[test]
fn an_output_that_the_input_does_not_have_is_refused() {
    let (store, (mut drvs, order)) = (StoreDir::nix(), chain(1));
    let mut drv = Derivation::parse(&store, &drvs[&order[0]]).unwrap();
    drv.input_drvs.insert(order[0].clone(), BTreeSet::from(["doc".parse().unwrap()]));
    let path = drv.path(&store, "y").unwrap();
    drvs.insert(path.clone(), drv.write(&store).into());
    let error = verify(&store, &drvs, |_| None).unwrap_err();
    assert!(matches!(error.fault, Fault::NoSuchOutput { .. }), "{error}");
}

fn a_pack() -> Bytes {
    let mut writer = PackWriter::new();
    let (drvs, _) = chain(5);
    drvs.into_iter().for_each(|(path, aterm)| writer.push(&path, aterm).unwrap());
    writer.finish().unwrap()
}

fn bytes_strategy() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::collection::vec(proptest::sample::select(b"\"\\\n\r\tax\xff".to_vec()), 0..20),
    ]
}

fn path_strategy(suffix: &'static str) -> impl Strategy<Value = StorePath> {
    (any::<[u8; 20]>(), "[a-z0-9+._?=-]{0,20}")
        .prop_map(move |(hash, name)| StorePath::from_parts(&hash, &format!("x{name}{suffix}")).unwrap())
}

fn output_names() -> impl Strategy<Value = BTreeSet<OutputName>> {
    proptest::collection::btree_set("out|dev|doc|[a-z]{1,5}", 1..4)
        .prop_map(|names| names.iter().map(|name| name.parse().unwrap()).collect())
}

prop_compose! {
    fn derivations()(
        outputs in output_names(),
        path in path_strategy(""),
        input_drvs in proptest::collection::btree_map(path_strategy(".drv").prop_map(|p| p.try_into().unwrap()), output_names(), 0..4),
        input_srcs in proptest::collection::btree_set(path_strategy(""), 0..4),
        system in "\\PC{0,10}",
        builder in bytes_strategy(),
        args in proptest::collection::vec(bytes_strategy(), 0..4),
        env in proptest::collection::btree_map(bytes_strategy(), bytes_strategy(), 0..6),
    ) -> Derivation {
        let outputs = outputs.into_iter().map(|name| (name, Output { path: path.clone(), fixed: None })).collect();
        Derivation { outputs, input_drvs, input_srcs, system, builder, args, env }
    }
}

/// Bytes with some changed, and cut somewhere.
fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = bytes.len();
    let changes = proptest::collection::vec((0..len, any::<u8>()), 0..4);
    (changes, prop_oneof![4 => Just(len), 1 => 0..len]).prop_map(move |(changes, cut)| {
        let mut bytes = bytes.clone();
        changes.into_iter().for_each(|(n, byte)| bytes[n] = byte);
        bytes.truncate(cut);
        bytes
    })
}

proptest! {
    #[test]
    fn any_derivation_that_is_written_reads_back(drv in derivations()) {
        let written = drv.write(&StoreDir::guix());
        prop_assert_eq!(Derivation::parse(&StoreDir::guix(), &written), Ok(drv));
    }

    #[test]
    fn a_changed_derivation_is_an_error_or_is_written_as_it_was_read(
        aterm in mutated(vector("nix/s0br55c6wavnn2nxwra2f61fwsg86npg-coalesced.drv")),
    ) {
        match Derivation::parse(&StoreDir::nix(), &aterm) {
            Ok(drv) => prop_assert_eq!(drv.write(&StoreDir::nix()), aterm),
            Err(e) => prop_assert!(e.at <= aterm.len()),
        }
    }

    #[test]
    fn a_changed_nar_is_an_error_or_hashed_as_it_is(nar in mutated(vector("narinfo/ignag5zkd3v1s6r81qmdagj80ng80kir.nar"))) {
        let mut check = NarCheck::new();
        if let Ok(taken) = check.feed(&nar) && let Ok(summary) = check.finish() {
            prop_assert_eq!(summary.sha256, Sha256::of(&nar[..taken]));
        }
    }

    #[test]
    fn a_changed_narinfo_never_panics(text in mutated(vector("narinfo/ignag5zkd3v1s6r81qmdagj80ng80kir.narinfo"))) {
        let text = String::from_utf8_lossy(&text);
        if let Ok(info) = NarInfo::parse(&StoreDir::nix(), &text) {
            let again = NarInfo::parse(&StoreDir::nix(), &info.write(&StoreDir::nix()));
            prop_assert_eq!(again, Ok(info));
        }
    }

    #[test]
    fn a_changed_pack_never_panics(pack in mutated(a_pack().to_vec())) {
        if let Ok(pack) = Pack::open(pack.into()) {
            pack.iter().for_each(drop);
        }
    }
}
