//! Small pictures inside a page: `data:` addresses (RFC 2397) in base64 (RFC 4648).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The address of `bytes` as a file of type `mime`, for a thumbnail of the report.
pub fn data_uri(mime: &str, bytes: &[u8]) -> String {
    format!("data:{mime};base64,{}", base64(bytes))
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0u32, |g, i| g << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for digit in 0..4 {
            // n bytes fill n + 1 digits
            let value = (group >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { ALPHABET[value as usize] as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    /// Section 10 of RFC 4648.
    #[test]
    fn test_vectors() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
        assert_eq!(super::data_uri("image/png", b"foo"), "data:image/png;base64,Zm9v");
    }
}
