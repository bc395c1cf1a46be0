//! Whether two patterns have a text in common.

/// Longer patterns are said to overlap: too many exceptions mislead less than too few.
const LONGEST: usize = 512;

/// Both with `*` and `?`.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len() > LONGEST || other.len() > LONGEST {
        return true;
    }
    // reach[j]: the first i of `one` and the first j of `other` have a text in common.
    let mut reach = vec![false; other.len() + 1];
    reach[0] = true;
    for (at, star) in other.iter().map(|c| *c == '*').enumerate() {
        reach[at + 1] = reach[at] && star;
    }
    for a in &one {
        let mut diagonal = reach[0];
        reach[0] = reach[0] && *a == '*';
        for (at, b) in other.iter().enumerate() {
            let above = reach[at + 1];
            let same = *a == *b || *a == '?' || *b == '?' || *a == '*' || *b == '*';
            reach[at + 1] = (same && diagonal) || (*a == '*' && (above || reach[at])) || (*b == '*' && (above || reach[at]));
            diagonal = above;
        }
    }
    reach[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        for (one, other, want) in [
            ("*", "a", true),
            ("*", "", true),
            ("", "", true),
            ("a", "", false),
            ("a*", "*b", true),
            ("a*c", "ab*", true),
            ("a*c", "b*", false),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/secret/*", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::c/*", false),
            ("a?c", "abc", true),
            ("a?", "abc", false),
            ("***", "?", true),
        ] {
            assert_eq!(overlap(one, other), want, "{one} {other}");
            assert_eq!(overlap(other, one), want, "{other} {one}");
        }
        assert!(overlap(&"a".repeat(600), "b"), "too long to tell");
    }
}
