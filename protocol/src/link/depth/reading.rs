//! The levels of a value that is being read, and what it takes in memory.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor},
};

use super::{DEPTH_MAX, ELEMENTS_AT_ONCE, PATH_SIZE_MAX, Reading, Room, TOO_DEEP};

/// A list is made with room for no more elements than this, however many it is said to have.
const EXPECTED_MAX: usize = 256;

/// A part of serde's conversation, and what is left of what it may be made to say.
struct Limited<'a, T> {
    inner: T,
    limits: Limits<'a>,
}

#[derive(Clone, Copy)]
struct Limits<'a> {
    /// Below this value.
    levels: u32,
    /// Of this value and those around it, what is left for those inside, in bytes.
    path: usize,
    room: &'a Room,
}

impl<'a> Limits<'a> {
    /// A level below, of a value that takes so many bytes.
    fn below<E>(self, size: usize, refuse: impl Fn(&'static str) -> E) -> Result<Self, E> {
        self.room.take(size, size, &refuse)?;
        match (self.levels.checked_sub(1), self.path.checked_sub(size)) {
            (Some(levels), Some(path)) => Ok(Self { levels, path, ..self }),
            _ => Err(refuse(TOO_DEEP)),
        }
    }

    fn over<T>(self, inner: T) -> Limited<'a, T> {
        Limited { inner, limits: self }
    }
}

impl<'de, V: Deserialize<'de>> DeserializeSeed<'de> for Reading<'_, V> {
    type Value = V;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V, D::Error> {
        let limits = Limits { levels: DEPTH_MAX, path: PATH_SIZE_MAX, room: self.0 };
        V::deserialize(limits.over(deserializer))
    }
}

/// Visits a list or a map, whose length is said by the peer.
struct Counted<'a, V>(Limited<'a, V>);

/// The elements of one.
struct Elements<'a, A> {
    inner: Limited<'a, A>,
    /// Room for so many is made with the next one.
    at_once: usize,
}

impl<'a, A> Elements<'a, A> {
    fn of(inner: Limited<'a, A>) -> Self {
        Self { inner, at_once: ELEMENTS_AT_ONCE }
    }

    /// There is one more, of so many bytes.
    fn take<E>(&self, size: usize, refuse: impl FnOnce(&'static str) -> E) -> Result<(), E> {
        self.inner.limits.room.take_element(size * self.at_once, refuse)
    }
}

/// What has no levels is passed on as it is.
macro_rules! plain {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

/// What has as many values inside as the peer says is visited a level below, and they are counted.
macro_rules! counted {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            let limits = self.limits.below(size_of::<V::Value>(), D::Error::custom)?;
            self.inner.$method(Counted(limits.over(visitor)))
        }
    )*};
}

/// What has values inside is visited a level below.
macro_rules! nested {
    ($($method:ident($($argument:ident: $kind:ty),*))*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(
            self,
            $($argument: $kind,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            let limits = self.limits.below(size_of::<V::Value>(), D::Error::custom)?;
            self.inner.$method($($argument,)* limits.over(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Limited<'_, D> {
    type Error = D::Error;

    plain! {
        deserialize_any deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_bytes deserialize_unit deserialize_identifier
        deserialize_ignored_any
    }

    /// Copied from the frame, which must have it: bincode would make room for what the length says first.
    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_str(visitor)
    }

    /// As texts.
    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_bytes(visitor)
    }

    counted! { deserialize_seq deserialize_map }

    nested! {
        deserialize_option()
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Limited<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(formatter)
    }

    #[inline]
    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(self.limits.over(value))
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(self.limits.over(value))
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(self.limits.over(values))
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(self.limits.over(entries))
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(self.limits.over(variant))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Counted<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.inner.expecting(formatter)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<V::Value, A::Error> {
        let Limited { inner, limits } = self.0;
        inner.visit_seq(Elements::of(limits.over(values)))
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let Limited { inner, limits } = self.0;
        inner.visit_map(Elements::of(limits.over(entries)))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let element = self.inner.next_element_seed(seed)?;
        if element.is_some() {
            self.take(size_of::<S::Value>(), A::Error::custom)?;
            self.at_once = 1;
        }
        Ok(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|length| length.min(EXPECTED_MAX))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let key = self.inner.next_key_seed(seed)?;
        if key.is_some() {
            self.take(size_of::<S::Value>(), A::Error::custom)?;
        }
        Ok(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.inner.next_value_seed(seed)?;
        self.take(size_of::<S::Value>(), A::Error::custom)?;
        self.at_once = 1;
        Ok(value)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|length| length.min(EXPECTED_MAX))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Limited<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(self.limits.over(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(self.limits.over(seed))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(self.limits.over(seed))
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(self.limits.over(seed))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'a, A: EnumAccess<'de>> EnumAccess<'de> for Limited<'a, A> {
    type Error = A::Error;
    type Variant = Limited<'a, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, self.limits.over(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(self.limits.over(seed))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(length, self.limits.over(visitor))
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, self.limits.over(visitor))
    }
}
