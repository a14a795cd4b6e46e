//! One entry as an archive's line.

use serde::{Deserialize, Serialize};

use crate::account::{Movement, UserId};
use crate::clock::Timestamp;
use crate::digest::{Digest32, RequestKey};
use crate::ledger::entry::Entry;
use crate::ledger::journal::Line;
use crate::money::Neuron;

use super::record::RecordJson;
use super::text::{BucketName, Hex, user};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineJson {
    /// Its place in the chain.
    seq: u64,
    /// The number under which its records are filed, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    at: u64,
    #[serde(with = "user")]
    user: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Hex<32>>,
    /// From, to, how much.
    moves: Vec<(BucketName, BucketName, Neuron)>,
    record: RecordJson,
    link: Hex<32>,
}

impl LineJson {
    pub(super) fn of(line: &Line, link: &Digest32) -> Self {
        let Entry { seq, number, user, key, at, ref movements, .. } = line.entry;
        let moves = movements
            .iter()
            .map(|step| (BucketName(step.debit), BucketName(step.credit), step.amount));
        Self {
            seq,
            number: (number != seq).then_some(number),
            at: at.0,
            user,
            key: key.map(|key| Hex(key.0.0)),
            moves: moves.collect(),
            record: RecordJson::of(line),
            link: Hex(link.0),
        }
    }

    /// The entry and its record.
    ///
    /// # Errors
    /// What cannot be.
    pub(super) fn line(self) -> Result<Line, String> {
        let user = self.user;
        let key = self.key.map(|Hex(bytes)| RequestKey(Digest32(bytes)));
        let at = Timestamp(self.at);
        let (kind, memo, written) = self.record.written(user, key, at)?;
        let moves = self.moves.into_iter();
        let movements = moves.map(|(BucketName(debit), BucketName(credit), amount)| Movement {
            user,
            debit,
            credit,
            amount,
        });
        let (seq, number) = (self.seq, self.number.unwrap_or(self.seq));
        let movements = movements.collect();
        let entry = Entry { seq, number, kind, user, key, memo, at, movements };
        Ok(Line { entry, link: Some(Digest32(self.link.0)), written })
    }
}
