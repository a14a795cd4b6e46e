//! `demo-upstream [--listen ADDRESS] [--model NAME] [--pause-ms N]`: the demo, on its own.

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use examples::demo::Demo;
use examples::launch::{Flags, Stop, USAGE_ERROR};

#[actix_web::main]
async fn main() -> ExitCode {
    let mut demo = Demo::default();
    let mut listen = "127.0.0.1:8000".to_owned();
    let taken = Flags::new(std::env::args().skip(1)).each(|name, value| {
        match name {
            "--listen" => listen = value,
            "--model" => demo.model = value,
            "--pause-ms" => {
                let millis = value.parse().map_err(|_| "--pause-ms takes a number".to_owned())?;
                demo.pause = Duration::from_millis(millis);
            }
            _ => return Err(format!("{name} is not known")),
        }
        Ok(())
    });
    if let Err(why) = taken {
        eprintln!("demo-upstream: {why}");
        eprintln!("usage: demo-upstream [--listen ADDRESS] [--model NAME] [--pause-ms N]");
        return ExitCode::from(USAGE_ERROR);
    }
    match serve(demo, &listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-upstream: {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(demo: Demo, listen: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    eprintln!("demo-upstream: listening on http://{}", listener.local_addr()?);
    let server = demo.serve(listener)?;
    let handle = server.handle();
    let running = tokio::spawn(server);
    Stop::listen()?.requested().await;
    handle.stop(true).await;
    running.await?
}
