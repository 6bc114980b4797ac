//! Patterns of names: `*` stands for any text, `?` for one character.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    This(char),
}

impl Pattern {
    /// As somebody wrote it.
    pub(crate) fn new(text: &str) -> Self {
        let piece = |c| match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            c => Piece::This(c),
        };
        Self(text.chars().map(piece).collect())
    }

    /// Only this text itself.
    pub(crate) fn exact(text: &str) -> Self {
        Self(text.chars().map(Piece::This).collect())
    }

    /// What everything that fits begins with.
    pub(crate) fn beginning(&self) -> String {
        let literal = |piece: &Piece| match piece {
            Piece::This(c) => Some(*c),
            Piece::Any | Piece::One => None,
        };
        self.0.iter().map_while(literal).collect()
    }

    /// Whether a text fits. Takes time in proportion to the square of its length at most.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut piece, mut at) = (0, 0);
        // Behind the last `*`, and where what it stands for ends.
        let mut back = None;
        while at < text.len() {
            match (self.0.get(piece), &mut back) {
                (Some(Piece::Any), _) => {
                    piece += 1;
                    back = Some((piece, at));
                }
                (Some(Piece::One), _) => (piece, at) = (piece + 1, at + 1),
                (Some(Piece::This(wanted)), _) if *wanted == text[at] => (piece, at) = (piece + 1, at + 1),
                (_, Some((behind, end))) => {
                    *end += 1;
                    (piece, at) = (*behind, *end);
                }
                (_, None) => return false,
            }
        }
        self.0[piece..].iter().all(|piece| *piece == Piece::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_a_question_mark_for_one_character() {
        let fits = |pattern: &str, text: &str| Pattern::new(pattern).fits(text);
        for (pattern, text) in [("*", ""), ("a*", "a"), ("*-2.?", "hello-2.1"), ("*a*b", "xaxbxab"), ("grün?", "grünä"), ("", "")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("?", ""), ("a*", "ba"), ("*a*b", "ba"), ("hello", "hello-2"), ("a?", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(!fits(&"*a".repeat(100), &"a".repeat(99)));
    }

    #[test]
    fn what_fits_begins_with_what_stands_before_the_first_wildcard() {
        assert_eq!(Pattern::new("hello-*").beginning(), "hello-");
        assert_eq!(Pattern::new("*x").beginning(), "");
        assert_eq!(Pattern::exact("a*").beginning(), "a*");
    }

    #[test]
    fn an_exact_text_has_no_wildcards() {
        assert!(Pattern::exact("a*").fits("a*") && !Pattern::exact("a*").fits("ab"));
    }
}
