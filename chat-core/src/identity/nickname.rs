//! Nicknames: which are allowed, and which look alike.

use std::sync::Arc;

use precis_profiles::Nickname as NicknameProfile;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use sha2::{Digest, Sha256};
use unicode_general_category::{GeneralCategory as Category, get_general_category as category};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use crate::protocol::text::is_default_ignorable;
use crate::protocol::{Code, Error};

/// Normalises a nickname by RFC 8266 and checks it.
///
/// # Errors
/// `bad_nickname`: it is empty, longer than `max_graphemes`, consists of combining marks alone, has
/// too many of them on one character, or contains control, direction or zero-width characters.
pub(crate) fn normalise(nickname: &str, max_graphemes: usize) -> Result<String, Error> {
    let bad = |why: &str| Err(Error::new(Code::BadNickname, format!("A nickname {why}")));
    // A grapheme of a nickname has a handful of bytes; do not normalise anything much longer.
    if nickname.len() > max_graphemes * 64 {
        return bad(&format!("must be at most {max_graphemes} characters long"));
    }
    // The profile refuses decomposed Hangul, which some systems produce, unless it is composed
    // first.
    let composed: String = nickname.nfkc().collect();
    // The profile's tables are of Unicode 6.3. Newer symbols, which most of today's emoji are, are
    // replaced by one that it knows.
    let known: String = composed
        .chars()
        .map(|c| if is_symbol(c) { STAND_IN } else { c })
        .collect();
    let Ok(nickname) = NicknameProfile::enforce(known.as_str()) else {
        return bad("must contain letters, digits, symbols and single spaces only");
    };
    let mut symbols = composed.chars().filter(|c| is_symbol(*c));
    let nickname: String = nickname
        .chars()
        .map(|c| {
            if c == STAND_IN {
                symbols.next().unwrap_or(c)
            } else {
                c
            }
        })
        .collect();
    if nickname
        .chars()
        .any(|c| c.is_control() || is_default_ignorable(c) || category(c) == Category::Format)
    {
        return bad("must contain no invisible characters");
    }
    if nickname
        .chars()
        .all(|c| is_combining_mark(c) || c.is_whitespace())
    {
        return bad("must contain a visible character");
    }
    let mut graphemes = 0;
    for grapheme in nickname.graphemes(true) {
        graphemes += 1;
        let marks = grapheme.chars().filter(|c| is_combining_mark(*c)).count();
        // Two letters of a flag, and where marks join letters, one more for each.
        if marks > MAX_MARKS || grapheme.chars().count() > 2 * marks + 2 {
            return bad("must not have many marks on one character");
        }
    }
    match graphemes {
        0 => bad("must not be empty"),
        n if n > max_graphemes => bad(&format!("must be at most {max_graphemes} characters long")),
        _ => Ok(nickname),
    }
}

fn is_symbol(c: char) -> bool {
    !c.is_ascii()
        && matches!(
            category(c),
            Category::OtherSymbol | Category::ModifierSymbol
        )
}

/// A normalised nickname, with what decides whether another one looks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nickname {
    pub(crate) text: Arc<str>,
    pub(crate) keys: SkeletonKeys,
}

/// Hashes of a nickname's skeleton (UTS 39) and of the skeleton of its case-folded form. Two
/// nicknames clash when either of the two is equal.
///
/// The hashes have 64 bits each: among a million members the chance that any two different
/// nicknames are taken for alike is one in ten million. Whoever computes a collision on purpose
/// gains nothing, because they could as well take the nickname itself.
pub(crate) type SkeletonKeys = [u64; 2];

impl Nickname {
    /// A nickname that [`normalise`] has returned, or a generated one.
    pub(crate) fn new(normalised: &str) -> Self {
        let skeleton = |text: &str| unicode_security::skeleton(text).collect::<String>();
        let folded = caseless::default_case_fold_str(normalised);
        Self {
            text: normalised.into(),
            keys: [hash(0, &skeleton(normalised)), hash(1, &skeleton(&folded))],
        }
    }
}

/// The same for everybody and in every release, because keys are compared across both.
fn hash(kind: u8, skeleton: &str) -> u64 {
    let hash = Sha256::new_with_prefix([kind])
        .chain_update(skeleton)
        .finalize();
    u64::from_be_bytes(hash[..8].try_into().expect("8 of 32 bytes"))
}

/// A symbol of Unicode 1.1.
const STAND_IN: char = '☃';
/// Enough for every living script, but not for a tower of marks.
const MAX_MARKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed() {
        for (given, normal) in [
            ("Ann", "Ann"),
            ("  Foo   Bar ", "Foo Bar"),
            ("홍길동", "홍길동"),
            ("\u{1112}\u{1169}\u{11BC}", "홍"),
            ("ＡＢＣ", "ABC"),
            ("نور", "نور"),
            ("😀 x", "😀 x"),
            ("  🥹  ☃ 👍🏽 ", "🥹 ☃ 👍🏽"),
            ("12345678901234567890", "12345678901234567890"),
            ("🇰🇷", "🇰🇷"),
            ("क्षत्रिय", "क्षत्रिय"),
        ] {
            assert_eq!(normalise(given, 20).as_deref(), Ok(normal), "{given:?}");
        }
    }

    #[test]
    fn refused() {
        let long = "x".repeat(21);
        let zalgo = format!("a{}", "\u{0351}".repeat(5));
        let huge = "가".repeat(100_000);
        // One grapheme of hundreds of letters.
        let signs = format!("{}a", "\u{0D4E}".repeat(300));
        for bad in [
            "",
            " ",
            "\u{202E}abc",
            "a\u{200B}b",
            "a\u{200D}b",
            "\u{3164}",
            "\u{FEFF}",
            "a\u{00AD}b",
            "a\nb",
            "\0",
            "\u{0301}",
            "\u{2066}x",
            "x\u{FE0F}",
            "\u{E0041}x",
            &long,
            &zalgo,
            &huge,
            &signs,
        ] {
            let told = normalise(bad, 20).map_err(|error| error.code);
            assert_eq!(told, Err(Code::BadNickname), "{bad:?}");
        }
    }

    #[test]
    fn nicknames_that_look_alike_share_a_key() {
        let alike = |a: &str, b: &str| {
            let (a, b) = (Nickname::new(a).keys, Nickname::new(b).keys);
            a[0] == b[0] || a[1] == b[1]
        };
        for like in ["paypal", "PayPal", "раураl", "PAYPAL"] {
            assert!(alike("paypal", like), "{like}");
        }
        assert!(!alike("paypal", "paypa1x"));
        assert!(!alike("αλφα", "βήτα"));
    }

    /// Keys outlive a release, so their hash must never change.
    #[test]
    fn keys_are_the_same_in_every_release() {
        let keys = [5_596_000_470_736_006_741, 18_222_927_465_472_343_165];
        assert_eq!(Nickname::new("Ann").keys, keys);
    }
}
