//! A secret is never printed: not by Debug, not by check-config, not by an error.

use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use tee_sidecar::config::{Secret, effective};

use super::support::{file, load, program, program_with, stderr, stdout};

/// What every secret of these tests contains, and nothing that is printed may.
const MARK: &str = "HUSH";

#[test]
fn debug_and_the_printed_configuration_show_no_secret() {
    let key = file("HUSH-from-a-file-3\n");
    let yaml = format!(
        "admin: {{token: HUSH-token}}\ntracing: {{otlpHeaders: k=HUSH}}\n\
         auth: {{mode: apiKeys, apiKeys: [\
         {{account: a, key: HUSH-0123456789-a}}, {{account: b, keyFile: '{}'}}]}}",
        key.path().display()
    );
    let settings = load(&yaml).unwrap();
    let debug = format!("{settings:?} {settings:#?}");
    let printed = effective(&settings);
    assert!(!debug.contains(MARK) && debug.contains("<secret>"), "{debug}");
    assert!(!printed.contains(MARK), "{printed}");
    assert_eq!(printed.matches("<secret>").count(), 4, "{printed}");
    assert!(effective(&load("").unwrap()).contains("token: <none>"));

    let output = program_with(&["check-config"], &yaml);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), printed);
    assert!(output.stderr.is_empty());
}

#[test]
fn the_placeholder_is_never_taken_for_a_secret() {
    let printed = effective(&load("admin: {token: HUSH}").unwrap());
    let error = load(&printed).unwrap_err();
    assert_eq!(error.problems()[0].key, "admin.token");
    let restored = load(&printed.replace("<secret>", "HUSH")).unwrap();
    assert_eq!(restored.admin_token.unwrap().expose(), "HUSH");
}

#[test]
fn no_error_repeats_a_secret() {
    let file = file("HUSH in a file\n");
    let path = file.path().display();
    let in_file = format!("admin: {{tokenFile: '{path}'}}");
    let key_in_file = format!("network: {{privateKeysFile: '{path}'}}");
    for yaml in [
        "admin: HUSH-instead-of-a-section",
        "admin: [HUSH]",
        "admin:\n  token:HUSH",
        "admin: {token:HUSH-0123: }",
        "admin: {token: !!null HUSH}",
        "admin: {token: [HUSH]}",
        "admin: {token: HUSH, token: HUSH}",
        "admin: {token: HUSH, tokenFile: f}",
        "admin: {token: 'HUSH with spaces'}",
        "auth: HUSH",
        "auth: {apiKeys: HUSH}",
        "auth: {apiKeys: [HUSH]}",
        "auth: {apiKeys: [{account: a, key: HUSH-0123456789-a}]}",
        "auth: {mode: apiKeys, apiKeys: [{account: a, key: HUSH}]}",
        "auth: {mode: apiKeys, apiKeys: [{account: a, key: 'HUSH 0123456789 a'}]}",
        "auth: {mode: apiKeys, apiKeys: [{account: a, key: HUSH-0123456789é}]}",
        "auth: {mode: apiKeys, apiKeys: [{account: a, key: HUSH-0123456789-a}, \
         {account: b, key: HUSH-0123456789-a}]}",
        "network: {privateKeys: [HUSH]}",
        "network: {privateKeys: HUSH}",
        "network: {privateKeys: [[HUSH]]}",
        "network: {privateKeys: [HUSH, HUSH]}",
        "network: {privateKeys: {HUSH: 1}}",
        "network: {privateKeys: [HUSH], privateKeysFile: f}",
        "ledger: {url: 'postgres://me:HUSH@db/a b'}",
        "ledger: {url: 'postgres:HUSH'}",
        "ledger: {url: 'postgres://me:HUSH@db/a', urlFile: f}",
        "ledger: {url: 'mysql://me:HUSH@db'}",
        "upstream: {url: 'http://me:HUSH@engine'}",
        "upstream: {url: 'http://engine?token=HUSH'}",
        "servingUrl: http://me:HUSH@host",
        in_file.as_str(),
        key_in_file.as_str(),
    ] {
        let error = load(yaml).expect_err(yaml);
        assert!(!format!("{error} {error:?}").contains(MARK), "{yaml}: {error}");
        for command in ["serve", "check-config"] {
            let output = program_with(&[command], yaml);
            assert_eq!(output.status.code(), Some(64), "{yaml}");
            let said = stderr(&output) + &stdout(&output);
            assert!(!said.contains(MARK), "{yaml}: {said}");
        }
    }
}

#[test]
fn no_error_repeats_a_variable_that_may_be_secret() {
    for name in [
        "SIDECAR__AUTH__APIKEYS",
        "SIDECAR__AUTH__APIKEYS__0__KEY",
        "SIDECAR__NETWORK__PRIVATEKEYS",
        "SIDECAR__ADMIN__TOKN",
        "SIDECAR__ADMIN__TOKEN",
    ] {
        let output = program(&["check-config"], &[(name, "HUSH hush")]);
        assert_eq!(output.status.code(), Some(64), "{name}");
        assert!(!stderr(&output).contains(MARK), "{}", stderr(&output));
    }
}

#[test]
fn a_secret_shows_itself_only_when_asked() {
    let secret = Secret::new("HUSH".to_owned());
    assert_eq!(format!("{secret:?}"), "<secret>");
    assert_eq!(secret.expose(), "HUSH");
}

#[test]
fn no_format_but_the_placeholder_s_can_be_asked_of_a_secret() {
    const {
        assert!(Asked::<String>::HAS_DISPLAY && Asked::<String>::HAS_SERIALIZE);
        assert!(!Asked::<Secret<String>>::HAS_DISPLAY, "a secret could be printed");
        assert!(!Asked::<Secret<String>>::HAS_SERIALIZE, "a secret could be in an answer");
        assert!(!Asked::<Secret<[u8; 32]>>::HAS_DISPLAY);
        assert!(!Asked::<Secret<[u8; 32]>>::HAS_SERIALIZE);
    }
}

/// Asks a type for traits: its own constant comes before the one that all types have.
struct Asked<T>(PhantomData<T>);

impl<T: Display> Asked<T> {
    const HAS_DISPLAY: bool = true;
}

impl<T: Serialize> Asked<T> {
    const HAS_SERIALIZE: bool = true;
}

trait Lacking {
    const HAS_DISPLAY: bool = false;
    const HAS_SERIALIZE: bool = false;
}

impl<T> Lacking for Asked<T> {}
