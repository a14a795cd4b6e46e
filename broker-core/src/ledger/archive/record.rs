//! What an entry recorded, as an archive spells it.

use serde::{Deserialize, Serialize};

use crate::account::UserId;
use crate::chain::{Block, Payment};
use crate::clock::Timestamp;
use crate::command::{Binding, Books, Hold, ReleaseReason, Retire, Seal, Settle};
use crate::digest::{Digest32, Fingerprint, RequestKey};
use crate::ledger::entry::EntryKind;
use crate::ledger::journal::{Line, Written};
use crate::money::Neuron;
use crate::receipt::{Outcome, Proof, Receipt, ReceiptId};
use crate::signer::{Address, Signature};
use crate::tariff::{Tariff, Usage, UsageSource};
use crate::voucher::{Domain, SignedVoucher, Voucher};

use super::text::{Hex, HexBytes, number, outcome, reason, receipt_id, source, user};

/// The record under the name of its kind.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RecordJson {
    /// The cover follows from the movements; `memo` says whether there is a limit.
    Mirror {
        memo: Hex<32>,
    },
    Reserve(HoldJson),
    Capture(Box<ReceiptJson>),
    /// The receipt is in an earlier archive, and `memo` is its digest.
    Retired {
        memo: Hex<32>,
        leaf: Hex<32>,
    },
    Release {
        #[serde(with = "reason")]
        why: ReleaseReason,
    },
    Bind {
        #[serde(with = "number")]
        chain_id: u64,
        contract: Hex<20>,
        provider: Hex<20>,
    },
    Escrow {
        cover: Neuron,
        #[serde(with = "number")]
        nonce: u64,
    },
    Seal {
        voucher: VoucherJson,
        carry: Neuron,
        sealed_to: u64,
        since: u64,
    },
    Countersign(VoucherJson),
    Settle(SettleJson),
    Freeze {
        #[serde(with = "number")]
        nonce: u64,
    },
    Retire {
        upto: u64,
        archive: Hex<32>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldJson {
    fingerprint: Hex<32>,
    #[serde(with = "receipt_id")]
    receipt: ReceiptId,
    amount: Neuron,
    input_price: Neuron,
    output_price: Neuron,
    /// As [`Tariff::schedule_bytes`] writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<HexBytes>,
    #[serde(with = "number")]
    expires: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptJson {
    #[serde(with = "receipt_id")]
    id: ReceiptId,
    #[serde(with = "outcome")]
    outcome: Outcome,
    status: u16,
    input: u64,
    cached_input: u64,
    cache_write: u64,
    cache_write_1h: u64,
    output: u64,
    #[serde(with = "source")]
    source: UsageSource,
    fee: Neuron,
    request_hash: Hex<32>,
    response_hash: Hex<32>,
    bytes: u64,
    events: u64,
    signature: Hex<65>,
    signing_address: Hex<20>,
    upstream_id: Option<String>,
    drained: bool,
    #[serde(with = "number")]
    served_at: u64,
    /// As [`Proof::to_bytes`] writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<HexBytes>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VoucherJson {
    #[serde(with = "user")]
    user: UserId,
    provider: Hex<20>,
    total: Neuron,
    requests_hash: Hex<32>,
    #[serde(with = "number")]
    nonce: u64,
    signature: Hex<65>,
    signing_address: Hex<20>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SettleJson {
    #[serde(with = "number")]
    nonce: u64,
    paid: Neuron,
    cover: Neuron,
    block: u64,
    block_hash: Hex<32>,
    transaction: Hex<32>,
}

impl RecordJson {
    pub(super) fn of(line: &Line) -> Self {
        match &line.written {
            Written::Cover => Self::Mirror { memo: Hex(line.entry.memo.0) },
            Written::Hold(hold) => Self::Reserve(HoldJson::of(hold)),
            Written::Receipt(receipt) => Self::Capture(Box::new(ReceiptJson::of(receipt))),
            Written::Retired(leaf) => {
                Self::Retired { memo: Hex(line.entry.memo.0), leaf: Hex(leaf.0) }
            }
            Written::Release(why) => Self::Release { why: *why },
            Written::Binding(Binding { domain, provider }) => Self::Bind {
                chain_id: domain.chain_id,
                contract: Hex(domain.contract.0),
                provider: Hex(provider.0),
            },
            Written::Escrow { cover, nonce } => Self::Escrow { cover: *cover, nonce: *nonce },
            Written::Seal(seal, carry) => Self::Seal {
                voucher: VoucherJson::of(&seal.voucher),
                carry: *carry,
                sealed_to: seal.sealed_to,
                since: seal.since,
            },
            Written::Countersign(signed) => Self::Countersign(VoucherJson::of(signed)),
            Written::Settle(settle) => {
                let Payment { paid, cover, block, transaction } = settle.payment;
                let (block, block_hash) = (block.number, Hex(block.hash.0));
                let (nonce, transaction) = (settle.nonce, Hex(transaction.0));
                Self::Settle(SettleJson { nonce, paid, cover, block, block_hash, transaction })
            }
            Written::Freeze(nonce) => Self::Freeze { nonce: *nonce },
            Written::Retire(Retire { upto, archive }) => {
                Self::Retire { upto: *upto, archive: Hex(archive.0) }
            }
        }
    }

    /// The record, its kind, and its digest, which the chain covers.
    pub(super) fn written(
        self,
        user: UserId,
        key: Option<RequestKey>,
        at: Timestamp,
    ) -> Result<(EntryKind, Digest32, Written), String> {
        let of_request = || key.ok_or_else(|| "its key is missing".to_owned());
        Ok(match self {
            Self::Mirror { memo } => (EntryKind::Mirror, Digest32(memo.0), Written::Cover),
            Self::Reserve(hold) => {
                let hold = hold.hold(user, of_request()?)?;
                (EntryKind::Reserve, hold.digest(at), Written::Hold(Box::new(hold)))
            }
            Self::Capture(receipt) => {
                let receipt = receipt.receipt(user)?;
                (EntryKind::Capture, receipt.digest(), Written::Receipt(Box::new(receipt)))
            }
            Self::Retired { memo, leaf } => {
                (EntryKind::Capture, Digest32(memo.0), Written::Retired(Digest32(leaf.0)))
            }
            Self::Release { why } => {
                (EntryKind::Release, why.digest(&of_request()?, at), Written::Release(why))
            }
            Self::Bind { chain_id, contract, provider } => {
                let domain = Domain { chain_id, contract: Address(contract.0) };
                let binding = Binding { domain, provider: Address(provider.0) };
                (EntryKind::Bind, binding.digest(), Written::Binding(binding))
            }
            Self::Escrow { cover, nonce } => {
                let memo = Books::escrow_digest(&user, cover, nonce);
                (EntryKind::Escrow, memo, Written::Escrow { cover, nonce })
            }
            Self::Seal { voucher, carry, sealed_to, since } => {
                let seal = Seal { voucher: voucher.signed(), sealed_to, since };
                (EntryKind::Seal, seal.digest(carry), Written::Seal(Box::new(seal), carry))
            }
            Self::Countersign(voucher) => {
                let signed = voucher.signed();
                let memo = signed.record_digest();
                (EntryKind::Countersign, memo, Written::Countersign(Box::new(signed)))
            }
            Self::Settle(settle) => {
                let settle = settle.settle(user);
                (EntryKind::Settle, settle.digest(), Written::Settle(Box::new(settle)))
            }
            Self::Freeze { nonce } => {
                (EntryKind::Freeze, Books::freeze_digest(&user, nonce), Written::Freeze(nonce))
            }
            Self::Retire { upto, archive } => {
                let retire = Retire { upto, archive: Digest32(archive.0) };
                (EntryKind::Retire, retire.digest(), Written::Retire(retire))
            }
        })
    }
}

impl HoldJson {
    fn of(hold: &Hold) -> Self {
        Self {
            fingerprint: Hex(hold.fingerprint.0.0),
            receipt: hold.receipt,
            amount: hold.amount,
            input_price: hold.tariff.input_price,
            output_price: hold.tariff.output_price,
            schedule: hold.tariff.schedule_bytes().map(HexBytes),
            expires: hold.expires.0,
        }
    }

    fn hold(self, user: UserId, key: RequestKey) -> Result<Hold, String> {
        let schedule = self.schedule.map(|HexBytes(bytes)| bytes);
        let tariff = Tariff::from_parts(self.input_price, self.output_price, schedule.as_deref());
        Ok(Hold {
            key,
            fingerprint: Fingerprint(Digest32(self.fingerprint.0)),
            receipt: self.receipt,
            user,
            amount: self.amount,
            tariff: tariff.ok_or_else(|| "it is no schedule of prices".to_owned())?,
            expires: Timestamp(self.expires),
        })
    }
}

impl ReceiptJson {
    fn of(receipt: &Receipt) -> Self {
        let usage = &receipt.usage;
        Self {
            id: receipt.id,
            outcome: receipt.outcome,
            status: receipt.status,
            input: usage.input,
            cached_input: usage.cached_input,
            cache_write: usage.cache_write,
            cache_write_1h: usage.cache_write_1h,
            output: usage.output,
            source: usage.source,
            fee: receipt.fee,
            request_hash: Hex(receipt.request_hash.0),
            response_hash: Hex(receipt.response_hash.0),
            bytes: receipt.bytes,
            events: receipt.events,
            signature: Hex(receipt.signature.0),
            signing_address: Hex(receipt.signing_address.0),
            upstream_id: receipt.upstream_id.clone(),
            drained: receipt.drained,
            served_at: receipt.served_at.0,
            proof: receipt.proof.as_deref().map(|proof| HexBytes(proof.to_bytes())),
        }
    }

    fn receipt(self, user: UserId) -> Result<Receipt, String> {
        let proof = self.proof.map(|HexBytes(bytes)| {
            let proof = Proof::from_bytes(&bytes).map(Box::new);
            proof.ok_or_else(|| "its proof is none".to_owned())
        });
        Ok(Receipt {
            id: self.id,
            user,
            outcome: self.outcome,
            status: self.status,
            usage: Usage {
                input: self.input,
                cached_input: self.cached_input,
                cache_write: self.cache_write,
                cache_write_1h: self.cache_write_1h,
                output: self.output,
                source: self.source,
            },
            fee: self.fee,
            request_hash: Digest32(self.request_hash.0),
            response_hash: Digest32(self.response_hash.0),
            bytes: self.bytes,
            events: self.events,
            signature: Signature(self.signature.0),
            signing_address: Address(self.signing_address.0),
            upstream_id: self.upstream_id,
            drained: self.drained,
            served_at: Timestamp(self.served_at),
            proof: proof.transpose()?,
        })
    }
}

impl VoucherJson {
    fn of(signed: &SignedVoucher) -> Self {
        let SignedVoucher { voucher, signature, signing_address } = signed;
        Self {
            user: voucher.user,
            provider: Hex(voucher.provider.0),
            total: voucher.total,
            requests_hash: Hex(voucher.requests_hash.0),
            nonce: voucher.nonce,
            signature: Hex(signature.0),
            signing_address: Hex(signing_address.0),
        }
    }

    fn signed(self) -> SignedVoucher {
        let voucher = Voucher {
            user: self.user,
            provider: Address(self.provider.0),
            total: self.total,
            requests_hash: Digest32(self.requests_hash.0),
            nonce: self.nonce,
        };
        let signing_address = Address(self.signing_address.0);
        SignedVoucher { voucher, signature: Signature(self.signature.0), signing_address }
    }
}

impl SettleJson {
    fn settle(self, user: UserId) -> Settle {
        let block = Block { number: self.block, hash: Digest32(self.block_hash.0) };
        let transaction = Digest32(self.transaction.0);
        let payment = Payment { paid: self.paid, cover: self.cover, block, transaction };
        Settle { user, nonce: self.nonce, payment }
    }
}
