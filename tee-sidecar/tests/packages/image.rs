//! The image of the unpacked provider-broker, built by buildah on a base made of this machine's own
//! C library (the real base comes from a registry), and the program started in it: as nobody, with
//! a root that cannot be written to. Needs root, as buildah's layers do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{has, printed, program, skipped};
use super::tarball::unpacked;

#[test]
fn the_image_holds_the_program_for_nobody_and_it_starts_on_a_read_only_root() {
    let Some(folder) = unpacked() else { return };
    if !has(&["buildah", "unshare", "setpriv", "chroot", "ldd"]) {
        return;
    }
    if printed(Command::new("id").arg("-u")).trim() != "0" {
        return skipped("building an image takes root here");
    }
    let store = tempfile::tempdir().unwrap();
    let buildah = Buildah { store: store.path().to_owned() };
    let broker = folder.path().join("provider-broker");
    // What a host has there must not get in.
    fs::write(broker.join("config.local.yaml"), "network: {privateKeys: [HUSH]}").unwrap();

    let base = buildah.run(&["from", "--pull-never", "scratch"]);
    let root = buildah.run(&["mount", base.trim()]);
    libraries_into(Path::new(root.trim()));
    buildah.run(&["commit", "--quiet", base.trim(), "localhost/base"]);
    let context = broker.to_str().unwrap();
    let build = ["build", "--isolation", "chroot", "--pull-never", "--quiet", "--tag", "broker"];
    buildah.run(&[&build[..], &["--build-arg", "BASE=localhost/base", context]].concat());

    let image = buildah.run(&["inspect", "--type", "image", "broker"]);
    let image: Value = serde_json::from_str(&image).unwrap();
    let config = &image["OCIv1"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/bin/tee-sidecar"]));
    assert_eq!(config["WorkingDir"], "/var/lib/tee-sidecar");
    assert_eq!(config["StopSignal"], "SIGTERM");

    let made = buildah.run(&["from", "--pull-never", "broker"]);
    let root = PathBuf::from(buildah.run(&["mount", made.trim()]).trim());
    assert!(!root.join("config.local.yaml").exists(), "the wallet's key is in the image");
    let owner =
        printed(Command::new("stat").args(["-c", "%u:%g"]).arg(root.join("var/lib/tee-sidecar")));
    assert_eq!(owner.trim(), "65532:65532");
    starts_in(&root);
}

/// As a container runtime would: a root bound read-only with a folder for state in it, the image's
/// user, no right to be gained.
fn starts_in(root: &Path) {
    let script = "mount --bind \"$0\" \"$0\" && \
                  mount -t tmpfs -o uid=65532,gid=65532 none \"$0/var/lib/tee-sidecar\" && \
                  mount -o remount,bind,ro \"$0\" && ! touch \"$0/usr/bin/new\" 2>/dev/null && \
                  exec setpriv --no-new-privs chroot --userspec=65532:65532 \"$0\" \
                  /usr/bin/tee-sidecar \"$@\"";
    let inside = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", script]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(root).args(args);
        // chroot starts at the top, not in the image's working folder.
        command.env("SIDECAR__LEDGER__URL", "sqlite:///var/lib/tee-sidecar/data/ledger.db");
        command.output().unwrap()
    };
    let version = inside(&["--version"]);
    let said = String::from_utf8_lossy(&version.stdout).into_owned();
    assert_eq!(said, format!("tee-sidecar {}\n", env!("CARGO_PKG_VERSION")), "{version:?}");
    let checked = inside(&["check-config"]);
    assert!(checked.status.success(), "{checked:?}");
    // No TEE is let into it: it says what it looked for, and ends as something that is missing.
    let served = inside(&["serve"]);
    let said = String::from_utf8_lossy(&served.stderr).into_owned();
    assert_eq!(served.status.code(), Some(20), "{served:?}");
    assert!(said.contains("/sys/kernel/config/tsm/report"), "{said}");
}

/// What the program is linked to, at the same paths.
fn libraries_into(root: &Path) {
    let needed = printed(Command::new("ldd").arg(program()));
    let paths = needed.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths {
        let to = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

struct Buildah {
    store: PathBuf,
}

impl Buildah {
    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("buildah");
        let folder = |name: &str| self.store.join(name).display().to_string();
        command.args(["--storage-driver", "vfs", "--root", &folder("root")]);
        command.args(["--runroot", &folder("run")]);
        printed(command.args(args))
    }
}
