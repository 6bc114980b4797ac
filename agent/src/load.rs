//! How busy the machine is, and whether that is too much for more builds.

use std::fs;

/// The load average over a minute, in hundredths: 100 for each process that runs or wants to, however many processors there
/// are. 0 where it is not told.
pub fn load_percent() -> u32 {
    percent(&fs::read_to_string("/proc/loadavg").unwrap_or_default())
}

fn percent(loadavg: &str) -> u32 {
    let load: f64 = loadavg.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    (load * 100.0) as u32
}

/// The most load under which builds are taken. Builds make load themselves, so what was too much must fall well below it
/// before there are more: else the agent would come and go with each that ends.
#[derive(Debug)]
pub struct LoadLimit {
    /// 0 for none.
    most_percent: u32,
    /// What was said when it was exceeded; the same until it is not, for each other word would be news.
    exceeded: Option<String>,
}

impl LoadLimit {
    /// Not exceeded yet.
    pub fn new(most_percent: u32) -> Self {
        Self { most_percent, exceeded: None }
    }

    /// Looks at the load as it is now.
    ///
    /// # Errors
    /// With the reason why no builds are taken, in words.
    pub fn check(&mut self, load_percent: u32) -> Result<(), String> {
        let most = self.most_percent;
        // What was too much must fall to three quarters of it.
        let enough = most - most / 4;
        if most == 0 || load_percent <= if self.exceeded.is_some() { enough } else { most } {
            self.exceeded = None;
            return Ok(());
        }
        let words = || format!("its load was {load_percent} %, and {most} % is the most; it takes builds again at {enough} %");
        Err(self.exceeded.get_or_insert_with(words).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_of_the_last_minute_counts() {
        assert_eq!(percent("4.12 2.00 1.00 3/400 12345\n"), 412);
        assert_eq!(percent(""), 0);
    }

    #[test]
    fn too_much_load_is_told_with_numbers_until_it_has_fallen_well_below() {
        let mut limit = LoadLimit::new(300);
        let takes = [299, 300, 301, 300, 226, 225, 300, 412].map(|load| limit.check(load).is_ok());
        assert_eq!(takes, [true, true, false, false, false, true, true, false]);
        assert_eq!(limit.check(500).unwrap_err(), "its load was 412 %, and 300 % is the most; it takes builds again at 225 %");
    }

    #[test]
    fn without_a_limit_no_load_is_too_much() {
        assert_eq!(LoadLimit::new(0).check(u32::MAX), Ok(()));
    }
}
