//! How much memory there is.

use std::fs;

/// Memory that can be had without pushing others out, in MiB, as the kernel reckons; `None` where it does not say.
pub fn free_mib() -> Option<u64> {
    available_mib(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_mib(meminfo: &str) -> Option<u64> {
    let told = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(told.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_counts_and_not_what_is_free() {
        assert_eq!(available_mib("MemTotal:  9000000 kB\nMemFree:  1000 kB\nMemAvailable:    2097152 kB\n"), Some(2048));
    }

    #[test]
    fn a_kernel_that_does_not_say_so_is_not_believed() {
        for odd in ["", "MemFree: 1 kB\n", "MemAvailable: much\n", "MemAvailable: 1 MB\n"] {
            assert_eq!(available_mib(odd), None, "{odd:?}");
        }
    }
}
