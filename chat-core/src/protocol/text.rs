//! What texts, titles and data may contain.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use unicode_general_category::{GeneralCategory as Category, get_general_category as category};

use super::error::{Code, Error};

/// Checks the text of a message, which is delivered byte for byte or refused.
///
/// # Errors
/// `too_large`, `bad_command` (a control character other than tab and newline), `empty_text`.
pub(crate) fn check_text(text: &str, max_bytes: usize) -> Result<(), Error> {
    if text.len() > max_bytes {
        return Err(Error::new(
            Code::TooLarge,
            format!("A text must be at most {max_bytes} bytes long"),
        ));
    }
    // The common case looks at many bytes at a time instead of decoding each character twice.
    let plain = |plain, b: u8| plain & matches!(b, b' '..=b'~' | b'\t' | b'\n');
    if text.bytes().fold(true, plain) && text.bytes().any(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    if text
        .chars()
        .any(|c| c.is_control() && c != '\t' && c != '\n')
    {
        return Err(Error::new(
            Code::BadCommand,
            "A text must contain no control characters other than tab and newline",
        ));
    }
    if text.chars().all(is_blank) {
        return Err(Error::new(
            Code::EmptyText,
            "A text must contain a visible character",
        ));
    }
    Ok(())
}

/// Trims a title and checks it. No character in it may affect the text around the title.
///
/// # Errors
/// `bad_command`, `too_large`.
pub(crate) fn check_title(title: &str, max_chars: usize) -> Result<String, Error> {
    let title = title.trim();
    if title.chars().count() > max_chars {
        return Err(Error::new(
            Code::TooLarge,
            format!("A title must be at most {max_chars} characters long"),
        ));
    }
    if title
        .chars()
        .any(|c| c.is_control() || is_invisible_control(c))
    {
        return Err(Error::new(
            Code::BadCommand,
            "A title must contain no control characters",
        ));
    }
    Ok(title.into())
}

/// Checks `data`, whose JSON text is passed on unchanged.
///
/// # Errors
/// `too_large`: over the limit, or nested more deeply than every JSON parser accepts.
/// `bad_command`: half of a surrogate pair, or a number that no double can hold; a strict parser
/// would refuse the whole event.
pub(crate) fn check_data(json: &str, max_bytes: usize) -> Result<(), Error> {
    if json.len() > max_bytes {
        return Err(Error::new(
            Code::TooLarge,
            format!("`data` must be at most {max_bytes} bytes of JSON"),
        ));
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0u32, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_DATA_DEPTH {
        return Err(Error::new(
            Code::TooLarge,
            format!("`data` must be nested at most {MAX_DATA_DEPTH} levels deep"),
        ));
    }
    match serde_json::from_str(json) {
        Ok(Readable) => Ok(()),
        Err(_) => Err(Error::new(
            Code::BadCommand,
            "`data` must contain no half of a surrogate pair and no number over 1.8e308",
        )),
    }
}

/// Any JSON value, of which every string and number is parsed and nothing is kept.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Readable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
                Ok(Readable)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Readable, A::Error> {
                while let Some(Readable) = seq.next_element()? {}
                Ok(Readable)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Readable, A::Error> {
                while let Some((Readable, Readable)) = map.next_entry()? {}
                Ok(Readable)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// White space, default-ignorable code points, and the categories Cc, Cf, Cs and Cn.
fn is_blank(c: char) -> bool {
    if c.is_ascii_graphic() {
        return false;
    }
    c.is_whitespace()
        || is_default_ignorable(c)
        || matches!(
            category(c),
            Category::Control | Category::Format | Category::Surrogate | Category::Unassigned
        )
}

/// Zero-width characters and controls of the text direction.
fn is_invisible_control(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// The property Default_Ignorable_Code_Point (Unicode 16, DerivedCoreProperties.txt).
pub(crate) fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Python's parser gives up at about 1000 levels, most others at 128 or more.
const MAX_DATA_DEPTH: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Error>) -> Option<Code> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn texts_are_accepted_or_refused_with_their_code() {
        for fine in [
            "hi",
            "a\tb\nc",
            " . ",
            "안녕",
            "👩‍👩‍👧",
            "\u{202E}x",
            "é",
            "\u{0301}",
            "\u{2800}",
        ] {
            assert_eq!(code(check_text(fine, 100)), None, "{fine:?}");
        }
        for empty in [
            "",
            " ",
            "\n\t",
            "\u{200B}",
            "\u{3164}",
            "\u{FE0F}",
            "\u{E0041}",
            "\u{00AD} \u{2028}",
            "\u{378}",
        ] {
            assert_eq!(
                code(check_text(empty, 100)),
                Some(Code::EmptyText),
                "{empty:?}"
            );
        }
        for bad in ["a\r\n", "\0", "\u{1b}[31m", "\u{85}x", "\u{7f}"] {
            assert_eq!(
                code(check_text(bad, 100)),
                Some(Code::BadCommand),
                "{bad:?}"
            );
        }
        assert_eq!(code(check_text(&"é".repeat(50), 100)), None);
        assert_eq!(code(check_text(&"é".repeat(51), 100)), Some(Code::TooLarge));
    }

    #[test]
    fn titles_are_trimmed_and_checked() {
        assert_eq!(check_title("  Tea & talk  ", 60).unwrap(), "Tea & talk");
        for bad in [
            "a\nb",
            "a\tb",
            "\u{202E}x",
            "a\u{200B}b",
            "\u{FEFF}",
            "a\u{2066}b",
        ] {
            let told = code(check_title(bad, 60));
            assert_eq!(told, Some(Code::BadCommand), "{bad:?}");
        }
        assert_eq!(code(check_title(&"가".repeat(60), 60)), None);
        assert_eq!(
            code(check_title(&"가".repeat(61), 60)),
            Some(Code::TooLarge)
        );
    }

    #[test]
    fn data_is_what_every_parser_reads() {
        for fine in [
            "null",
            "-0",
            "1.5e308",
            "12345678901234567890.10",
            r#"{"\u00e9":["\ud83d\ude00",true,-1,{}]}"#,
        ] {
            assert_eq!(code(check_data(fine, 100)), None, "{fine}");
        }
        for bad in [
            "1e999",
            r#""\ud800""#,
            r#"[{"a":["\udc00"]}]"#,
            r#"{"\ud800":1}"#,
            r#"{"a":-1e999}"#,
        ] {
            assert_eq!(code(check_data(bad, 100)), Some(Code::BadCommand), "{bad}");
        }
    }

    #[test]
    fn data_is_bounded_in_bytes_and_depth() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(code(check_data(&nested(64), 4096)), None);
        assert_eq!(code(check_data(&nested(65), 4096)), Some(Code::TooLarge));
        assert_eq!(
            code(check_data(
                &format!("\"{}\\\"{}\"", "[".repeat(99), "{".repeat(99)),
                4096
            )),
            None
        );
        assert_eq!(code(check_data(&nested(30), 59)), Some(Code::TooLarge));
    }
}
