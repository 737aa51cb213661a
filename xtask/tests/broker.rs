//! The broker as a process: it starts, comes back, and goes with whoever started it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use xtask::kafka::{Broker, NEWEST, Options};

fn listens(broker: &str) -> bool {
    TcpStream::connect(broker).is_ok()
}

#[test]
fn a_broker_comes_back_on_its_port_and_is_gone_when_dropped() {
    let mut broker = Broker::start(NEWEST, &Options::default()).unwrap();
    let bootstrap = broker.bootstrap();
    assert!(listens(&bootstrap));
    broker.kill();
    assert!(!listens(&bootstrap));
    broker.restart().unwrap();
    assert!(listens(&bootstrap));
    broker.stop().unwrap();
    assert!(!listens(&bootstrap));
    broker.restart().unwrap();
    let folder = broker.log_path().parent().unwrap().to_owned();
    drop(broker);
    assert!(!listens(&bootstrap));
    assert!(!folder.exists());
}

#[test]
fn a_broker_goes_when_the_process_that_started_it_is_killed() {
    let port = xtask::ports::free_port().unwrap();
    let mut task = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["kafka", "--port", &port.to_string()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = task.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert_eq!(line.trim(), format!("127.0.0.1:{port}"));
    assert!(listens(line.trim()));
    task.kill().unwrap();
    task.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while listens(line.trim()) {
        assert!(Instant::now() < deadline, "the broker outlives its owner");
        std::thread::sleep(Duration::from_millis(20));
    }
}
