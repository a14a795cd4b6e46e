//! How the crate's values are stored in a column, and read back.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
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

/// A 64-bit count in SQLite's signed integer: the same bits, whatever the sign says.
#[derive(Clone, Copy)]
pub(super) struct Count(pub(super) u64);

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Integer(self.0.cast_signed())))
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(|bits| Self(bits.cast_unsigned()))
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Integer(self.0.cast_signed())))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Count::column_result(value).map(|Count(millis)| Self(millis))
    }
}

impl ToSql for Neuron {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Blob(self.to_be_bytes().to_vec())))
    }
}

impl FromSql for Neuron {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(Self::from_be_bytes)
    }
}

macro_rules! stored_as_bytes {
    ($($type:ty, $size:literal, $read:expr, $write:expr;)*) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let write: fn(&Self) -> &[u8; $size] = $write;
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(write(self))))
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                <[u8; $size]>::column_result(value).map($read)
            }
        }
    )*};
}

stored_as_bytes! {
    UserId, 20, Self::new, |user| user.as_bytes();
    Digest32, 32, Self, |digest| &digest.0;
    RequestKey, 32, |bytes| Self(Digest32(bytes)), |key| &key.0.0;
    Fingerprint, 32, |bytes| Self(Digest32(bytes)), |fingerprint| &fingerprint.0.0;
    ReceiptId, 16, |bytes| Self(Uuid::from_bytes(bytes)), |id| id.0.as_bytes();
    Signature, 65, Self, |signature| &signature.0;
    Address, 20, Self, |address| &address.0;
}

macro_rules! stored_as_code {
    ($($type:ty;)*) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Owned(Value::Integer(i64::from(*self as u8))))
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let code = u8::column_result(value)?;
                Self::from_code(code).ok_or(FromSqlError::OutOfRange(i64::from(code)))
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
