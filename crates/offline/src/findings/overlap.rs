//! Whether two patterns have a text in common.

/// One element of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Any run of characters.
    Run,
    /// Any run without a slash.
    Name,
    /// Any one character.
    One,
    Is(char),
}

impl Token {
    fn takes(self, c: char) -> bool {
        match self {
            Self::Run | Self::One => true,
            Self::Name => c != '/',
            Self::Is(own) => own == c,
        }
    }

    fn repeats(self) -> bool {
        matches!(self, Self::Run | Self::Name)
    }

    /// Whether some character suits both.
    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Is(a), b) => b.takes(a),
            (a, Self::Is(b)) => a.takes(b),
            _ => true,
        }
    }
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// What a policy writes: `*`, `?`, and variables, which may stand for anything.
    pub(super) fn of_policy(text: &str, folded: bool) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((variable, behind)) = rest.strip_prefix("${").and_then(|inside| inside.split_once('}')) {
                tokens.push(match variable {
                    "*" | "?" | "$" => Token::Is(variable.chars().next().unwrap_or('$')),
                    _ => Token::Run,
                });
                rest = behind;
                continue;
            }
            tokens.push(match c {
                '*' => Token::Run,
                '?' => Token::One,
                _ if folded => Token::Is(c.to_ascii_lowercase()),
                _ => Token::Is(c),
            });
            rest = &rest[c.len_utf8()..];
        }
        tokens.dedup_by(|a, b| *a == Token::Run && *b == Token::Run);
        Self(tokens)
    }

    /// What the reference writes: `${Name}` stands for anything. A bucket has no slash in its name.
    pub(super) fn of_format(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((name, behind)) = rest.strip_prefix("${").and_then(|inside| inside.split_once('}')) {
                tokens.push(if name == "BucketName" { Token::Name } else { Token::Run });
                rest = behind;
                continue;
            }
            tokens.push(if c == '*' { Token::Run } else { Token::Is(c) });
            rest = &rest[c.len_utf8()..];
        }
        Self(tokens)
    }

    /// Whether a text exists that suits both. Time is the product of the lengths.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        // reachable[j]: the first i tokens of `a` and the first j of `b` can stand for the same text.
        let mut reachable = vec![false; b.len() + 1];
        reachable[0] = true;
        spread(&mut reachable, b, None);
        for token in a {
            let mut next = vec![false; b.len() + 1];
            for j in 0..=b.len() {
                if !reachable[j] {
                    continue;
                }
                // A run may stand for nothing, or go on while `b` moves.
                next[j] |= token.repeats();
                if let Some(other) = b.get(j)
                    && token.meets(*other)
                {
                    next[j + 1] = true;
                    next[j] |= other.repeats();
                }
            }
            spread(&mut next, b, token.repeats().then_some(*token));
            reachable = next;
        }
        reachable[b.len()]
    }
}

/// Moves along `b` where it may stand for nothing, or for what the run of `a` covers.
fn spread(reachable: &mut [bool], b: &[Token], run: Option<Token>) {
    for (j, token) in b.iter().enumerate() {
        if reachable[j] && (token.repeats() || run.is_some_and(|run| run.meets(*token))) {
            reachable[j + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_common() {
        let meets = |policy: &str, format: &str| Pattern::of_policy(policy, false).meets(&Pattern::of_format(format));
        for (policy, format, wanted) in [
            ("model/*", "model/${Name}", true),
            ("*", "model/${Name}", true),
            ("mod*x", "model/${Name}", true),
            ("endpoint/*", "model/${Name}", false),
            ("model", "model/${Name}", false),
            ("b/*", "${BucketName}", false),
            ("b*", "${BucketName}", true),
            ("b", "${BucketName}/${ObjectName}", false),
            ("b/k", "${BucketName}/${ObjectName}", true),
            ("*", "${BucketName}/${ObjectName}", true),
            ("${aws:username}/x", "${BucketName}/${ObjectName}", true),
            ("?odel/a", "model/${Name}", true),
            ("${*}", "model", false),
            ("a*b*c", "a${X}c${Y}c", true),
            ("", "", true),
            ("", "${X}", true),
            ("x", "", false),
        ] {
            assert_eq!(meets(policy, format), wanted, "{policy} {format}");
        }
    }
}
