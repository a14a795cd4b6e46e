//! How the crate's values are stored in a column, and read back.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::account::{Bucket, UserId};
use crate::clock::Timestamp;
use crate::command::ReleaseReason;
use crate::digest::{Digest32, Fingerprint, RequestKey};
use crate::ledger::entry::EntryKind;
use crate::money::Neuron;
use crate::receipt::{Outcome, ReceiptId};
use crate::signer::{Address, Signature};
use crate::tariff::UsageSource;

use super::numeric;

type Fallible<T> = Result<T, Box<dyn Error + Sync + Send>>;

/// A 64-bit count in PostgreSQL's signed integer: the same bits, whatever the sign says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) u64);

impl ToSql for Count {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        out.put_u64(self.0);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INT8
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Count {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Fallible<Self> {
        Ok(Self(u64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INT8
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        Count(self.0).to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INT8
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Fallible<Self> {
        Count::from_sql(kind, raw).map(|Count(millis)| Self(millis))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INT8
    }
}

impl ToSql for Neuron {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
        out.put_slice(&numeric::encode(*self));
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::NUMERIC
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Neuron {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Fallible<Self> {
        numeric::decode(raw).ok_or_else(|| "it is no amount from 0 to 2^128-1".into())
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::NUMERIC
    }
}

macro_rules! stored_as_bytes {
    ($($type:ty, $size:literal, $read:expr, $write:expr;)*) => {$(
        impl ToSql for $type {
            fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
                let write: fn(&Self) -> [u8; $size] = $write;
                out.put_slice(&write(self));
                Ok(IsNull::No)
            }

            fn accepts(kind: &Type) -> bool {
                *kind == Type::BYTEA
            }

            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $type {
            fn from_sql(_: &Type, raw: &'a [u8]) -> Fallible<Self> {
                let read: fn([u8; $size]) -> Self = $read;
                Ok(read(raw.try_into()?))
            }

            fn accepts(kind: &Type) -> bool {
                *kind == Type::BYTEA
            }
        }
    )*};
}

stored_as_bytes! {
    UserId, 20, Self::new, |user| *user.as_bytes();
    Digest32, 32, Self, |digest| digest.0;
    RequestKey, 32, |bytes| Self(Digest32(bytes)), |key| key.0.0;
    Fingerprint, 32, |bytes| Self(Digest32(bytes)), |fingerprint| fingerprint.0.0;
    ReceiptId, 16, |bytes| Self(Uuid::from_bytes(bytes)), |id| id.0.into_bytes();
    Signature, 65, Self, |signature| signature.0;
    Address, 20, Self, |address| address.0;
}

macro_rules! stored_as_code {
    ($($type:ty;)*) => {$(
        impl ToSql for $type {
            fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Fallible<IsNull> {
                out.put_i16(i16::from(*self as u8));
                Ok(IsNull::No)
            }

            fn accepts(kind: &Type) -> bool {
                *kind == Type::INT2
            }

            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $type {
            fn from_sql(_: &Type, raw: &'a [u8]) -> Fallible<Self> {
                let code = u8::try_from(i16::from_be_bytes(raw.try_into()?))?;
                Self::from_code(code).ok_or_else(|| format!("{code} is no code of its").into())
            }

            fn accepts(kind: &Type) -> bool {
                *kind == Type::INT2
            }
        }
    )*};
}

stored_as_code! {
    Bucket;
    EntryKind;
    ReleaseReason;
    Outcome;
    UsageSource;
}
