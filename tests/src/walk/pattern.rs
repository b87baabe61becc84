//! What a page shows may leave out what is different each time, with `…`.

/// Whether the text is as the pattern has it, where `…` stands for anything, over ends of lines too.
pub fn covers(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        // The earliest place leaves most for the others.
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_stand_for_anything_and_nothing_else_does() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "", false),
            ("", "", true),
            ("", "a", false),
            ("a…", "abc", true),
            ("a…", "ba", false),
            ("…c", "abc\nc", true),
            ("a…b…c", "a1b2\n3c", true),
            ("a…b…c", "a1c", false),
            ("a…a", "a", false),
            ("…", "", true),
        ] {
            assert_eq!(covers(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }
}
