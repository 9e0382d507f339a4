//! The levels of a value that is being written, and how many elements its lists have.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
        SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{DEPTH_MAX, Room, TOO_DEEP, Writing};

/// A part of serde's conversation, and what is left of what may be said.
struct Limited<'a, T> {
    inner: T,
    limits: Limits<'a>,
}

/// A value at some level.
struct Written<'a, V: ?Sized> {
    value: &'a V,
    limits: Limits<'a>,
}

#[derive(Clone, Copy)]
struct Limits<'a> {
    /// Below this value.
    levels: u32,
    room: &'a Room,
}

impl Limits<'_> {
    fn below<E>(self, refuse: impl FnOnce(&'static str) -> E) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(refuse(TOO_DEEP)),
        }
    }
}

/// serde hands over references to elements, which do not say how large those are: only whoever reads them knows.
const SIZE_UNKNOWN: usize = 0;

impl<V: Serialize> Serialize for Writing<'_, V> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let limits = Limits { levels: DEPTH_MAX, room: self.0 };
        Written { value: self.1, limits }.serialize(serializer)
    }
}

impl<V: Serialize + ?Sized> Serialize for Written<'_, V> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Limited { inner: serializer, limits: self.limits })
    }
}

/// What has no levels is passed on as it is.
macro_rules! plain {
    ($($method:ident($($argument:ident: $kind:ty),*))*) => {$(
        #[inline]
        fn $method(self, $($argument: $kind),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($argument),*)
        }
    )*};
}

/// What could have had values inside takes a level, as it does for whoever reads it.
macro_rules! empty {
    ($($method:ident($($argument:ident: $kind:ty),*))*) => {$(
        #[inline]
        fn $method(self, $($argument: $kind),*) -> Result<S::Ok, S::Error> {
            self.limits.below(S::Error::custom)?;
            self.inner.$method($($argument),*)
        }
    )*};
}

/// What has one value inside hands it on a level below.
macro_rules! around {
    ($($method:ident($($argument:ident: $kind:ty),*))*) => {$(
        #[inline]
        fn $method<V: Serialize + ?Sized>(
            self,
            $($argument: $kind,)*
            value: &V,
        ) -> Result<S::Ok, S::Error> {
            let limits = self.limits.below(S::Error::custom)?;
            self.inner.$method($($argument,)* &Written { value, limits })
        }
    )*};
}

/// What has several values inside is begun a level below.
macro_rules! nested {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $next:ident)*) => {$(
        type $next = Limited<'a, S::$next>;

        #[inline]
        fn $method(self, $($argument: $kind),*) -> Result<Self::$next, S::Error> {
            let limits = self.limits.below(S::Error::custom)?;
            Ok(Limited { inner: self.inner.$method($($argument),*)?, limits })
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Limited<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    plain! {
        serialize_bool(value: bool)
        serialize_i8(value: i8)
        serialize_i16(value: i16)
        serialize_i32(value: i32)
        serialize_i64(value: i64)
        serialize_i128(value: i128)
        serialize_u8(value: u8)
        serialize_u16(value: u16)
        serialize_u32(value: u32)
        serialize_u64(value: u64)
        serialize_u128(value: u128)
        serialize_f32(value: f32)
        serialize_f64(value: f64)
        serialize_char(value: char)
        serialize_str(value: &str)
        serialize_bytes(value: &[u8])
        serialize_unit()
        serialize_unit_struct(name: &'static str)
    }

    empty! {
        serialize_none()
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str)
    }

    around! {
        serialize_some()
        serialize_newtype_struct(name: &'static str)
        serialize_newtype_variant(name: &'static str, index: u32, variant: &'static str)
    }

    nested! {
        serialize_seq(length: Option<usize>) -> SerializeSeq
        serialize_tuple(length: usize) -> SerializeTuple
        serialize_tuple_struct(name: &'static str, length: usize) -> SerializeTupleStruct
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, length: usize
        ) -> SerializeTupleVariant
        serialize_map(length: Option<usize>) -> SerializeMap
        serialize_struct(name: &'static str, length: usize) -> SerializeStruct
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, length: usize
        ) -> SerializeStructVariant
    }

    #[inline]
    fn collect_str<V: fmt::Display + ?Sized>(self, value: &V) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// One of several values, by their order alone.
macro_rules! in_order {
    ($($next:ident::$method:ident)*) => {$(
        impl<S: $next> $next for Limited<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $method<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), S::Error> {
                let value = Written { value, limits: self.limits };
                self.inner.$method(&value)
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

impl<S: SerializeSeq> SerializeSeq for Limited<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_element<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), S::Error> {
        self.limits.room.take_element(SIZE_UNKNOWN, S::Error::custom)?;
        let value = Written { value, limits: self.limits };
        self.inner.serialize_element(&value)
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

in_order! {
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

/// One of several values, by its name.
macro_rules! by_name {
    ($($next:ident)*) => {$(
        impl<S: $next> $next for Limited<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn serialize_field<V: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &V,
            ) -> Result<(), S::Error> {
                let value = Written { value, limits: self.limits };
                self.inner.serialize_field(name, &value)
            }

            #[inline]
            fn skip_field(&mut self, name: &'static str) -> Result<(), S::Error> {
                self.inner.skip_field(name)
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

by_name! { SerializeStruct SerializeStructVariant }

impl<S: SerializeMap> SerializeMap for Limited<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_key<V: Serialize + ?Sized>(&mut self, key: &V) -> Result<(), S::Error> {
        self.limits.room.take_element(SIZE_UNKNOWN, S::Error::custom)?;
        let key = Written { value: key, limits: self.limits };
        self.inner.serialize_key(&key)
    }

    #[inline]
    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), S::Error> {
        self.limits.room.take_element(SIZE_UNKNOWN, S::Error::custom)?;
        let value = Written { value, limits: self.limits };
        self.inner.serialize_value(&value)
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}
