use broker_core::{LocalSigner, Signer};
use proptest::prelude::*;

use super::*;

/// Made with ethers 6; see the protocol document of the 0G network.
const GOLDEN: &str = "Bearer app-sk-eyJhZGRyZXNzIjoiMHgzQzQ0Q2REZEI2YTkwMGZhMmI1ODVkZDI5OWUwM2Qx\
MkZBNDI5M0JDIiwicHJvdmlkZXIiOiIweDcwOTk3OTcwQzUxODEyZGMzQTAxMEM3ZDAxYjUwZTBkMTdkYzc5QzgiLCJ0aW1l\
c3RhbXAiOjE3MDAwMDAwMDAwMDAsImV4cGlyZXNBdCI6MCwibm9uY2UiOiIxNzAwMDAwMDAwMDAwLWFiYyIsImdlbmVyYXRp\
b24iOjAsInRva2VuSWQiOjB9fDB4YmQ3M2RiZmM4MjA1NGEwMzBkZjFhNDk3NmEzZGM1YjNjNGFjODc3Y2UyMTgyMTMzOTc4\
YTcwNmQ1YTMyZTEyNzVlYTAzZmRmOTYyNjJhZTY3ZjkzYzhhOTg0MDI2MGUwMzY2OTc1YTM4Y2Y2N2VmYTlkODY4NmJiYjI5\
ZjIwMzExYw==";

const USER: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const PROVIDER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const NOW: u64 = 1_700_000_000_000;
const DAY: u64 = 86_400_000;

fn provider() -> Address {
    Address(*PROVIDER.parse::<UserId>().unwrap().as_bytes())
}

fn read(header: &str, now: u64) -> Result<Token, TokenRefusal> {
    Token::read(Some(header.as_bytes()), &provider(), Timestamp(now))
}

/// All three steps, as a request takes them.
fn verify(header: &str, now: u64, escrow: Option<&Escrow>) -> Result<UserId, TokenRefusal> {
    let token = read(header, now)?;
    token.check_signature()?;
    token.check_account(escrow)?;
    Ok(token.user)
}

fn refusal(header: &str, escrow: Option<&Escrow>) -> &'static str {
    verify(header, NOW, escrow).unwrap_err().0
}

fn user() -> LocalSigner {
    LocalSigner::from_secret(&[5; 32]).unwrap()
}

fn message(expires_at: u64, generation: u64, id: u16) -> String {
    format!(
        "{{\"address\":\"{}\",\"provider\":\"{PROVIDER}\",\"timestamp\":{NOW},\
         \"expiresAt\":{expires_at},\"nonce\":\"1-a\",\"generation\":{generation},\
         \"tokenId\":{id}}}",
        user().address()
    )
}

fn signature(raw: &str) -> Signature {
    user().sign_digest(&eip191_digest(Digest32::keccak256(raw.as_bytes()).0)).unwrap()
}

fn header(raw: &str, signature: &str) -> String {
    format!("Bearer app-sk-{}", BASE64_STANDARD.encode(format!("{raw}|{signature}")))
}

fn signed(raw: &str) -> String {
    header(raw, &signature(raw).to_string())
}

#[test]
fn the_token_of_another_implementation_is_its_user_s() {
    let token = read(GOLDEN, NOW).unwrap();
    let hash = "7bdba0f09ae864e70ee45577d49bcb3ce2b1a34c721df97b43e662e690f8b256";
    assert_eq!(token.message_hash.to_string(), hash);
    assert_eq!((token.id, token.generation), (0, 0));
    assert_eq!(verify(GOLDEN, NOW, None), Ok(USER.parse().unwrap()));
    assert_eq!(verify(GOLDEN, u64::MAX, Some(&Escrow::default())), Ok(USER.parse().unwrap()));
    let lower = GOLDEN.replacen("Bearer", "bearer", 1);
    assert_eq!(verify(&lower, NOW, None), Ok(USER.parse().unwrap()));
}

#[test]
fn what_is_no_token_is_named_in_the_protocol_s_order() {
    let raw = message(0, 0, 0);
    let encoded = GOLDEN.strip_prefix("Bearer app-sk-").unwrap();
    let long = format!("Bearer app-sk-{}", "A".repeat(TOKEN_BYTES_MAX + 4));
    assert_eq!(Token::read(None, &provider(), Timestamp(NOW)).unwrap_err(), MISSING);
    for other in ["", "Bearer", "Bearer ", "app-sk-", encoded, "Basic app-sk-", &long] {
        assert_eq!(refusal(other, None), MISSING.0, "{other}");
    }
    for bad in [
        GOLDEN.trim_end_matches('=').to_owned(),
        format!("{GOLDEN}="),
        "Bearer app-sk-_-_-".to_owned(),
        "Bearer app-sk-AB==".to_owned(),
        "Bearer app-sk-a b=".to_owned(),
    ] {
        assert_eq!(refusal(&bad, None), NOT_BASE64.0, "{bad}");
    }
    let colon = format!("Bearer app-sk-{}", BASE64_STANDARD.encode(raw.replace('|', ":")));
    for bad in [colon.as_str(), "Bearer app-sk-"] {
        assert_eq!(refusal(bad, None), NO_SIGNATURE.0, "{bad}");
    }
}

#[test]
fn what_the_message_holds_has_to_be_of_its_kind_once_and_within_its_range() {
    let good = message(0, 0, 0);
    assert!(verify(&signed(&good), NOW, None).is_ok());
    for (from, to) in [
        ("\"tokenId\":0", "\"tokenId\":256"),
        ("\"tokenId\":0", "\"tokenId\":-1"),
        ("\"tokenId\":0", "\"tokenId\":\"0\""),
        ("\"tokenId\":0", "\"tokenId\":0.0"),
        ("\"tokenId\":0", "\"tokenId\":null"),
        ("\"generation\":0", "\"generation\":-1"),
        ("\"generation\":0", "\"generation\":18446744073709551616"),
        ("\"generation\":0,", ""),
        ("\"expiresAt\":0", "\"expiresAt\":-1"),
        ("\"expiresAt\":0", "\"expiresAt\":1e3"),
        ("\"expiresAt\":0", "\"expiresAt\":0,\"expiresAt\":0"),
        ("\"timestamp\":", "\"timestamp\":-"),
        ("\"address\":\"0x", "\"address\":\""),
        ("\"address\":\"0x", "\"address\":\"0x0"),
        ("\"provider\":", "\"provider\":7,\"other\":"),
        ("{", "["),
        ("}", "}}"),
        ("}", ""),
        ("1-a", "1|a"),
    ] {
        let raw = good.replacen(from, to, 1);
        assert_ne!(raw, good, "{from}");
        assert_eq!(refusal(&signed(&raw), None), MALFORMED.0, "{raw}");
    }
    assert_eq!(refusal(&signed(&"[".repeat(2000)), None), MALFORMED.0);
    for raw in [good.replacen("}", ",\"more\":{\"a\":[1]}}", 1), good.replace(':', " :\n")] {
        assert_eq!(verify(&signed(&raw), NOW, None).unwrap().as_bytes(), &user().address().0);
    }
}

#[test]
fn provider_and_times_are_held_to_the_protocol_s_rules() {
    let other = message(0, 0, 0).replace(PROVIDER, USER);
    assert_eq!(refusal(&signed(&other), None), OTHER_PROVIDER.0);
    let lower = message(0, 0, 0).replace(PROVIDER, &PROVIDER.to_lowercase());
    assert!(verify(&signed(&lower), NOW, None).is_ok());
    for (expires_at, id, now, refused) in [
        (0, 255, NOW, Some(EPHEMERAL_FOR_EVER)),
        (NOW + DAY + 1, 255, NOW, Some(EPHEMERAL_TOO_LONG)),
        (NOW + DAY + DAY / 24, 255, NOW, Some(EPHEMERAL_TOO_LONG)),
        (NOW + DAY, 255, NOW, None),
        // Made by a clock that is ahead, a little and too far.
        (NOW + DAY, 255, NOW - 300_000, None),
        (NOW + DAY, 255, NOW - 300_001, Some(EPHEMERAL_TOO_LONG)),
        (NOW + DAY, 255, NOW + DAY + 999, None),
        (NOW + DAY, 255, NOW + DAY + 1000, Some(EXPIRED)),
        (NOW - 1000, 255, NOW, Some(EXPIRED)),
        (u64::MAX, 255, NOW, Some(EPHEMERAL_TOO_LONG)),
        (u64::MAX, 254, NOW, None),
        (1, 0, NOW, Some(EXPIRED)),
        (0, 254, u64::MAX, None),
    ] {
        let verdict = verify(&signed(&message(expires_at, 0, id)), now, None).err();
        assert_eq!(verdict, refused, "{expires_at} {id} {now}");
    }
}

#[test]
fn what_the_user_revoked_is_refused_where_the_user_signed_it() {
    let mut escrow = Escrow { generation: 3, ..Escrow::default() };
    escrow.revoked[31] = 0b10;
    escrow.revoked[0] = 0b1000_0000;
    for (generation, id, refused) in [
        (2, 0, Some(OLD_GENERATION)),
        (4, 0, Some(FUTURE_GENERATION)),
        (u64::MAX, 255, Some(FUTURE_GENERATION)),
        (3, 1, Some(REVOKED)),
        (3, 0, None),
        (3, 255, None),
        (2, 255, Some(OLD_GENERATION)),
    ] {
        let raw = message(NOW + 1000, generation, id);
        assert_eq!(verify(&signed(&raw), NOW, Some(&escrow)).err(), refused, "{generation} {id}");
        assert_eq!(refusal(&header(&raw, "0x"), Some(&escrow)), SIGNATURE_LENGTH.0);
    }
}

#[test]
fn a_signature_is_sixty_five_bytes_in_one_spelling_with_v_in_two() {
    let raw = message(0, 0, 0);
    let good = signature(&raw);
    let hex = good.to_string();
    for (text, refused) in [
        (String::new(), SIGNATURE_FORMAT),
        (hex.replacen("0x", "", 1), SIGNATURE_FORMAT),
        (hex.to_uppercase().replacen("0X", "0x", 1), SIGNATURE_FORMAT),
        (hex.replacen("0x", "0xg", 1), SIGNATURE_FORMAT),
        (hex[..131].to_owned(), SIGNATURE_FORMAT),
        (format!("{hex}|"), SIGNATURE_FORMAT),
        ("0x".to_owned(), SIGNATURE_LENGTH),
        (hex[..130].to_owned(), SIGNATURE_LENGTH),
        (format!("{hex}00"), SIGNATURE_LENGTH),
        (format!("0x{}", "00".repeat(65)), NO_KEY_RECOVERED),
        (format!("0x{}1b", "ff".repeat(64)), NO_KEY_RECOVERED),
        (signature("x").to_string(), OTHER_SIGNER),
    ] {
        assert_eq!(refusal(&header(&raw, &text), None), refused.0, "{text}");
    }
    let with = |bytes: [u8; 65]| header(&raw, &Signature(bytes).to_string());
    let v = |v: u8| {
        let mut bytes = good.0;
        bytes[64] = v;
        with(bytes)
    };
    let right = good.0[64];
    for (spelling, fits) in
        [(right, true), (right - 27, true), (55 - right, false), (28 - right, false)]
    {
        assert_eq!(verify(&v(spelling), NOW, None).is_ok(), fits, "{spelling}");
    }
    assert_eq!(refusal(&v(29), None), NO_KEY_RECOVERED.0);
    // The other s of the same signature: the order of the curve less s.
    let s = secp256k1::SecretKey::from_secret_bytes(good.0[32..64].try_into().unwrap()).unwrap();
    let mut high = good.0;
    high[32..64].copy_from_slice(&s.negate().to_secret_bytes());
    high[64] = 55 - right;
    assert_eq!(refusal(&with(high), None), NO_KEY_RECOVERED.0);
}

#[test]
fn spacing_that_was_changed_after_the_signature_is_another_message() {
    let raw = message(0, 0, 0);
    let spaced = raw.replacen(":", ": ", 1);
    let forged = header(&spaced, &signature(&raw).to_string());
    assert_eq!(refusal(&forged, None), OTHER_SIGNER.0);
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let token = GOLDEN.strip_prefix("Bearer ").unwrap().as_bytes();
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut changed = token.to_vec();
            changed[at] ^= 1 << bit;
            let value = [b"Bearer ", changed.as_slice()].concat();
            let verdict = Token::read(Some(&value), &provider(), Timestamp(NOW));
            let verdict = verdict.and_then(|token| token.check_signature());
            assert!(verdict.is_err(), "byte {at}, bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(value: Vec<u8>, payload: Vec<u8>) {
        let encoded = format!("Bearer app-sk-{}", BASE64_STANDARD.encode(payload));
        for value in [value.as_slice(), encoded.as_bytes()] {
            let verdict = Token::read(Some(value), &provider(), Timestamp(NOW));
            prop_assert!(verdict.and_then(|token| token.check_signature()).is_err());
        }
    }

    #[test]
    fn a_stretch_of_other_bytes_in_a_token_is_refused(
        at in 0..GOLDEN.len() - 7,
        bytes in prop::collection::vec(32_u8..127, 1..6),
    ) {
        let mut changed = GOLDEN.as_bytes().to_vec();
        let at = "Bearer ".len() + at;
        let end = (at + bytes.len()).min(changed.len());
        changed.splice(at..end, bytes);
        prop_assume!(changed.trim_ascii() != GOLDEN.as_bytes());
        let verdict = Token::read(Some(&changed), &provider(), Timestamp(NOW));
        prop_assert!(verdict.and_then(|token| token.check_signature()).is_err());
    }
}
