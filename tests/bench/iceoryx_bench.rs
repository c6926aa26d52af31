// SPDX-License-Identifier: Apache-2.0
//! iceoryx2, the anchor of row S11: one publisher, SUBS subscribers, bodies of BYTES.
//!
//!     iceoryx_bench SUBS N BYTES
//!
//! Processes of their own; nothing is dropped (a publisher waits), the publisher writes
//! every body into its loan, each subscriber checks its number, and looks at no more of
//! it. Prints the seconds from the first event to the last arrival.
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;
use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{exit, id, Child, Command, Stdio};
use std::time::Instant;

type Res<T> = Result<T, Box<dyn Error>>;
type Factory = iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, [u8], ()>;

fn service(node: &Node<ipc::Service>, name: &str) -> Res<Factory> {
    Ok(node
        .service_builder(&name.try_into()?)
        .publish_subscribe::<[u8]>()
        .enable_safe_overflow(false)
        .history_size(0)
        .subscriber_max_buffer_size(8)
        .max_publishers(1)
        .max_subscribers(8)
        .open_or_create()?)
}

fn subscribe(name: &str, n: u64) -> Res<()> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let subscriber = service(&node, name)?.subscriber_builder().create()?;
    let mut next = 0u64;

    // What is sent before it has looked for the publisher may be lost.
    println!("made");
    std::io::stdin().read_exact(&mut [0])?;
    subscriber.update_connections()?;
    println!("ready");
    while next < n {
        match subscriber.receive()? {
            Some(s) => {
                if u64::from_le_bytes(s[..8].try_into()?) != next {
                    eprintln!("not the next event");
                    exit(2);
                }
                next += 1;
            }
            None => std::thread::yield_now(),
        }
    }
    println!("end");
    std::io::stdin().read_exact(&mut [0])?;
    Ok(())
}

fn publish(name: &str, n: u64, bytes: usize) -> Res<()> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let publisher = service(&node, name)?
        .publisher_builder()
        .initial_max_slice_len(bytes)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()?;
    let mut body = vec![b'x'; bytes];

    publisher.update_connections()?;
    println!("made");
    std::io::stdin().read_exact(&mut [0])?;
    for i in 0..n {
        body[..8].copy_from_slice(&i.to_le_bytes());
        publisher.loan_slice_uninit(bytes)?.write_from_slice(&body).send()?;
    }
    std::io::stdin().read_exact(&mut [0])?;
    Ok(())
}

fn start(args: &[String]) -> Res<(Child, Box<dyn BufRead>)> {
    let mut c = Command::new(env::current_exe()?)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = Box::new(BufReader::new(c.stdout.take().unwrap()));
    Ok((c, out))
}

fn hear(out: &mut Box<dyn BufRead>, word: &str) -> Res<()> {
    let mut line = String::new();

    out.read_line(&mut line)?;
    if line.trim() != word {
        return Err(format!("a process ended, or said: {line}").into());
    }
    Ok(())
}

fn main() -> Res<()> {
    let a: Vec<String> = env::args().skip(1).collect();

    set_log_level(LogLevel::Error);
    match a.first().map(String::as_str) {
        Some("sub") => return subscribe(&a[1], a[2].parse()?),
        Some("pub") => return publish(&a[1], a[2].parse()?, a[3].parse()?),
        _ if a.len() == 3 => (),
        _ => {
            eprintln!("usage: iceoryx_bench SUBS N BYTES");
            exit(2);
        }
    }
    let name = format!("mbus-bench-{}", id());
    let mut all = Vec::new();
    for _ in 0..a[0].parse::<u32>()? {
        let mut c = start(&["sub".into(), name.clone(), a[1].clone()])?;
        hear(&mut c.1, "made")?;
        all.push(c);
    }
    let mut p = start(&["pub".into(), name, a[1].clone(), a[2].clone()])?;
    hear(&mut p.1, "made")?;
    for c in &mut all {
        c.0.stdin.as_mut().unwrap().write_all(b"g")?;
        hear(&mut c.1, "ready")?;
    }
    let begin = Instant::now();
    p.0.stdin.as_mut().unwrap().write_all(b"g")?;
    for c in &mut all {
        hear(&mut c.1, "end")?;
    }
    println!("{:.6}", begin.elapsed().as_secs_f64());
    all.push(p);
    for c in &mut all {
        c.0.stdin.take().unwrap().write_all(b"e")?;
        c.0.wait()?;
    }
    Ok(())
}
