//! Text from guests, made fit for people: bounded, on one line, without control characters, so that it can neither fake
//! lines in a log nor steer a terminal.

/// One line of at most `limit` characters. Runs of white space and control characters become one space.
pub(crate) fn line(text: &str, limit: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(limit.saturating_mul(4)));
    let mut count = 0;
    let mut gap = false;
    for character in text.chars() {
        if character.is_whitespace() || hidden(character) {
            gap = !cleaned.is_empty();
            continue;
        }
        let needed = 1 + usize::from(gap);
        if count + needed > limit {
            cleaned.push('…');
            break;
        }
        if gap {
            cleaned.push(' ');
        }
        gap = false;
        cleaned.push(character);
        count += needed;
    }
    cleaned
}

/// Control characters and those that reorder or hide what a person sees.
fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_fake_lines_do_not_get_through() {
        assert_eq!(line("plain text", 100), "plain text");
        assert_eq!(line("\u{1b}[31mred\u{1b}[0m\r\nINFO fake\u{0}", 100), "[31mred [0m INFO fake");
        assert_eq!(line("a\u{202e}b\u{200b}c\u{9b}d", 100), "a b c d");
        assert_eq!(line("  \n\t ", 100), "");
    }

    #[test]
    fn length_is_bounded_in_characters() {
        assert_eq!(line("äöü", 3), "äöü");
        assert_eq!(line("äöüx", 3), "äöü…");
        assert_eq!(line("ab cd", 3), "ab…");
        assert_eq!(line(&"x".repeat(1_000_000), 5), "xxxxx…");
    }
}
