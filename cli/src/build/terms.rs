//! Where the roots of a submission may be built, and how sure their owner wants to be of them.

use drover_messages::request::Terms;

use super::roots;

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Where, and how sure")]
pub(crate) struct TermsArgs {
    /// Only on agents with this tag; several mean all of them
    #[arg(long = "on", value_name = "KEY=VALUE", value_parser = roots::parse_tag)]
    on: Vec<(String, String)>,
    /// On no agent with this tag; can be given several times
    #[arg(long = "not-on", value_name = "KEY=VALUE", value_parser = roots::parse_tag)]
    not_on: Vec<(String, String)>,
    /// On no agent that has built the same derivation before, or whose store another has that did
    #[arg(long)]
    apart: bool,
    /// Let a failed builder count only when another agent has met the same, also of what is needed
    #[arg(long)]
    confirm: bool,
    /// Try inputs again that failed not long ago, and are known for it
    #[arg(long)]
    try_known_failures: bool,
}

impl TermsArgs {
    /// As the scheduler is told.
    pub(crate) fn terms(&self) -> anyhow::Result<Terms> {
        Ok(Terms {
            on: roots::tags(&self.on)?,
            not_on: roots::tags(&self.not_on)?,
            apart: self.apart,
            confirm: self.confirm,
            known_failures: self.try_known_failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        terms: TermsArgs,
    }

    #[test]
    fn each_flag_has_its_place_in_the_terms() {
        let line =
            Line::try_parse_from("build --on cpu=zen4 --on site=a --not-on slow=yes --apart --try-known-failures".split(' '));
        let terms = line.unwrap().terms.terms().unwrap();
        assert_eq!((terms.on.len(), terms.on["cpu"].as_str(), terms.not_on["slow"].as_str()), (2, "zen4", "yes"));
        assert!(terms.apart && terms.known_failures && !terms.confirm);
    }

    #[test]
    fn a_tag_of_two_values_is_bad_input() {
        let line = Line::try_parse_from("build --on a=b --on a=c".split(' ')).unwrap();
        assert!(line.terms.terms().is_err());
    }
}
