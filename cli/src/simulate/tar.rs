//! Derivations out of a tar archive, as GNU writes them: blocks of 512 bytes; a header has a name, an octal size, and a type, of
//! which `L` is a name that is too long for the next header.

use bytes::Bytes;
use drover_store::DrvPath;

const BLOCK: usize = 512;

/// Every file in it whose name is a derivation's.
pub(super) fn drvs(tar: &Bytes) -> Result<Vec<(DrvPath, Bytes)>, &'static str> {
    let mut drvs = Vec::new();
    let mut long_name = None;
    let mut at = 0;
    while let Some(header) = tar.get(at..at + BLOCK).filter(|header| header[0] != 0) {
        let size = usize::from_str_radix(text(&header[124..136]).trim(), 8).map_err(|_| "a file in it has no size")?;
        let end = (at + BLOCK).checked_add(size).filter(|end| *end <= tar.len()).ok_or("it is cut off")?;
        let body = tar.slice(at + BLOCK..end);
        at = end.next_multiple_of(BLOCK);
        if header[156] == b'L' {
            long_name = Some(text(&body));
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| text(&header[..100]));
        if let Some(drv) = name.rsplit('/').next().and_then(|name| name.parse().ok()) {
            drvs.push((drv, body));
        }
    }
    Ok(drvs)
}

/// Up to the first zero.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRV: &str = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello-2.12.drv";

    fn file(name: &str, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
        block[156] = kind;
        block.extend(body);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    #[test]
    fn derivations_are_found_by_their_names_also_by_long_ones() {
        let long = format!("{}/{DRV}\0", "d".repeat(90));
        let tar =
            [file("a.txt", b'0', b"no"), file("@LongLink", b'L', long.as_bytes()), file("cut", b'0', b"yes"), vec![0; 1024]];
        let found = drvs(&tar.concat().into()).unwrap();
        assert_eq!(found, [(DRV.parse().unwrap(), Bytes::from_static(b"yes"))]);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let mut tar = file(DRV, b'0', &[1; 700]);
        tar.truncate(BLOCK + 600);
        assert_eq!(drvs(&tar.into()), Err("it is cut off"));
    }
}
