//! What enters a hash, said by types.
//!
//! A [`Fingerprint`] names a piece of work: two stages with equal fingerprints would write the same bytes, so
//! the second never runs. What is hashed must therefore be exactly what decides the result, no less (stale
//! results would be reused) and no more (work would be repeated). [`ContentHash`] makes that a property of a
//! type: it is implemented field by field with [`content_hash!`](crate::content_hash), which does not compile
//! while a field is forgotten. An enum names each of its variants in the same macro: a new variant does not
//! compile until it is named, nor do two of one name.
//!
//! # Encoding
//! Every value is written as a one-byte type tag followed by its content; whatever has a
//! variable length (strings, sequences, maps, structs) writes its length first. Struct fields
//! are written with their names, so that two structs of the same layout differ. Integers
//! are 64-bit little endian, floats the bits of their `f64`. The encoding never changes
//! without a new [`FORMAT`]; a golden file in the tests holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Version of the canonical encoding; part of every hash.
pub const FORMAT: u64 = 1;

/// The identity of a piece of work: blake3 over the canonical encoding of all that decides its
/// result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Wraps raw bytes, for reading stored formats.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.short())
    }
}

/// A string that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("expected a fingerprint of 64 hexadecimal digits, found `{0}`")]
pub struct NotAFingerprint(String);

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match blake3::Hash::from_hex(text) {
            Ok(hash) => Ok(Self(*hash.as_bytes())),
            Err(_) => Err(NotAFingerprint(text.to_owned())),
        }
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Writes values in the canonical encoding into a hash.
#[derive(Debug, Clone)]
pub struct Encoder(blake3::Hasher);

impl Encoder {
    /// Starts a hash in a domain of its own (`"stage"`, `"data"`), so that equal contents of
    /// different meaning never collide.
    pub fn new(domain: &str) -> Self {
        let mut encoder = Self(blake3::Hasher::new());
        FORMAT.content_hash(&mut encoder);
        domain.content_hash(&mut encoder);
        encoder
    }

    /// Opens a struct of `fields` named fields.
    pub fn structure(&mut self, fields: usize) {
        self.tagged(b'S', &(fields as u64).to_le_bytes());
    }

    /// Writes one named field.
    pub fn field<T: ContentHash + ?Sized>(&mut self, name: &str, value: &T) {
        name.content_hash(self);
        value.content_hash(self);
    }

    /// Opens a sequence of `length` items.
    pub fn sequence(&mut self, length: usize) {
        self.tagged(b'[', &(length as u64).to_le_bytes());
    }

    /// The hash of all that was written.
    pub fn finish(&self) -> Fingerprint {
        Fingerprint(*self.0.finalize().as_bytes())
    }

    fn tagged(&mut self, tag: u8, content: &[u8]) {
        self.0.update(&[tag]);
        self.0.update(content);
    }
}

/// A value with a canonical encoding, fit to be part of a fingerprint.
pub trait ContentHash {
    /// Writes the value into `encoder`.
    fn content_hash(&self, encoder: &mut Encoder);
}

/// How a variant of an enum is written into a hash: by its name. Flags and ordinals are what some enums wrote
/// before their variants had names; their variants keep them, so that results from then keep their
/// fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A name.
    Name(&'static str),
    /// One of two.
    Flag(bool),
    /// A place in an order.
    Ordinal(u64),
}

impl Choice {
    /// Whether no two of these are written alike.
    pub const fn are_distinct(choices: &[Self]) -> bool {
        let mut first = 0;
        while first < choices.len() {
            let mut second = first + 1;
            while second < choices.len() {
                if choices[first].equals(choices[second]) {
                    return false;
                }
                second += 1;
            }
            first += 1;
        }
        true
    }

    /// `==`, which a constant cannot use.
    const fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(two)) => {
                let (one, two) = (one.as_bytes(), two.as_bytes());
                let mut at = 0;
                while at < one.len() && at < two.len() && one[at] == two[at] {
                    at += 1;
                }
                at == one.len() && at == two.len()
            }
            (Self::Flag(one), Self::Flag(two)) => one == two,
            (Self::Ordinal(one), Self::Ordinal(two)) => one == two,
            _ => false,
        }
    }
}

impl ContentHash for Choice {
    fn content_hash(&self, encoder: &mut Encoder) {
        match self {
            Self::Name(name) => name.content_hash(encoder),
            Self::Flag(flag) => flag.content_hash(encoder),
            Self::Ordinal(place) => place.content_hash(encoder),
        }
    }
}

/// Implements [`ContentHash`] for a struct by listing its fields, or for an enum by naming its variants.
///
/// # Structs
/// Fields after `skip` (what only changes how a run looks) are left out. A field in neither list does not
/// compile:
///
/// ```compile_fail
/// struct Rate { start: f64, end: f64 }
/// runner::content_hash!(Rate { start });
/// ```
///
/// # Enums
/// Every variant is written by a name that never changes. `legacy` keeps what a variant wrote before it had a
/// name.
///
/// ```
/// enum Order { First, Last, Random }
/// runner::content_hash!(enum Order { First => legacy Flag(false), Last => legacy Flag(true), Random => "random" });
/// ```
///
/// A variant without a name does not compile:
///
/// ```compile_fail
/// enum Order { First, Last }
/// runner::content_hash!(enum Order { First => "first" });
/// ```
///
/// Nor do two variants of one name:
///
/// ```compile_fail
/// enum Order { First, Last }
/// runner::content_hash!(enum Order { First => "first", Last => "first" });
/// ```
#[macro_export]
macro_rules! content_hash {
    (enum $type:ty { $($variant:ident => $($name:literal)? $(legacy $form:ident($was:literal))?),* $(,)? }) => {
        const _: () = assert!(
            $crate::fingerprint::Choice::are_distinct(
                &[$($crate::content_hash!(@choice $($name)? $(legacy $form($was))?)),*]
            ),
            "two variants are written alike",
        );

        impl $crate::fingerprint::ContentHash for $type {
            fn content_hash(&self, encoder: &mut $crate::fingerprint::Encoder) {
                let choice = match self {
                    $(Self::$variant => $crate::content_hash!(@choice $($name)? $(legacy $form($was))?),)*
                };
                choice.content_hash(encoder);
            }
        }
    };
    (@choice $name:literal) => { $crate::fingerprint::Choice::Name($name) };
    (@choice legacy $form:ident($was:literal)) => { $crate::fingerprint::Choice::$form($was) };
    ($type:ty { $($field:ident),* $(,)? } $(skip { $($skipped:ident),* $(,)? })?) => {
        impl $crate::fingerprint::ContentHash for $type {
            fn content_hash(&self, encoder: &mut $crate::fingerprint::Encoder) {
                let Self { $($field,)* $($($skipped: _,)*)? } = self;
                encoder.structure(<[&str]>::len(&[$(stringify!($field)),*]));
                $(encoder.field(stringify!($field), $field);)*
            }
        }
    };
}

impl<T: ContentHash + ?Sized> ContentHash for &T {
    fn content_hash(&self, encoder: &mut Encoder) {
        (**self).content_hash(encoder);
    }
}

impl ContentHash for str {
    fn content_hash(&self, encoder: &mut Encoder) {
        encoder.tagged(b's', &(self.len() as u64).to_le_bytes());
        encoder.0.update(self.as_bytes());
    }
}

impl ContentHash for String {
    fn content_hash(&self, encoder: &mut Encoder) {
        self.as_str().content_hash(encoder);
    }
}

impl ContentHash for bool {
    fn content_hash(&self, encoder: &mut Encoder) {
        encoder.tagged(b'b', &[u8::from(*self)]);
    }
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl ContentHash for $type {
            fn content_hash(&self, encoder: &mut Encoder) {
                encoder.tagged(b'u', &(*self as u64).to_le_bytes());
            }
        }
    )*};
}
unsigned!(u8, u16, u32, u64, usize);

impl ContentHash for f64 {
    fn content_hash(&self, encoder: &mut Encoder) {
        // -0.0 and 0.0 are equal to every computation we do with a parameter.
        let value = if *self == 0.0 { 0.0 } else { *self };
        encoder.tagged(b'f', &value.to_bits().to_le_bytes());
    }
}

impl ContentHash for Fingerprint {
    fn content_hash(&self, encoder: &mut Encoder) {
        encoder.tagged(b'h', &self.0);
    }
}

impl<T: ContentHash> ContentHash for Option<T> {
    fn content_hash(&self, encoder: &mut Encoder) {
        match self {
            None => encoder.tagged(b'?', &[0]),
            Some(value) => {
                encoder.tagged(b'?', &[1]);
                value.content_hash(encoder);
            }
        }
    }
}

impl<T: ContentHash> ContentHash for [T] {
    fn content_hash(&self, encoder: &mut Encoder) {
        encoder.sequence(self.len());
        for item in self {
            item.content_hash(encoder);
        }
    }
}

impl<T: ContentHash> ContentHash for Vec<T> {
    fn content_hash(&self, encoder: &mut Encoder) {
        self.as_slice().content_hash(encoder);
    }
}

impl<T: ContentHash, const N: usize> ContentHash for [T; N] {
    fn content_hash(&self, encoder: &mut Encoder) {
        self.as_slice().content_hash(encoder);
    }
}

impl<T: ContentHash> ContentHash for BTreeMap<String, T> {
    fn content_hash(&self, encoder: &mut Encoder) {
        encoder.tagged(b'{', &(self.len() as u64).to_le_bytes());
        for (key, value) in self {
            encoder.field(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(dead_code, reason = "only hashed")]
    struct Example {
        rate: f64,
        steps: usize,
        label: String,
    }
    content_hash!(Example { rate, steps } skip { label });

    fn hash(value: &impl ContentHash) -> Fingerprint {
        let mut encoder = Encoder::new("test");
        value.content_hash(&mut encoder);
        encoder.finish()
    }

    #[test]
    fn every_listed_field_changes_the_hash_and_a_skipped_one_does_not() {
        let base = Example { rate: 0.5, steps: 2, label: "a".into() };
        assert_ne!(hash(&base), hash(&Example { rate: 0.25, steps: 2, label: "a".into() }));
        assert_ne!(hash(&base), hash(&Example { rate: 0.5, steps: 3, label: "a".into() }));
        assert_eq!(hash(&base), hash(&Example { rate: 0.5, steps: 2, label: "b".into() }));
    }

    enum Turn {
        Left,
        Right,
        Back,
    }
    content_hash!(enum Turn { Left => legacy Flag(false), Right => legacy Flag(true), Back => "back" });

    #[test]
    fn variants_are_written_by_their_names_or_as_they_were_before() {
        assert_eq!(hash(&Turn::Left), hash(&false));
        assert_eq!(hash(&Turn::Right), hash(&true));
        assert_eq!(hash(&Turn::Back), hash(&"back".to_owned()));
        use Choice::{Flag, Name, Ordinal};
        assert!(Choice::are_distinct(&[
            Name("a"),
            Name("ab"),
            Name(""),
            Flag(false),
            Flag(true),
            Ordinal(0)
        ]));
        for twice in [[Name("a"), Name("a")], [Flag(true), Flag(true)], [Ordinal(1), Ordinal(1)]] {
            assert!(!Choice::are_distinct(&twice));
        }
    }

    #[test]
    fn values_of_different_shape_never_collide_by_concatenation() {
        assert_ne!(
            hash(&vec!["ab".to_owned(), "c".to_owned()]),
            hash(&vec!["a".to_owned(), "bc".to_owned()])
        );
        assert_ne!(hash(&Some(1u64)), hash(&1u64));
        assert_ne!(hash(&1u64), hash(&1.0f64));
        assert_ne!(hash(&vec![vec![1u64], vec![]]), hash(&vec![vec![], vec![1u64]]));
    }

    #[test]
    fn a_fingerprint_survives_its_text_form() {
        let fingerprint = hash(&7u64);
        assert_eq!(fingerprint.to_string().parse::<Fingerprint>().unwrap(), fingerprint);
        assert!("xyz".parse::<Fingerprint>().is_err());
    }
}
