//! `quickstart --sidecar PROGRAM [--upstream URL] [--pause-ms N]`: what `make run` starts.
//!
//! Starts the sidecar with the software TEE in front of a model server, or in front of the demo
//! where none is named, and prints the first things to try. Every `SIDECAR__…` variable
//! of the caller wins over what is set here.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use examples::demo::Demo;
use examples::launch::{
    Error, Flags, Sidecar, Stop, USAGE_ERROR, Wanted, first_requests, settings,
};

#[actix_web::main]
async fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("quickstart: {why}");
            eprintln!("usage: quickstart --sidecar PROGRAM [--upstream URL] [--pause-ms N]");
            return ExitCode::from(USAGE_ERROR);
        }
    };
    match run(options).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<u8, Error> {
    let mut stop = Stop::listen()?;
    let mut wanted = Wanted::from_caller(std::env::vars_os(), options.upstream)?;
    if wanted.upstream.is_none() {
        wanted.upstream = Some(start_demo(options.pause)?);
    }
    let settings = settings(wanted)?;
    if !settings.upstream_answers(&mut stop).await {
        return Ok(0);
    }
    let mut sidecar = Sidecar::start(&options.sidecar, &settings)?;
    match sidecar.ready(&settings, &mut stop).await {
        Ok(Some(model)) => {
            println!("{}", first_requests(&settings.public, &model, &options.sidecar));
        }
        Ok(None) => return sidecar.stop(&mut stop).await,
        Err(error) => {
            // The sidecar's own words are already on the terminal.
            eprintln!("quickstart: {error}");
            let code = sidecar.stop(&mut stop).await?;
            return Ok(code.max(1));
        }
    }
    sidecar.run_until_stopped(&mut stop).await
}

/// Starts the demo on a free port and tells where.
fn start_demo(pause: Option<Duration>) -> Result<String, Error> {
    let mut demo = Demo::default();
    demo.pause = pause.unwrap_or(demo.pause);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(demo.serve(listener)?);
    println!(
        "No UPSTREAM is named: the answers come from a demo (a script, not a model) on {url}."
    );
    Ok(url)
}

struct Options {
    sidecar: PathBuf,
    upstream: Option<String>,
    pause: Option<Duration>,
}

impl Options {
    fn read(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut sidecar, mut upstream, mut pause) = (None, None, None);
        Flags::new(args).each(|name, value| {
            match name {
                "--sidecar" => sidecar = Some(PathBuf::from(value)),
                // `make run` passes the variable on, set or not.
                "--upstream" => upstream = Some(value).filter(|url| !url.is_empty()),
                "--pause-ms" => {
                    let millis = value.parse().map_err(|_| "--pause-ms takes a number")?;
                    pause = Some(Duration::from_millis(millis));
                }
                _ => return Err(format!("{name} is not known")),
            }
            Ok(())
        })?;
        let sidecar = sidecar.ok_or("--sidecar is missing")?;
        Ok(Self { sidecar, upstream, pause })
    }
}
