//! What is spoken of the InferenceServing contract: the part of its interface that a provider uses.
#![allow(missing_docs, clippy::indexing_slicing, reason = "the interface is generated code")]

use alloy_sol_types::sol;

sol! {
    #[derive(Debug)]
    interface InferenceServing {
        struct Refund {
            uint256 index;
            uint256 amount;
            uint256 createdAt;
            bool processed;
        }

        struct Account {
            address user;
            address provider;
            uint256 nonce;
            uint256 balance;
            uint256 pendingRefund;
            Refund[] refunds;
            string additionalInfo;
            bool acknowledged;
            uint256 validRefundsLength;
            uint256 generation;
            uint256 revokedBitmap;
        }

        struct RegisteredService {
            address provider;
            string serviceType;
            string url;
            uint256 inputPrice;
            uint256 outputPrice;
            uint256 updatedAt;
            string model;
            string verifiability;
            string additionalInfo;
            address teeSignerAddress;
            bool teeSignerAcknowledged;
        }

        struct OfferedService {
            string serviceType;
            string url;
            string model;
            string verifiability;
            uint256 inputPrice;
            uint256 outputPrice;
            string additionalInfo;
            address teeSignerAddress;
        }

        struct Settlement {
            address user;
            address provider;
            uint256 totalFee;
            bytes32 requestsHash;
            uint256 nonce;
            bytes signature;
        }

        function lockTime() external view returns (uint256);
        function ledgerAddress() external view returns (address);
        function MIN_PROVIDER_STAKE() external view returns (uint256);
        function getAccount(address user, address provider) external view returns (Account account);
        function getService(address provider)
            external view returns (RegisteredService service);
        function addOrUpdateService(OfferedService params) external payable;
        function removeService() external;
        function settleFeesWithTEE(Settlement[] settlements)
            external returns (uint8[] statuses);

        event TEESettlementResult(address indexed user, uint8 status, uint256 unsettledAmount);

        error AccountNotExists(address user, address provider);
        error ServiceNotExist(address provider);
        error InsufficientStake(uint256 provided, uint256 required);
        error CannotAddStakeWhenUpdating();
        error ProviderCannotBeUser();
        error TransferFailed();
        error AdditionalInfoTooLong();
        error NoSettlementsProvided();
        error TooManySettlements(uint256 count, uint256 max);
        error CallerNotLedger(address caller);
        error InvalidTEESignature(string reason);
    }
}

pub(super) use InferenceServing::*;

#[cfg(test)]
mod tests {
    use alloy_sol_types::{SolCall, SolError, SolEvent};

    use super::*;

    #[test]
    fn selectors_are_those_of_the_deployed_contract() {
        for (ours, theirs) in [
            (lockTimeCall::SELECTOR, "0d668087"),
            (ledgerAddressCall::SELECTOR, "d1d20056"),
            (MIN_PROVIDER_STAKECall::SELECTOR, "650190e7"),
            (getAccountCall::SELECTOR, "fd590847"),
            (getServiceCall::SELECTOR, "15a52302"),
            (addOrUpdateServiceCall::SELECTOR, "398c8e4e"),
            (removeServiceCall::SELECTOR, "bbee42d9"),
            (settleFeesWithTEECall::SELECTOR, "8be74119"),
            (AccountNotExists::SELECTOR, "08ca03ac"),
            (ServiceNotExist::SELECTOR, "098eda7e"),
            (InsufficientStake::SELECTOR, "45be0a26"),
            (CannotAddStakeWhenUpdating::SELECTOR, "96ab6ec5"),
            (ProviderCannotBeUser::SELECTOR, "99ed87d8"),
            (TransferFailed::SELECTOR, "90b8ec18"),
            (AdditionalInfoTooLong::SELECTOR, "ef54fd9d"),
            (NoSettlementsProvided::SELECTOR, "192912c9"),
            (TooManySettlements::SELECTOR, "f1c82a57"),
            (CallerNotLedger::SELECTOR, "52446b87"),
        ] {
            assert_eq!(hex::encode(ours), theirs);
        }
        assert_eq!(
            hex::encode(TEESettlementResult::SIGNATURE_HASH),
            "1f69e5b87fd0ce34b3760ba6e5d8aa95a36e316c3ba44e1e65a9d0eb9e96d0bf"
        );
    }
}
