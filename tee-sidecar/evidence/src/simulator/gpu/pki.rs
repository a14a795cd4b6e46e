//! The GPU's five certificates, named like NVIDIA's.

use rcgen::{CertificateParams, CustomExtension, Issuer, SerialNumber};

use super::super::key::TestKey384;
use super::super::pki::{authority, end_entity};
use super::{SimulatorError, chip, dice, failed};
use crate::nvidia::Architecture;

/// The chain in PEM, leaf first, and its root in DER.
pub(super) fn certify(
    architecture: Architecture,
    leaf_key: &TestKey384,
    number: Option<u8>,
) -> Result<(String, Vec<u8>), SimulatorError> {
    let chip = chip(architecture);
    let root_key = TestKey384::of_label("tee-sidecar simulator: gpu root")?;
    let identity_key = TestKey384::of_label("tee-sidecar simulator: gpu identity")?;
    let provisioner_key = TestKey384::of_label("tee-sidecar simulator: gpu provisioner")?;
    let brom_key = TestKey384::of_label("tee-sidecar simulator: gpu boot rom")?;

    let root_params = authority("Simulated NVIDIA Device Identity CA");
    let identity_params = authority(&format!("Simulated NVIDIA {chip} Identity"));
    let provisioner_params = authority(&format!("Simulated NVIDIA {chip} Provisioner ICA 1"));
    let brom_params = authority(&format!("{chip} A01 GSP BROM Simulated"));

    let by_root = Issuer::from_params(&root_params, &root_key);
    let by_identity = Issuer::from_params(&identity_params, &identity_key);
    let by_provisioner = Issuer::from_params(&provisioner_params, &provisioner_key);
    let by_brom = Issuer::from_params(&brom_params, &brom_key);

    let root = root_params.self_signed(&root_key).map_err(failed)?;
    let identity = identity_params.signed_by(&identity_key, &by_root).map_err(failed)?;
    let provisioner =
        provisioner_params.signed_by(&provisioner_key, &by_identity).map_err(failed)?;
    let brom = brom_params.signed_by(&brom_key, &by_provisioner).map_err(failed)?;
    let mut leaf_params = leaf_params(architecture, &brom_key);
    // Without a number the serial follows from the key.
    leaf_params.serial_number = number.map(|number| SerialNumber::from(vec![SERIAL_HIGH, number]));
    let leaf = leaf_params.signed_by(leaf_key, &by_brom).map_err(failed)?;

    let chain = [leaf, brom, provisioner, identity];
    let pem = chain.iter().chain([&root]).map(rcgen::Certificate::pem).collect();
    Ok((pem, root.der().to_vec()))
}

fn leaf_params(architecture: Architecture, device_key: &TestKey384) -> CertificateParams {
    let mut params = end_entity(&format!("{} A01 GSP FMC LF Simulated", chip(architecture)));
    let (oid, content) = dice::extension(architecture, device_key);
    params.custom_extensions = vec![CustomExtension::from_oid_content(oid, content)];
    params
}

/// Above a GPU's number in its serial, so that no serial is zero.
const SERIAL_HIGH: u8 = 1;
