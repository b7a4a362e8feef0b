//! Default nicknames, in the visitor's language.

use std::ops::Range;

use super::nickname::Nickname;
use crate::protocol::MemberId;

/// The language of generated nicknames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    #[default]
    English,
    Korean,
}

impl Language {
    /// From a BCP 47 tag such as `ko-KR`; English for any other language.
    pub(crate) fn of_locale(locale: &str) -> Self {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("ko") {
            Self::Korean
        } else {
            Self::English
        }
    }
}

/// Default nicknames for a member, of which the room takes the first free one. The first of all is
/// the same whenever the member comes back.
pub(crate) fn candidates(
    language: Language,
    member: MemberId,
    attempts: Range<u32>,
) -> impl Iterator<Item = Nickname> {
    let [seed @ .., _, _, _, _, _, _, _] = member.0;
    attempts.map(move |attempt| {
        let bits = mix(u64::from_le_bytes(seed), attempt);
        Nickname::new(&nickname(language, bits, attempt / 4))
    })
}

/// A different number for each attempt (the finaliser of SplitMix64).
fn mix(seed: u64, attempt: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(attempt).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Two words picked by `bits`, at most 20 characters. From the second `attempt` on a number is
/// appended, which gets longer with each, so that even in a room of a million members a free
/// nickname is found in a few attempts.
pub(crate) fn nickname(language: Language, bits: u64, attempt: u32) -> String {
    let (first, second) = match language {
        Language::English => (&QUALITIES_EN, &ANIMALS_EN),
        Language::Korean => (&QUALITIES_KO, &ANIMALS_KO),
    };
    let words = format!(
        "{} {}",
        first[(bits % 64) as usize],
        second[(bits / 64 % 64) as usize]
    );
    match attempt {
        0 => words,
        _ => format!(
            "{words} {}",
            2 + bits / 4096 % (10u64.pow(attempt.min(6)) - 2)
        ),
    }
}

#[rustfmt::skip]
const QUALITIES_EN: [&str; 64] = [
    "Amber", "Ample", "Azure", "Bold", "Brave", "Breezy", "Bright", "Brisk", "Calm", "Candid", "Clever", "Cosmic", "Cozy",
    "Crisp", "Daring", "Dewy", "Eager", "Early", "Fair", "Fancy", "Fleet", "Fond", "Fresh", "Gentle", "Glad", "Golden",
    "Grand", "Happy", "Hardy", "Honest", "Humble", "Ivory", "Jolly", "Keen", "Kind", "Light", "Lively", "Lucky", "Lunar",
    "Mellow", "Merry", "Mild", "Misty", "Modest", "Neat", "Noble", "Olive", "Placid", "Polite", "Proud", "Quick", "Quiet",
    "Rapid", "Ruby", "Serene", "Silent", "Sleek", "Snowy", "Sunny", "Swift", "Tidy", "Vivid", "Warm", "Wise",
];
#[rustfmt::skip]
const ANIMALS_EN: [&str; 64] = [
    "Alpaca", "Badger", "Bear", "Beaver", "Bison", "Camel", "Canary", "Cat", "Condor", "Crane", "Coyote", "Deer", "Dingo",
    "Dove", "Duck", "Eagle", "Falcon", "Ferret", "Finch", "Fox", "Gecko", "Gibbon", "Goose", "Hare", "Hawk", "Heron", "Horse",
    "Ibex", "Iguana", "Jackal", "Koala", "Lark", "Lemur", "Lion", "Llama", "Lynx", "Magpie", "Marten", "Mole", "Moose",
    "Newt", "Ocelot", "Orca", "Oriole", "Otter", "Owl", "Panda", "Parrot", "Pigeon", "Puffin", "Rabbit", "Raven", "Robin",
    "Seal", "Sloth", "Stork", "Swan", "Tapir", "Tiger", "Toucan", "Turtle", "Walrus", "Wolf", "Zebra",
];
#[rustfmt::skip]
const QUALITIES_KO: [&str; 64] = [
    "고요한", "기쁜", "느긋한", "다정한", "단단한", "당당한", "따뜻한", "똑똑한", "맑은", "명랑한", "밝은", "복된", "부드러운", "부지런한", "빛나는", "빠른",
    "산뜻한", "상냥한", "새로운", "설레는", "성실한", "소박한", "솔직한", "수줍은", "슬기로운", "시원한", "신나는", "싱그러운", "씩씩한", "아늑한", "아담한", "영리한",
    "예쁜", "온화한", "용감한", "우아한", "유쾌한", "은은한", "의젓한", "자유로운", "잔잔한", "재빠른", "점잖은", "정다운", "조용한", "즐거운", "지혜로운", "차분한",
    "착한", "참된", "청명한", "친절한", "침착한", "쾌활한", "튼튼한", "평온한", "포근한", "푸른", "풋풋한", "한가한", "행복한", "향긋한", "환한", "활기찬",
];
#[rustfmt::skip]
const ANIMALS_KO: [&str; 64] = [
    "갈매기", "강아지", "개구리", "개미", "거북이", "고라니", "고래", "고슴도치", "고양이", "곰", "공작", "기러기", "기린", "까치", "꾀꼬리", "나비",
    "낙타", "너구리", "다람쥐", "달팽이", "담비", "독수리", "돌고래", "두더지", "두루미", "듀공", "딱따구리", "라마", "망아지", "매", "메추리", "무당벌레",
    "물개", "물범", "미어캣", "바다표범", "반달곰", "백조", "병아리", "부엉이", "불곰", "비둘기", "비버", "사슴", "사자", "산양", "삵", "수달",
    "수리", "스라소니", "알파카", "앵무새", "얼룩말", "여우", "오리", "올빼미", "원앙", "제비", "참새", "캥거루", "코알라", "토끼", "판다", "호랑이",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::nickname::normalise;

    #[test]
    fn every_generated_nickname_is_allowed() {
        for language in [Language::English, Language::Korean] {
            for words in 0..4096 {
                let name = nickname(language, words, 0);
                assert_eq!(normalise(&name, 20), Ok(name));
                let name = nickname(language, words + 4096 * 999_997, 9);
                assert_eq!(normalise(&name, 20), Ok(name));
            }
        }
    }

    #[test]
    fn there_are_4096_pairs_of_words_in_each_language() {
        for language in [Language::English, Language::Korean] {
            let names: std::collections::HashSet<_> =
                (0..4096).map(|bits| nickname(language, bits, 0)).collect();
            assert_eq!(names.len(), 4096);
        }
    }

    #[test]
    fn the_locale_decides_the_language() {
        assert_eq!(Language::of_locale("ko-KR"), Language::Korean);
        assert_eq!(Language::of_locale("KO"), Language::Korean);
        assert_eq!(Language::of_locale("kok"), Language::English);
        assert_eq!(Language::of_locale(""), Language::English);
    }
}
