//! The extension by which a GPU's certificate names the firmware it was issued for.

use rcgen::PublicKeyData as _;
use sha2::{Digest as _, Sha384};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag, construct_der};

use super::super::key::TestKey384;
use crate::nvidia::Architecture;

/// The digest of the simulated firmware.
pub(super) fn fwid() -> [u8; 48] {
    Sha384::digest("tee-sidecar simulator: gpu firmware").into()
}

/// Its number and its content.
pub(super) fn extension(
    architecture: Architecture,
    device_key: &TestKey384,
) -> (&'static [u64], Vec<u8>) {
    match architecture {
        Architecture::Hopper => (&COMPOSITE_DEVICE_ID, composite_device_id(device_key)),
        Architecture::Blackwell => (&TCB_INFO, tcb_info()),
    }
}

fn composite_device_id(device_key: &TestKey384) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_u8(1);
            parts.next().write_der(&device_key.subject_public_key_info());
            digest(parts.next(), &fwid());
        });
    })
}

/// The same elements as a real one, in their order.
fn tcb_info() -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            let mut next = |number, write: &dyn Fn(DERWriter<'_>)| {
                parts.next().write_tagged_implicit(Tag::context(number), write);
            };
            next(0, &|vendor| vendor.write_utf8_string("SIMULATED"));
            next(1, &|model| model.write_utf8_string("GB100 A01 GSP"));
            next(2, &|version| version.write_utf8_string("01"));
            next(3, &|svn| svn.write_u8(1));
            next(4, &|layer| layer.write_u8(1));
            next(5, &|index| index.write_u8(0));
            next(6, &|digests| {
                digests.write_sequence(|list| {
                    digest(list.next(), &fwid());
                    digest(list.next(), &[0; 48]);
                });
            });
        });
    })
}

fn digest(writer: DERWriter<'_>, value: &[u8; 48]) {
    writer.write_sequence(|pair| {
        pair.next().write_oid(&ObjectIdentifier::from_slice(&SHA384));
        pair.next().write_bytes(value);
    });
}

const COMPOSITE_DEVICE_ID: [u64; 6] = [2, 23, 133, 5, 4, 1];
const TCB_INFO: [u64; 7] = [2, 23, 133, 5, 4, 1, 1];
const SHA384: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 2];
