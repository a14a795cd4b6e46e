//! The provider's own service.

use broker_core::Neuron;
use broker_core::chain::{Chain, ChainError, Service, ServiceParams};

use super::{Provider, SIGNER, address};
use crate::support::{PROVIDER, ZG};

fn params() -> ServiceParams {
    ServiceParams {
        kind: "chatbot".into(),
        url: "https://sidecar.example".into(),
        model: "tiny".into(),
        verifiability: "TeeML".into(),
        input_price: Neuron::new(100),
        output_price: Neuron::new(200),
        additional_info: "{}".into(),
        tee_signer: address(SIGNER.1),
    }
}

#[test]
fn a_service_is_registered_with_the_stake_changed_without_one_and_removed() {
    let Some(provider) = Provider::start() else { return };
    let service = || provider.wait(provider.chain.service()).unwrap();
    let register = |params| provider.wait(provider.chain.register(params));
    assert_eq!(service(), None);
    let before = provider.network.balance(PROVIDER);
    provider.network.set_interval(1);
    register(params()).unwrap();
    let paid = before - provider.network.balance(PROVIDER);
    assert!((100 * ZG..101 * ZG).contains(&paid), "{paid}");
    let registered = Service { params: params(), tee_signer_acknowledged: false };
    assert_eq!(service(), Some(registered));

    provider.network.owner_acknowledges();
    let dearer = ServiceParams { input_price: Neuron::new(300), ..params() };
    register(dearer.clone()).unwrap();
    assert_eq!(service(), Some(Service { params: dearer, tee_signer_acknowledged: true }));
    let other = ServiceParams { additional_info: "{\"a\":1}".into(), ..params() };
    assert!(other.resets_acknowledgement(&params()));
    register(other.clone()).unwrap();
    assert_eq!(service(), Some(Service { params: other, tee_signer_acknowledged: false }));

    provider.wait(provider.chain.remove_service()).unwrap();
    assert_eq!(service(), None);
    assert!(before - provider.network.balance(PROVIDER) < ZG, "the stake came back");
}

#[test]
fn the_contract_s_refusals_are_told_in_words() {
    let Some(provider) = Provider::start() else { return };
    let told = |error: ChainError| match error {
        ChainError::Reverted(text) => text,
        other => panic!("{other}"),
    };
    let error = provider.wait(provider.chain.remove_service()).unwrap_err();
    assert!(told(error).starts_with("ServiceNotExist"));
    let long = ServiceParams { additional_info: "x".repeat(4097), ..params() };
    let error = provider.wait(provider.chain.register(long)).unwrap_err();
    assert!(told(error).starts_with("AdditionalInfoTooLong"));

    provider.network.set_balance(PROVIDER, 40 * ZG);
    let error = provider.wait(provider.chain.register(params())).unwrap_err();
    let (has, needs) = (Neuron::new(40 * ZG), Neuron::new(100 * ZG));
    assert_eq!(error, ChainError::TooPoor { has, needs, missing: Neuron::new(60 * ZG) });
}

#[test]
fn a_registration_is_pending_until_enough_blocks_follow() {
    let Some(provider) = Provider::start() else { return };
    let chain = super::client(broker_core::chain::evm::EvmConfig {
        patience: std::time::Duration::from_secs(2),
        ..super::config(&provider.network)
    });
    let error = provider.wait(chain.register(params())).unwrap_err();
    assert!(matches!(error, ChainError::Pending(_)), "{error}");
}
