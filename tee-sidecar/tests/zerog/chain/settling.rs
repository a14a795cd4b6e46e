//! Vouchers, and what the contract makes of them.

use broker_core::chain::{Chain, ChainError, Landing};
use broker_core::{Digest32, Neuron, SignedVoucher};

use super::{Provider, SIGNER, signed};
use crate::support::{Options, ZG};

#[test]
fn a_voucher_is_paid_once_however_often_it_is_sent() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 17, ZG / 4);
    assert_eq!(provider.landing(voucher), Landing::NotYet);
    let sent = provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.landing(voucher), Landing::NotYet, "not final yet");
    let payment = provider.payment(voucher);
    assert_eq!((payment.paid, payment.cover), (Neuron::new(ZG / 4), Neuron::new(2 * ZG - ZG / 4)));
    assert_eq!(sent, [payment.transaction]);

    provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.payment(voucher), payment);
    assert_eq!(provider.statuses(), [0, 4]);
    let before = provider.wait(provider.chain.landing(voucher, payment.block.number)).unwrap();
    assert_eq!(before, Landing::Paid(payment));
    let after = provider.wait(provider.chain.landing(voucher, payment.block.number + 1)).unwrap();
    assert_eq!(after, Landing::Unknown { nonce: 17 });
}

#[test]
fn what_there_is_is_paid_of_a_voucher_above_it() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    provider.network.retrieve(2);
    let voucher = provider.voucher(2, 1, 3 * ZG);
    provider.submit(&[voucher]).unwrap();
    let payment = provider.payment(voucher);
    assert_eq!((payment.paid, payment.cover), (Neuron::new(2 * ZG), Neuron::ZERO));
    let nothing = provider.voucher(2, 2, 1);
    provider.submit(&[nothing]).unwrap();
    assert_eq!(provider.payment(nothing).paid, Neuron::ZERO);
    assert_eq!(provider.statuses(), [1, 1]);
}

#[test]
fn refused_vouchers_leave_their_nonce_free_and_go_through_later() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 5, 1000);
    provider.network.owner_revokes();
    provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.final_landing(voucher), Landing::NotYet);
    provider.network.owner_acknowledges();

    let forged = signed([0x22; 32], voucher.voucher);
    provider.submit(&[forged]).unwrap();
    assert_eq!(provider.final_landing(voucher), Landing::NotYet);
    let stranger = provider.voucher(3, 1, 1000);
    provider.submit(&[stranger]).unwrap();
    assert_eq!(provider.final_landing(stranger), Landing::NotYet);

    provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.payment(voucher).paid, Neuron::new(1000));
    assert_eq!(provider.statuses(), [3, 5, 5, 0]);
    // Another signature of the same voucher is the same voucher.
    assert_eq!(provider.payment(forged).paid, Neuron::new(1000));
}

#[test]
fn another_voucher_that_took_the_nonce_is_told_from_ours() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let foreign = provider.voucher(2, 5, 1000);
    let ours = provider.voucher(2, 5, 1001);
    let mut other_receipts = foreign.voucher;
    other_receipts.requests_hash = Digest32([0xac; 32]);
    let other_receipts = signed(SIGNER.0, other_receipts);
    provider.submit(&[foreign]).unwrap();
    provider.submit(&[ours]).unwrap();
    assert_eq!(provider.final_landing(ours), Landing::Other { nonce: 5 });
    assert_eq!(provider.final_landing(other_receipts), Landing::Other { nonce: 5 });
    assert_eq!(provider.payment(foreign).paid, Neuron::new(1000));
}

#[test]
fn a_fence_voids_what_has_not_landed() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let lost = provider.voucher(2, 5, 1000);
    let fence = provider.voucher(2, 6, 0);
    provider.submit(&[fence]).unwrap();
    assert_eq!(provider.payment(fence).paid, Neuron::ZERO);
    provider.submit(&[lost]).unwrap();
    assert_eq!(provider.final_landing(lost), Landing::Other { nonce: 6 });
    assert_eq!(provider.statuses(), [0, 4]);
}

#[test]
fn items_of_one_transaction_are_told_apart() {
    let Some(provider) = Provider::serving(&[2, 3]) else { return };
    let first = provider.voucher(2, 12, 100);
    let again = provider.voucher(2, 12, 101);
    let forged = signed([0x22; 32], provider.unsigned(3, 1, 55));
    let second = provider.voucher(2, 13, 200);
    let other = provider.voucher(3, 2, 3 * ZG);
    provider.submit(&[first, again, forged, second, other]).unwrap();
    assert_eq!(provider.statuses(), [0, 4, 5, 0, 1]);
    assert_eq!(provider.payment(first).paid, Neuron::new(100));
    assert_eq!(provider.final_landing(again), Landing::Other { nonce: 13 });
    assert_eq!(provider.payment(second).paid, Neuron::new(200));
    assert_eq!(provider.payment(other).paid, Neuron::new(2 * ZG));
    assert_eq!(provider.final_landing(forged), Landing::Other { nonce: 2 });
}

#[test]
fn sixty_users_are_paid_for_also_where_blocks_are_small() {
    // Contracts are deployed and users funded below that limit too.
    for (limit, transactions) in [(None, 2..=2), (Some(2_500_000), 3..=6)] {
        let options = Options { accounts: 70, block_gas_limit: limit };
        let users: Vec<u32> = (2..62).collect();
        let Some(provider) = Provider::serving_with(&options, &users) else { return };
        let total = |user: u32| u128::from(user) * 1000;
        let vouchers: Vec<SignedVoucher> =
            users.iter().map(|user| provider.voucher(*user, 1, total(*user))).collect();
        let sent = provider.submit(&vouchers).unwrap();
        assert!(transactions.contains(&sent.len()), "{} transactions", sent.len());
        assert_eq!(provider.statuses(), [0; 60]);
        for voucher in vouchers {
            assert_eq!(provider.payment(voucher).paid, voucher.voucher.total);
        }
    }
}

#[test]
fn gas_is_estimated_on_the_real_contract() {
    let Some(provider) = Provider::serving(&[2, 3]) else { return };
    let gas = |batch: &[SignedVoucher]| provider.wait(provider.chain.gas(batch.to_vec()));
    let one = gas(&[provider.voucher(2, 1, 5)]).unwrap();
    let two = gas(&[provider.voucher(2, 1, 5), provider.voucher(3, 1, 5)]).unwrap();
    assert!((90_000..200_000).contains(&one), "{one}");
    assert!((40_000..100_000).contains(&(two - one)), "{one} {two}");
    let Err(ChainError::Reverted(text)) = gas(&[]) else { panic!() };
    assert!(text.starts_with("NoSettlementsProvided"), "{text}");
    let many = vec![provider.voucher(2, 1, 5); 51];
    let Err(ChainError::Reverted(text)) = gas(&many) else { panic!() };
    assert!(text.contains("51 vouchers"), "{text}");
}
