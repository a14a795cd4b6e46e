//! Why the contract refuses, in words.

use alloy_sol_types::{Panic, Revert, SolError, SolInterface};

use crate::chain::ChainError;
use crate::chain::evm::abi::InferenceServingErrors as Reason;
use crate::chain::evm::rpc::{Refused, RpcError};

/// What is repeated of a contract's own words.
const REASON_CHARS_MAX: usize = 200;

impl Refused {
    /// Whether the contract reverted. Everything else that a node answers with an error says
    /// nothing about the contract.
    pub(super) fn is_revert(&self) -> bool {
        let said = || self.message.to_ascii_lowercase().contains("revert");
        self.revert.is_some() || self.code == REVERTED || said()
    }

    /// Whether the call takes more gas than there is.
    pub(super) fn is_out_of_gas(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        ["out of gas", "outofgas", "gas required exceeds", "gas limit", "intrinsic gas", "gas cap"]
            .iter()
            .any(|words| message.contains(words))
    }

    /// The contract's reason, where it is one that we know.
    pub(super) fn reason(&self) -> Option<Reason> {
        Reason::abi_decode(self.revert.as_deref()?).ok()
    }
}

/// The error of a call that the contract may have refused.
pub(super) fn verdict(error: RpcError) -> ChainError {
    match error {
        RpcError::Refused(refused) if refused.is_revert() => {
            ChainError::Reverted(explain(&refused))
        }
        other => other.into(),
    }
}

/// The reason in words, with what mends it where somebody can.
fn explain(refused: &Refused) -> String {
    if let Some(reason) = refused.reason() {
        return describe(&reason);
    }
    let data = refused.revert.as_deref().unwrap_or_default();
    let reason = match (Revert::abi_decode(data), Panic::abi_decode(data), data.first_chunk::<4>())
    {
        (Ok(revert), ..) => revert.reason,
        (_, Ok(panic), _) => panic.to_string(),
        (.., Some(selector)) => format!("{} (0x{})", refused.message, hex::encode(selector)),
        _ => refused.message.clone(),
    };
    let line = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(REASON_CHARS_MAX).collect()
}

fn describe(reason: &Reason) -> String {
    match reason {
        Reason::AccountNotExists(error) => {
            format!("AccountNotExists: {} has no account with {}", error.user, error.provider)
        }
        Reason::ServiceNotExist(error) => {
            format!("ServiceNotExist: {} has registered no service", error.provider)
        }
        Reason::InsufficientStake(error) => format!(
            "InsufficientStake: the first registration sends {} neuron, not {}",
            error.required, error.provided
        ),
        Reason::CannotAddStakeWhenUpdating(_) => {
            "CannotAddStakeWhenUpdating: the service exists already; a change sends no stake".into()
        }
        Reason::ProviderCannotBeUser(_) => {
            "ProviderCannotBeUser: the provider's wallet is the user's".into()
        }
        Reason::TransferFailed(_) => {
            "TransferFailed: the provider's address does not take the money".into()
        }
        Reason::AdditionalInfoTooLong(_) => {
            "AdditionalInfoTooLong: additionalInfo has more than 4096 bytes; shorten it".into()
        }
        Reason::NoSettlementsProvided(_) => "NoSettlementsProvided: no voucher was sent".into(),
        Reason::TooManySettlements(error) => format!(
            "TooManySettlements: {} vouchers in a transaction, and {} are allowed",
            error.count, error.max
        ),
        Reason::CallerNotLedger(error) => {
            format!("CallerNotLedger: only the LedgerManager may do this, not {}", error.caller)
        }
        Reason::InvalidTEESignature(_) => {
            "InvalidTEESignature: the registered signer did not sign this".into()
        }
    }
}

/// JSON-RPC's number for a reverted call.
const REVERTED: i64 = 3;

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;
    use crate::chain::evm::abi::{InsufficientStake, TransferFailed};

    fn refused(code: i64, message: &str, revert: Option<Vec<u8>>) -> Refused {
        let (origin, message) = ("http://node".to_owned(), message.to_owned());
        Refused { origin, code, message, revert }
    }

    #[test]
    fn a_revert_is_told_in_words() {
        let stake = InsufficientStake { provided: U256::from(1), required: U256::from(100) };
        for (data, words) in [
            (
                stake.abi_encode(),
                "InsufficientStake: the first registration sends 100 neuron, not 1",
            ),
            (
                TransferFailed {}.abi_encode(),
                "TransferFailed: the provider's address does not take the money",
            ),
            (Revert::from("paused\n").abi_encode(), "paused "),
            (vec![1, 2, 3, 4], "execution reverted (0x01020304)"),
        ] {
            let error = RpcError::Refused(refused(3, "execution reverted", Some(data)));
            let ChainError::Reverted(text) = verdict(error) else { panic!("no revert") };
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_node_s_trouble_is_no_revert() {
        for (code, message) in [
            (-32_005, "limit exceeded"),
            (-32_000, "header not found"),
            (-32_000, "missing trie node"),
            (429, "too many requests"),
        ] {
            let error = refused(code, message, None);
            assert!(!error.is_revert() && !error.is_out_of_gas(), "{message}");
            assert!(matches!(verdict(RpcError::Refused(error)), ChainError::Node(_)), "{message}");
        }
    }
}
