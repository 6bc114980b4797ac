//! Derivations as substitutes: real ones of Guix, in packs as a submission brings them.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use drover_bucket::Key;
use drover_hook_workers::publish::Served;
use drover_messages::publish::{Origin, Publish};
use drover_store::{ContentAddress, DrvPath, PackId, PackWriter, Sha256, StoreDir, StorePath, nar};

use crate::common::{file, path_of};
use crate::guix::GuixFarm;

const ROOT: &str = "cm2h3sxzjpqsqg274j7n4kcrkwwmlns8-guile-bootstrap-2.0.drv";
const SOURCES: [&str; 4] = [
    "0mxnx8l4fgigvd7gakwdk6hc6im4wnai-disarchive-mirrors",
    "nmxl6qyj16bv4rx4irhg23r66gn752kd-build-bootstrap-guile.sh",
    "qw8jnq1mlk8f8y6nnyk5p0h5m49dyymf-mirrors",
    "wg1yp2vx8gb7qmcgyibqnwblahpp4bjg-content-addressed-mirrors",
];

/// The closure of [`ROOT`]: it, and five downloads.
fn derivations() -> Vec<(DrvPath, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/tests/vectors/guix");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|entry| (entry.file_name().into_string().unwrap().parse().unwrap(), entry.path()));
    let mut all: Vec<(DrvPath, Bytes)> = named.map(|(name, path)| (name, fs::read(path).unwrap().into())).collect();
    all.sort();
    assert_eq!(all.len(), 6);
    all
}

async fn put_pack(farm: &GuixFarm, derivations: &[(DrvPath, Bytes)]) -> PackId {
    let mut writer = PackWriter::new();
    derivations.iter().for_each(|(name, text)| writer.push(name, text.clone()).unwrap());
    let bytes = writer.finish().unwrap();
    let id = PackId::of(&bytes);
    farm.bucket.put_once(&Key::Pack(id), bytes).await.unwrap();
    id
}

async fn put_sources(farm: &GuixFarm, sources: &[&str]) {
    for source in sources {
        let key = Key::NarInfo(StoreDir::guix(), (&source.parse::<StorePath>().unwrap()).into());
        farm.bucket.put(&key, "it is there".into()).await.unwrap();
    }
}

/// An output of [`ROOT`], whose closure lies in these packs.
async fn request(farm: &GuixFarm, closure: Vec<PackId>) -> Publish {
    let mut request = farm.output(&path_of("guile-bootstrap-2.0"), &file("guile"), &[]).await;
    let Origin::Output { deriver, .. } = &mut request.origin else { unreachable!() };
    *deriver = ROOT.parse().unwrap();
    Publish { closure, ..request }
}

async fn serve(farm: &GuixFarm, request: &Publish) -> Served {
    farm.publisher.serve_derivations(request).await.unwrap()
}

#[tokio::test]
async fn a_closure_in_two_packs_is_served_whole_and_once() {
    let farm = GuixFarm::new(&["zstd", "gzip"]);
    let all = derivations();
    put_sources(&farm, &SOURCES).await;
    let packs = vec![put_pack(&farm, &all[..2]).await, put_pack(&farm, &all[2..]).await];
    let request = request(&farm, packs).await;
    assert_eq!(serve(&farm, &request).await, Served { added: 6, left_out: 0 });
    for (name, text) in &all {
        let (_, narinfo) = farm.served(name).await.unwrap_or_else(|| panic!("{name} is not served"));
        let nar = nar::of_file(text);
        assert_eq!((narinfo.nar_hash, narinfo.nar_size), (Sha256::of(&nar), nar.len() as u64));
        assert_eq!((narinfo.deriver, narinfo.files.len()), (None, 2));
        let references = narinfo.references.iter().cloned().collect();
        assert!(ContentAddress::Text(Sha256::of(text)).is_of(&StoreDir::guix(), name, &references));
    }
    assert_eq!(serve(&farm, &request).await, Served::default());
}

#[tokio::test]
async fn what_lacks_a_source_is_left_out_and_so_is_what_needs_it_until_the_source_comes() {
    let farm = GuixFarm::new(&["zstd"]);
    let pack = put_pack(&farm, &derivations()).await;
    let request = request(&farm, vec![pack]).await;
    put_sources(&farm, &[SOURCES[0], SOURCES[2], SOURCES[3]]).await;
    assert_eq!(serve(&farm, &request).await, Served { added: 5, left_out: 1 });
    assert!(farm.served(&ROOT.parse().unwrap()).await.is_none());
    put_sources(&farm, &SOURCES).await;
    assert_eq!(serve(&farm, &request).await, Served { added: 1, left_out: 0 });
}

#[tokio::test]
async fn a_derivation_that_is_missing_or_false_is_left_out_and_so_is_what_needs_it() {
    let farm = GuixFarm::new(&["zstd"]);
    put_sources(&farm, &SOURCES).await;
    let mut all = derivations();
    let bash = all.iter().position(|(name, _)| name.as_str().ends_with("-bash.drv")).unwrap();
    let (name, right) = all.remove(bash);
    let without = put_pack(&farm, &all).await;
    assert_eq!(serve(&farm, &request(&farm, vec![without]).await).await, Served { added: 4, left_out: 2 });

    let changed = String::from_utf8(right.to_vec()).unwrap().replace("x86_64-linux", "i686-linux");
    let lie = put_pack(&farm, &[(name.clone(), changed.into())]).await;
    assert_eq!(serve(&farm, &request(&farm, vec![without, lie]).await).await, Served { added: 0, left_out: 2 });
    assert!(farm.served(&name).await.is_none());

    let truth = put_pack(&farm, &[(name, right)]).await;
    assert_eq!(serve(&farm, &request(&farm, vec![without, truth]).await).await, Served { added: 2, left_out: 0 });
}

#[tokio::test]
async fn packs_that_are_gone_keep_nothing_else_from_being_served() {
    let farm = GuixFarm::new(&["zstd"]);
    put_sources(&farm, &SOURCES).await;
    let gone = PackId(Sha256::of(b"gone"));
    let pack = put_pack(&farm, &derivations()).await;
    assert_eq!(serve(&farm, &request(&farm, vec![gone, pack]).await).await, Served { added: 6, left_out: 0 });
}
