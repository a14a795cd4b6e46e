//! A service manager that wants to know how far the process is.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{PRICES, program, quick, settings};

#[test]
fn a_service_manager_is_told_of_the_start_a_reload_and_the_end() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("nothing was told");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let config = folder.path().join("config.yaml");
    let server = ", drainSecs: 7";
    std::fs::write(&config, settings(folder.path(), &engine, server, PRICES)).unwrap();
    let mut command = Command::new(program());
    command.args(["serve", "--config"]).arg(&config).env("NOTIFY_SOCKET", &path);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let signal = |name: &str| {
        let pid = child.id().to_string();
        let sent = Command::new("sh").args(["-c", r#"kill -s "$1" "$0""#, &pid, name]).status();
        assert!(sent.unwrap().success());
    };
    assert_eq!(told(), "READY=1");
    signal("HUP");
    assert_eq!((told(), told()), ("RELOADING=1".to_owned(), "READY=1".to_owned()));
    signal("TERM");
    // To drain, close and stop the servers; and then as long as a busy database is waited for.
    for secs in [7 + 10 + 10 + 10, 90] {
        assert_eq!(told(), format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={secs}000000"));
    }
    assert!(child.wait().unwrap().success());
}
