//! Nicknames: which are allowed, and which look alike.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use precis_profiles::Nickname;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use unicode_general_category::{GeneralCategory as Category, get_general_category as category};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use crate::error::{Code, Error};
use crate::id::MemberId;
use crate::text::is_default_ignorable;

/// Normalises a nickname by RFC 8266 and checks it.
///
/// # Errors
/// `bad_nickname`: nothing left; over `most_graphemes`; control, direction or zero-width characters; only marks; marks piled
/// up.
pub(crate) fn normalise(nickname: &str, most_graphemes: usize) -> Result<String, Error> {
    let bad = |why: &str| Err(Error::new(Code::BadNickname, format!("A nickname {why}")));
    // A grapheme of a nickname has a handful of bytes; no more work than that is done for anybody.
    if nickname.len() > most_graphemes * 64 {
        return bad(&format!("is at most {most_graphemes} characters long"));
    }
    // The profile refuses decomposed Hangul, as some systems type it, unless it is composed first.
    let composed: String = nickname.nfkc().collect();
    // Symbols later than the Unicode 6.3 of the profile's tables, most of today's emoji, are let through as one that it knows.
    let known: String = composed
        .chars()
        .map(|c| if is_symbol(c) { STAND_IN } else { c })
        .collect();
    let Ok(nickname) = Nickname::enforce(known.as_str()) else {
        return bad(
            "holds letters, digits, symbols and single spaces, and no invisible characters",
        );
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
        return bad("holds no invisible characters");
    }
    if nickname
        .chars()
        .all(|c| is_combining_mark(c) || c.is_whitespace())
    {
        return bad("shows something");
    }
    let mut graphemes = 0;
    for grapheme in nickname.graphemes(true) {
        graphemes += 1;
        let marks = grapheme.chars().filter(|c| is_combining_mark(*c)).count();
        // Two letters of a flag, and where marks join letters, one more for each.
        if marks > MOST_MARKS || grapheme.chars().count() > 2 * marks + 2 {
            return bad("does not pile up marks");
        }
    }
    match graphemes {
        0 => bad("is not empty"),
        n if n > most_graphemes => bad(&format!("is at most {most_graphemes} characters long")),
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

/// The nicknames of a room: no two alike. Two are alike when their skeletons (UTS 39), or those of their case-folded forms,
/// are equal.
///
/// Kept as keyed 64-bit hashes, 16 bytes each: among a million members the chance that any two different nicknames are
/// taken for alike is one in ten million.
#[derive(Default)]
pub(crate) struct Nicknames {
    hasher: RandomState,
    owners: HashMap<u64, MemberId>,
}

impl Nicknames {
    /// Whether somebody other than `me` has a nickname like this one.
    pub(crate) fn is_taken(&self, nickname: &str, me: MemberId) -> bool {
        self.keys(nickname)
            .iter()
            .any(|key| self.owners.get(key).is_some_and(|owner| *owner != me))
    }

    pub(crate) fn insert(&mut self, nickname: &str, owner: MemberId) {
        for key in self.keys(nickname) {
            self.owners.insert(key, owner);
        }
    }

    pub(crate) fn remove(&mut self, nickname: &str) {
        for key in self.keys(nickname) {
            self.owners.remove(&key);
        }
    }

    fn keys(&self, nickname: &str) -> [u64; 2] {
        let skeleton = |text: &str| unicode_security::skeleton(text).collect::<String>();
        let folded = caseless::default_case_fold_str(nickname);
        [
            self.hasher.hash_one((0, skeleton(nickname))),
            self.hasher.hash_one((1, skeleton(&folded))),
        ]
    }
}

/// A symbol of Unicode 1.1.
const STAND_IN: char = '☃';
/// Enough for every living script; not for a tower.
const MOST_MARKS: usize = 4;

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
    fn alike() {
        let (me, other) = (MemberId([1; 15]), MemberId([2; 15]));
        let mut names = Nicknames::default();
        names.insert("paypal", me);
        for like in ["paypal", "PayPal", "раураl", "PAYPAL"] {
            assert!(names.is_taken(like, other), "{like}");
            assert!(!names.is_taken(like, me), "{like}");
        }
        assert!(!names.is_taken("paypa1x", other));
        names.remove("paypal");
        assert!(!names.is_taken("PayPal", other));
        names.insert("αλφα", me);
        assert!(!names.is_taken("βήτα", other));
    }
}
