//! The reader of reports: what NVIDIA's own parser reads, and hostile bytes.

use proptest::prelude::*;
use serde_json::Value;
use tee_evidence::nvidia::{SpdmError, SpdmReport, field};

use crate::gpu::sample;
use crate::support::captured;

/// A report of these parts; nothing in it was signed.
#[derive(Clone)]
struct Parts {
    blocks: u8,
    record: Vec<u8>,
    opaque: Vec<u8>,
    signature: Vec<u8>,
}

impl Parts {
    fn new() -> Self {
        let record = [block(1, b"one"), block(2, b"two")].concat();
        let opaque = plain(&[(field::DRIVER_VERSION, b"1.2\0")]);
        Self { blocks: 2, record, opaque, signature: vec![7; 96] }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.record.len()).unwrap().to_le_bytes();
        let opaque_length = u16::try_from(self.opaque.len()).unwrap().to_le_bytes();
        [
            &[0x11, 0xe0, 1, 0xff][..],
            &[5; 32],
            &[0, 0x11, 0x60, 0, 0, self.blocks],
            &length[..3],
            &self.record,
            &[6; 32],
            &opaque_length,
            &self.opaque,
            &self.signature,
        ]
        .concat()
    }

    fn parse(&self) -> Result<SpdmReport, SpdmError> {
        SpdmReport::parse(&self.bytes())
    }

    fn with_record(blocks: u8, record: Vec<u8>) -> Result<SpdmReport, SpdmError> {
        Self { blocks, record, ..Self::new() }.parse()
    }

    fn with_opaque(opaque: Vec<u8>) -> Result<SpdmReport, SpdmError> {
        Self { opaque, ..Self::new() }.parse()
    }
}

fn block(index: u8, value: &[u8]) -> Vec<u8> {
    let size = u8::try_from(value.len()).unwrap();
    [&[index, 1, size + 3, 0, 1, size, 0], value].concat()
}

fn plain(fields: &[(u16, &[u8])]) -> Vec<u8> {
    let field = |(id, value): &(u16, &[u8])| {
        let length = u16::try_from(value.len()).unwrap().to_le_bytes();
        [&id.to_le_bytes()[..], &length, value].concat()
    };
    fields.iter().flat_map(field).collect()
}

fn typed(fields: &[(u16, &[u8])]) -> Vec<u8> {
    let mut opaque = b"NVDAOD\x01\x00\x00\x02\x00\x00".to_vec();
    for (id, value) in fields {
        let length = u16::try_from(value.len()).unwrap().to_le_bytes();
        opaque.extend([&id.to_le_bytes()[..], &[9, 0], &length, value].concat());
    }
    opaque
}

#[test]
fn a_captured_report_reads_field_by_field_as_nvidias_parser_reads_it() {
    let Some(folder) = captured() else { return };
    let folder = folder.join("nvidia/evidence");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let bytes = hex::decode(text("h100_580_report.hex").trim()).unwrap();
    let report = SpdmReport::parse(&bytes).unwrap();
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));

    let request: Value = serde_json::from_str(&text("h100_580_expected_request.json")).unwrap();
    assert_eq!(request["Nonce"], hex(report.nonce()));

    let response: Value = serde_json::from_str(&text("h100_580_expected_response.json")).unwrap();
    assert_eq!(response["Nonce"], hex(report.response_nonce()));
    assert_eq!(response["Signature"], hex(report.signature()));
    assert_eq!(report.signed_bytes(), &bytes[..bytes.len() - 96]);
    let blocks = response["MeasurementRecord"]["MeasurementBlocks"].as_object().unwrap();
    assert_eq!(blocks.len(), report.measurements().len());
    assert_eq!(response["NumberOfBlocks"], report.measurements().len());
    for (index, value) in report.measurements() {
        let expected = &blocks[&index.to_string()];
        assert_eq!(expected["DMTFSpecMeasurementValue"], hex(value), "block {index}");
        assert_eq!(expected["DMTFSpecMeasurementValueSize"], value.len(), "block {index}");
    }
    compare_fields(&report, &response["OpaqueData"]["OpaqueDataField"]);
    let opaque_bytes: usize = report.fields().iter().map(|(_, value)| value.len() + 4).sum();
    assert_eq!(response["OpaqueLength"], opaque_bytes);
}

/// NVIDIA's parser leaves out the numbers it has no name for.
fn compare_fields(report: &SpdmReport, expected: &Value) {
    let names = [
        (3, "DRIVER_VERSION"),
        (4, "GPU_INFO"),
        (6, "VBIOS_VERSION"),
        (11, "NVDEC0_STATUS"),
        (12, "MSRSCNT"),
        (13, "CPRINFO"),
        (14, "BOARD_ID"),
        (15, "CHIP_SKU"),
        (16, "CHIP_SKU_MOD"),
        (17, "PROJECT"),
        (18, "PROJECT_SKU"),
        (19, "PROJECT_SKU_MOD"),
        (20, "FWID"),
        (21, "PROTECTED_PCIE_STATUS"),
    ];
    assert_eq!(expected.as_object().unwrap().len(), names.len());
    for (id, name) in names {
        let value = report.fields().get(id).unwrap();
        match &expected[format!("OPAQUE_FIELD_ID_{name}")] {
            Value::String(text) => assert_eq!(text, &format!("0x{}", hex::encode(value)), "{name}"),
            // A counter of four bytes for each block.
            counts => {
                let read = value.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap()));
                assert_eq!(counts, &Value::from(read.collect::<Vec<_>>()), "{name}");
            }
        }
    }
    let numbers: Vec<u16> = report.fields().iter().map(|(id, _)| id).collect();
    assert_eq!(numbers.len(), names.len() + 2, "the two newest have no name there: {numbers:?}");
}

#[test]
fn the_parts_of_a_report_are_read_where_they_are() {
    let report = Parts::new().parse().unwrap();
    assert_eq!((report.nonce(), report.response_nonce()), (&[5; 32], &[6; 32]));
    assert_eq!(report.measurements()[&1], b"one");
    assert_eq!(report.measurements()[&2], b"two");
    assert_eq!(report.driver_version().as_deref(), Some("1.2"));
    assert_eq!(report.signature(), &[7; 96]);
    let bytes = Parts::new().bytes();
    assert_eq!(report.signed_bytes(), &bytes[..bytes.len() - 96]);
}

#[test]
fn both_forms_of_the_opaque_data_are_read() {
    let fwid = [3; 48];
    let fields: [(u16, &[u8]); 9] = [
        (field::DRIVER_VERSION, b"575.32\0"),
        (field::VBIOS_VERSION, &[0x00, 0x9f, 0x00, 0x96, 0x01, 0, 0, 0]),
        (field::NVDEC0_STATUS, &[0xaa]),
        (field::CHIP_SKU, b"886\0\0\0"),
        (field::PROJECT, b"G525"),
        (field::FWID, &fwid),
        (field::CHIP_INFO, b"GB100\0"),
        (field::FEATURE_FLAG, &[2, 0]),
        (999, b""),
    ];
    for opaque in [plain(&fields), typed(&fields)] {
        let report = Parts::with_opaque(opaque).unwrap();
        assert_eq!(report.driver_version().as_deref(), Some("575.32"));
        assert_eq!(report.vbios_version().as_deref(), Some("96.00.9F.00.01"));
        assert_eq!(report.chip_sku().as_deref(), Some("886"));
        assert_eq!(report.project().as_deref(), Some("G525"));
        assert_eq!(report.project_sku(), None);
        assert_eq!(report.chip_info().as_deref(), Some("GB100"));
        assert_eq!((report.nvdec0_status(), report.feature_flag()), (Some(0xaa), Some(2)));
        assert_eq!(report.fwid(), Some(fwid));
        assert_eq!(report.fields().get(999), Some(&[][..]));
        assert_eq!(report.fields().iter().count(), fields.len());
    }
}

#[test]
fn text_that_could_become_more_than_a_name_is_no_text() {
    for bad in [&b""[..], b"\0\0", b"1\x002", b"../1", b"1?a=b", b"1 2", b"\xff\xfe", b"1\n"] {
        let report = Parts::with_opaque(plain(&[(field::DRIVER_VERSION, bad)])).unwrap();
        assert_eq!(report.driver_version(), None, "{bad:?}");
        assert_eq!(report.fields().get(field::DRIVER_VERSION), Some(bad));
    }
    for length in [0, 4, 7, 9] {
        let value = vec![0x96; length];
        let report = Parts::with_opaque(plain(&[(field::VBIOS_VERSION, &value)])).unwrap();
        assert_eq!(report.vbios_version(), None, "{length} bytes");
    }
}

#[test]
fn a_field_that_comes_twice_or_with_another_length_is_refused() {
    let twice = [(field::FWID, &[1; 48][..]), (field::FWID, &[1; 48])];
    for opaque in [plain(&twice), typed(&twice)] {
        assert_eq!(Parts::with_opaque(opaque), Err(SpdmError::DuplicateField(field::FWID)));
    }
    for length in [0, 47, 49] {
        let value = vec![1; length];
        let refused = Parts::with_opaque(plain(&[(field::FWID, &value)]));
        assert_eq!(refused, Err(SpdmError::Field(field::FWID, "FWID")), "{length} bytes");
    }
}

#[test]
fn lying_lengths_in_opaque_data_are_refused() {
    for opaque in [
        vec![3],
        vec![3, 0, 1],
        vec![3, 0, 2, 0, b'1'],
        vec![3, 0, 0xff, 0xff],
        b"NVDAOD".to_vec(),
        b"NVDAOD\x00\x00\x00\x02\x00".to_vec(),
        [typed(&[]), vec![3, 0, 0, 0]].concat(),
        [typed(&[]), vec![3, 0, 0, 0, 1, 0]].concat(),
    ] {
        let refused = Parts::with_opaque(opaque.clone());
        assert!(matches!(refused, Err(SpdmError::Truncated(_))), "{opaque:?}: {refused:?}");
    }
}

#[test]
fn blocks_that_are_missing_doubled_zero_or_of_another_form_are_refused() {
    let one = block(1, b"one");
    let bad = |record: Vec<u8>| Parts::with_record(1, record).unwrap_err();
    let count = |announced, found| Err(SpdmError::BlockCount { announced, found });
    assert_eq!(Parts::with_record(0, vec![]), count(0, 0));
    assert_eq!(Parts::with_record(2, one.clone()), count(2, 1));
    assert_eq!(Parts::with_record(0, one.clone()), count(0, 1));
    assert_eq!(Parts::with_record(1, [one.clone(), block(2, b"")].concat()), count(1, 2));

    let twice = Parts::with_record(2, [one.clone(), block(1, b"two")].concat());
    assert_eq!(twice, Err(SpdmError::Block { index: 1, why: "comes twice" }));
    assert!(matches!(bad(block(0, b"zero")), SpdmError::Block { index: 0, .. }));
    let mut other_specification = one.clone();
    other_specification[1] = 0;
    assert!(matches!(bad(other_specification), SpdmError::Block { index: 1, .. }));
    // A block that is longer or shorter than the value in it.
    for value_size in [0, 2, 4, 255] {
        let mut lying = one.clone();
        lying[5] = value_size;
        let refused = bad(lying);
        assert!(
            matches!(refused, SpdmError::Block { .. } | SpdmError::Truncated("a measured value")),
            "{value_size}: {refused}"
        );
    }
    for size in [0, 2, 5, 7, 255] {
        let mut lying = one.clone();
        lying[2] = size;
        assert!(Parts::with_record(1, lying).is_err(), "{size}");
    }
}

#[test]
fn another_request_or_response_is_refused() {
    let right = Parts::new().bytes();
    for (position, expected) in [
        (0, SpdmError::NotARequest),
        (1, SpdmError::NotARequest),
        (2, SpdmError::NotARequest),
        (3, SpdmError::NotARequest),
        (36, SpdmError::NotARequest),
        (37, SpdmError::NotAResponse),
        (38, SpdmError::NotAResponse),
        (40, SpdmError::NotAResponse),
    ] {
        let mut changed = right.clone();
        changed[position] ^= 1;
        assert_eq!(SpdmReport::parse(&changed), Err(expected), "byte {position}");
    }
}

#[test]
fn trailing_bytes_are_refused_and_so_is_more_than_a_driver_gives() {
    let mut bytes = sample().report;
    bytes.push(0);
    assert_eq!(SpdmReport::parse(&bytes), Err(SpdmError::Trailing(1)));
    bytes.resize(8192, 0);
    assert!(matches!(SpdmReport::parse(&bytes), Err(SpdmError::Trailing(_))));
    bytes.push(0);
    assert_eq!(SpdmReport::parse(&bytes), Err(SpdmError::TooLong(8193)));
}

#[test]
fn lying_outer_lengths_are_refused() {
    let right = sample().report;
    let record_length = 37 + 5;
    let opaque_length = 37 + 8 + 3520 + 32;
    for (position, value) in [
        (record_length, 0xff),
        (record_length + 2, 1),
        (record_length + 2, 0xff),
        (opaque_length, 0),
        (opaque_length + 1, 0xff),
    ] {
        let mut lying = right.clone();
        lying[position] = value;
        assert!(SpdmReport::parse(&lying).is_err(), "byte {position} = {value}");
    }
}

#[test]
fn a_report_cut_at_any_length_is_no_report() {
    let with_header = Parts { opaque: typed(&[(3, b"1"), (20, &[0; 48])]), ..Parts::new() };
    for bytes in [sample().report, Parts::new().bytes(), with_header.bytes()] {
        assert!(SpdmReport::parse(&bytes).is_ok());
        for length in 0..bytes.len() {
            let cut = SpdmReport::parse(&bytes[..length]);
            assert!(matches!(cut, Err(SpdmError::Truncated(_))), "{length}: {cut:?}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(SpdmReport::parse(&bytes).is_err());
    }

    #[test]
    fn arbitrary_records_and_opaque_data_never_panic(
        blocks: u8,
        record in proptest::collection::vec(any::<u8>(), 0..300),
        opaque in proptest::collection::vec(any::<u8>(), 0..300),
        header: bool,
    ) {
        let opaque = if header { [typed(&[]), opaque].concat() } else { opaque };
        let _ = Parts { opaque: opaque.clone(), ..Parts::new() }.parse();
        let _ = Parts { blocks, record, opaque, ..Parts::new() }.parse();
    }

    #[test]
    fn a_mutated_report_never_panics_and_what_it_covers_is_the_whole(
        changes in proptest::collection::vec((0_usize..4117, any::<u8>()), 1..20),
    ) {
        let mut bytes = sample().report;
        for (position, value) in changes {
            bytes[position] = value;
        }
        if let Ok(report) = SpdmReport::parse(&bytes) {
            let read = [report.signed_bytes(), report.signature()].concat();
            prop_assert_eq!(read, bytes);
        }
    }
}
