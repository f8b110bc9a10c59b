//! Patterns for names: `*` stands for any text, `?` for one character.

/// Does `pattern` match the whole of `name`?
pub fn matches(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star = None; // place behind the last `*`, and up to where it has eaten
    while j < n.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i + 1, j));
                i += 1;
            }
            Some(&c) if c == '?' || c == n[j] => (i, j) = (i + 1, j + 1),
            _ => match star {
                Some((after, eaten)) => {
                    star = Some((after, eaten + 1));
                    (i, j) = (after, eaten + 1);
                }
                None => return false,
            },
        }
    }
    p[i..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, want) in [
            ("stage2.*", "stage2.0.conv1", true),
            ("stage2.*", "stage1.0.conv1", false),
            ("*.conv?", "a.conv1", true),
            ("*.conv?", "a.conv12", false),
            ("*a*b*", "xaxxbx", true),
            ("*a*b*", "xbxxax", false),
            ("", "", true),
            ("*", "", true),
            ("conv", "conv1", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }
}
