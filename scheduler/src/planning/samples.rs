//! Derivations for the tests beside this.

use std::collections::{BTreeMap, BTreeSet};

use drover_store::{Derivation, DrvPath, Output, OutputName, StorePath};

/// Derivation `n`, which needs these.
pub(super) fn derivation(n: u8, needs: &[u8]) -> (DrvPath, Derivation) {
    let drv = |n: u8| StorePath::from_parts(&[n; 20], &format!("{n}.drv")).unwrap().try_into().unwrap();
    let path = StorePath::from_parts(&[n; 20], &n.to_string()).unwrap();
    let derivation = Derivation {
        outputs: BTreeMap::from([(OutputName::OUT, Output { path, fixed: None })]),
        input_drvs: needs.iter().map(|needed| (drv(*needed), BTreeSet::from([OutputName::OUT]))).collect(),
        input_srcs: BTreeSet::new(),
        system: "x86_64-linux".into(),
        builder: b"/bin/sh".to_vec(),
        args: Vec::new(),
        env: BTreeMap::new(),
    };
    (drv(n), derivation)
}
