//! Reading the fields of a JSON object strictly, without looking into those that nobody asks for.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Code, Error};
use super::id::RoomId;

/// The fields of an object, not yet parsed, so that fields which a command does not know stay
/// unread. Of several fields with one name the last one counts, as in browsers.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The field's JSON, unless it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let value = self.0.iter().rev().find(|(key, _)| key == name)?.1;
        (value.get() != "null").then_some(value)
    }

    fn typed<T: Deserialize<'a>>(&self, name: &str, what: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| bad_command(format!("`{name}` must be {what}")))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Error> {
        // A string without escapes is what stands between the quotes; it was validated already.
        let raw = self.get(name).map(RawValue::get);
        let inner = raw.and_then(|raw| raw.strip_prefix('"')?.strip_suffix('"'));
        if let Some(text) = inner.filter(|text| !text.as_bytes().contains(&b'\\')) {
            return Ok(Some(Cow::Borrowed(text)));
        }
        Ok(self
            .typed::<Name<'a>>(name, "a string")?
            .map(|Name(text)| text))
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.text(name)?.map(Cow::into_owned))
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "true or false")
    }

    pub(super) fn whole(&self, name: &str) -> Result<Option<u64>, Error> {
        let what = "a whole number from 0 to 2^53-1";
        match self.typed(name, what)? {
            Some(n) if n > MAX_INTEGER => Err(bad_command(format!("`{name}` must be {what}"))),
            n => Ok(n),
        }
    }

    pub(super) fn seq(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.whole(name)? {
            Some(0) => Err(bad_command(format!("`{name}` must be at least 1"))),
            seq => Ok(seq),
        }
    }

    pub(super) fn limit(&self) -> Result<Option<u64>, Error> {
        self.seq("limit")
    }

    pub(super) fn room(&self) -> Result<RoomId, Error> {
        RoomId::new(&self.required("room", self.text("room")?)?)
    }

    pub(super) fn key(&self) -> Result<Option<Cow<'a, str>>, Error> {
        match self.text("key")? {
            Some(key) if !is_key(&key) => Err(bad_command("`key` must be 1 to 64 characters long")),
            key => Ok(key),
        }
    }

    pub(super) fn position(&self, name: &str) -> Result<Option<(String, u64)>, Error> {
        let Some(position) = self.typed::<Fields<'a>>(name, "an object")? else {
            return Ok(None);
        };
        let epoch = position.required("epoch", position.string("epoch")?)?;
        Ok(Some((
            epoch,
            position.required("seq", position.whole("seq")?)?,
        )))
    }

    pub(super) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| bad_command(format!("`{name}` is missing")))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, map.next_value()?));
                    if fields.len() > MAX_FIELDS {
                        return Err(de::Error::custom("too many fields"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A string, borrowed if it contains no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

pub(super) fn bad_command(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Code::BadCommand, message)
}

pub(super) fn is_key(key: &str) -> bool {
    (1..=MAX_KEY_CHARS).contains(&key.chars().count())
}

/// The largest integer that a JavaScript number holds exactly.
pub(super) const MAX_INTEGER: u64 = (1 << 53) - 1;
const MAX_KEY_CHARS: usize = 64;
/// No command has a tenth of this.
const MAX_FIELDS: usize = 4096;
