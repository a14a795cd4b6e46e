//! The table. The tests of the sidecar run every line of it on 0G's own contracts, too.

use super::Status::{
    InvalidNonce, InvalidSignature, NoTeeSigner, Partial, ProviderMismatch, Success,
};
use super::Step::{
    Acknowledge, ChangeService, Deposit, Owner, ProcessRefund, Refused, RequestRefund, RevokeAll,
    RevokeToken, See, SeeAcknowledged, Settle, Wait,
};
use super::{Account, DEPOSIT, Flaw, Item, ONE, Scenario, Step};

/// Every scenario. Each uses users 0 and 1 of its own.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a voucher is paid once however often it is sent",
        steps: &[
            Deposit(0, DEPOSIT),
            See(0, account(DEPOSIT, 0, 0)),
            Settle(&[item(0, 5, 1)], &[Success]),
            Settle(&[item(0, 5, 1)], &[InvalidNonce]),
            See(0, account(DEPOSIT - 5, 0, 1)),
        ],
    },
    Scenario {
        name: "a fee of zero takes its nonce, and the older voucher is void",
        steps: &[
            Deposit(0, DEPOSIT),
            Settle(&[item(0, 0, 9)], &[Success]),
            Settle(&[item(0, 5, 8)], &[InvalidNonce]),
            See(0, account(DEPOSIT, 0, 9)),
        ],
    },
    Scenario {
        name: "a fee above the balance is paid as far as it goes and takes its nonce",
        steps: &[
            Deposit(0, DEPOSIT),
            Settle(&[item(0, DEPOSIT + 7, 1)], &[Partial]),
            See(0, account(0, 0, 1)),
            Settle(&[item(0, 1, 2)], &[Partial]),
            See(0, account(0, 0, 2)),
            Deposit(0, DEPOSIT),
            Settle(&[item(0, 8, 3)], &[Success]),
            See(0, account(DEPOSIT - 8, 0, 3)),
        ],
    },
    Scenario {
        name: "money asked back pays fees until it is taken, the last request first",
        steps: &[
            Deposit(0, DEPOSIT),
            RequestRefund(0),
            See(0, account(DEPOSIT, DEPOSIT, 0)),
            Settle(&[item(0, 5, 1)], &[Success]),
            See(0, account(DEPOSIT - 5, DEPOSIT - 5, 1)),
            ProcessRefund(0),
            See(0, account(DEPOSIT - 5, DEPOSIT - 5, 1)),
            Wait(Step::LOCK),
            Settle(&[item(0, 5, 2)], &[Success]),
            ProcessRefund(0),
            See(0, account(0, 0, 2)),
        ],
    },
    Scenario {
        name: "a deposit takes back what was asked for before it brings money",
        steps: &[
            Deposit(0, DEPOSIT),
            RequestRefund(0),
            Deposit(0, ONE),
            See(0, account(DEPOSIT, DEPOSIT - ONE, 0)),
            Deposit(0, DEPOSIT),
            See(0, account(DEPOSIT + ONE, 0, 0)),
        ],
    },
    Scenario {
        name: "without the owner's acknowledgement nothing is paid and no nonce taken",
        steps: &[
            Deposit(0, DEPOSIT),
            ChangeService { resets: false },
            SeeAcknowledged(true),
            ChangeService { resets: true },
            SeeAcknowledged(false),
            Settle(&[item(0, 5, 1)], &[NoTeeSigner]),
            See(0, account(DEPOSIT, 0, 0)),
            Owner(true),
            Settle(&[item(0, 5, 1)], &[Success]),
            Owner(false),
            Settle(&[item(0, 5, 2)], &[NoTeeSigner]),
            Owner(true),
            SeeAcknowledged(true),
        ],
    },
    Scenario {
        name: "items of a batch are taken each for itself, in order",
        steps: &[
            Deposit(0, DEPOSIT),
            Deposit(1, DEPOSIT),
            Settle(&[item(0, 5, 12), item(0, 6, 13)], &[Success, Success]),
            Settle(&[item(0, 7, 14), item(0, 7, 14)], &[Success, InvalidNonce]),
            Settle(
                &[flawed(0, 1, 15, Flaw::Total), item(1, 2, 1), item(2, 3, 1)],
                &[InvalidSignature, Success, InvalidSignature],
            ),
            See(0, account(DEPOSIT - 18, 0, 14)),
            See(1, account(DEPOSIT - 2, 0, 1)),
        ],
    },
    Scenario {
        name: "a flawed voucher takes no nonce",
        steps: &[
            Deposit(0, DEPOSIT),
            Settle(&[flawed(0, 5, 1, Flaw::Provider)], &[ProviderMismatch]),
            Settle(&[flawed(0, 5, 1, Flaw::Total)], &[InvalidSignature]),
            Settle(&[flawed(0, 5, 1, Flaw::LowV)], &[InvalidSignature]),
            See(0, account(DEPOSIT, 0, 0)),
            Settle(&[item(0, 5, 1)], &[Success]),
        ],
    },
    Scenario {
        name: "a user without money may take the acknowledgement back, and no other",
        steps: &[
            Deposit(0, DEPOSIT),
            Refused(&Acknowledge(0, false)),
            Settle(&[item(0, DEPOSIT, 1)], &[Success]),
            Acknowledge(0, false),
            Settle(&[item(0, 1, 2)], &[NoTeeSigner]),
            Acknowledge(0, true),
            Settle(&[item(0, 1, 2)], &[Partial]),
            RevokeToken(0, 3),
            RevokeAll(0),
            See(0, account(0, 0, 2)),
        ],
    },
];

const fn item(user: u8, total: u128, nonce: u64) -> Item {
    flawed(user, total, nonce, Flaw::Sound)
}

const fn flawed(user: u8, total: u128, nonce: u64, flaw: Flaw) -> Item {
    Item { user, total, nonce, flaw }
}

const fn account(balance: u128, pending_refund: u128, nonce: u64) -> Account {
    Account { balance, pending_refund, nonce }
}
