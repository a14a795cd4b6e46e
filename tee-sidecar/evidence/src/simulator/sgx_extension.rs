//! The extension by which a platform certificate says which platform it is and at what TCB.

use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq, construct_der};

/// The extension's object identifier; its parts are numbered below it.
pub(super) const OID: [u64; 7] = [1, 2, 840, 113_741, 1, 13, 1];

/// The platform's family, which the collateral must name too.
pub(super) const FMSPC: [u8; 6] = [0xb0, 0xc0, 0x6f, 0, 0, 0];

/// The version of the provisioning enclave.
pub(super) const PCE_SVN: u16 = 13;

/// The version of each of the 16 SGX components.
pub(super) const COMPONENT_SVN: u8 = 1;

/// How many components a TCB has.
pub(super) const COMPONENTS: u8 = 16;

pub(super) fn encode() -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            part(parts, &[1], |w| w.write_bytes(&[0xaa; 16]));
            part(parts, &[2], |w| w.write_sequence(tcb));
            part(parts, &[3], |w| w.write_bytes(&[0, 0]));
            part(parts, &[4], |w| w.write_bytes(&FMSPC));
            part(parts, &[5], |w| w.write_enum(SGX_TYPE_SCALABLE));
        });
    })
}

fn tcb(parts: &mut DERWriterSeq<'_>) {
    for component in 1..=u64::from(COMPONENTS) {
        part(parts, &[2, component], |w| w.write_u8(COMPONENT_SVN));
    }
    part(parts, &[2, 17], |w| w.write_u16(PCE_SVN));
    part(parts, &[2, 18], |w| w.write_bytes(&[COMPONENT_SVN; 16]));
}

fn part(parts: &mut DERWriterSeq<'_>, below: &[u64], value: impl FnOnce(DERWriter<'_>)) {
    parts.next().write_sequence(|pair| {
        let oid = ObjectIdentifier::new([OID.as_slice(), below].concat());
        pair.next().write_oid(&oid);
        value(pair.next());
    });
}

const SGX_TYPE_SCALABLE: i64 = 1;
