//! A UDP proxy that misbehaves on request. Standard library only, so that any test can include it by path.
#![allow(dead_code)]

use std::collections::{BTreeMap, BinaryHeap};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What happens to packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Each packet waits a random time up to this; packets may overtake each other.
    Delay { max_ms: u64 },
    /// All are lost, both ways.
    DropAll,
    /// All from the server are lost.
    DropFromServer,
    /// All from the server are lost once this many have passed (counted over all clients, from the change of mode on).
    DropFromServerAfter { packets: u64 },
    /// This share of packets is lost, both ways.
    Loss { percent: u64 },
    /// One random bit is flipped in this share of packets, both ways.
    FlipBits { percent: u64 },
}

/// What the proxy has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    pub passed: AtomicU64,
    pub dropped: AtomicU64,
    pub flipped: AtomicU64,
    pub from_server: AtomicU64,
}

struct Shared {
    mode: Mutex<Mode>,
    counters: Counters,
    stop: AtomicBool,
}

/// Forwards between clients of `addr()` and one server, until dropped.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    main: Option<JoinHandle<()>>,
}

/// How long a quiet socket is waited on before looking whether to stop.
const TICK: Duration = Duration::from_millis(5);

impl Proxy {
    /// Listens on a free port of 127.0.0.1. The same seed draws the same delays and flips per direction and client.
    pub fn start(server: SocketAddr, seed: u64, mode: Mode) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("proxy socket");
        let addr = socket.local_addr().expect("proxy address");
        let shared = Arc::new(Shared {
            mode: Mutex::new(mode),
            counters: Counters::default(),
            stop: AtomicBool::new(false),
        });
        let main = thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(socket, server, seed, &shared)
        });
        Self { addr, shared, main: Some(main) }
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes what happens from now on.
    pub fn set(&self, mode: Mode) {
        self.shared.counters.from_server.store(0, Ordering::SeqCst);
        *self.shared.mode.lock().expect("mode") = mode;
    }

    /// What happens now.
    pub fn mode(&self) -> Mode {
        *self.shared.mode.lock().expect("mode")
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(main) = self.main.take() {
            let _ = main.join();
        }
    }
}

/// One packet on its way; the heap gives the earliest first.
struct Late {
    due: Instant,
    order: u64,
    bytes: Vec<u8>,
    to: SocketAddr,
}

impl PartialEq for Late {
    fn eq(&self, o: &Self) -> bool {
        self.cmp(o).is_eq()
    }
}
impl Eq for Late {}
impl PartialOrd for Late {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Late {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        (o.due, o.order).cmp(&(self.due, self.order))
    }
}

/// One direction of one client: receives on one socket, sends on another.
struct Pump {
    shared: Arc<Shared>,
    random: u64,
    from_server: bool,
    late: BinaryHeap<Late>,
    order: u64,
}

impl Pump {
    fn new(shared: &Arc<Shared>, seed: u64, from_server: bool) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self { shared: Arc::clone(shared), random, from_server, late: BinaryHeap::new(), order: 0 }
    }

    /// xorshift64*: good enough to annoy a protocol.
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below.max(1)
    }

    fn accept(&mut self, bytes: &[u8], to: SocketAddr) {
        let mode = *self.shared.mode.lock().expect("mode");
        let from_server = self.from_server;
        let earlier =
            if from_server { self.shared.counters.from_server.fetch_add(1, Ordering::SeqCst) } else { 0 };
        let mut bytes = bytes.to_vec();
        let mut wait = Duration::ZERO;
        let lost = match mode {
            Mode::Pass => false,
            Mode::DropAll => true,
            Mode::DropFromServer => from_server,
            Mode::DropFromServerAfter { packets } => from_server && earlier >= packets,
            Mode::Loss { percent } => self.draw(100) < percent,
            Mode::Delay { max_ms } => {
                wait = Duration::from_micros(self.draw(max_ms * 1000 + 1));
                false
            }
            Mode::FlipBits { percent } => {
                if self.draw(100) < percent && !bytes.is_empty() {
                    let bit = self.draw(bytes.len() as u64 * 8) as usize;
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    self.shared.counters.flipped.fetch_add(1, Ordering::SeqCst);
                }
                false
            }
        };
        if lost {
            self.shared.counters.dropped.fetch_add(1, Ordering::SeqCst);
            return;
        }
        self.shared.counters.passed.fetch_add(1, Ordering::SeqCst);
        self.order += 1;
        self.late.push(Late { due: Instant::now() + wait, order: self.order, bytes, to });
    }

    /// Sends what is due; returns how long the next one may wait.
    fn flush(&mut self, out: &UdpSocket) -> Duration {
        while let Some(late) = self.late.peek() {
            let wait = late.due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                return wait.clamp(Duration::from_micros(100), TICK);
            }
            if let Some(late) = self.late.pop() {
                let _ = out.send_to(&late.bytes, late.to);
            }
        }
        TICK
    }
}

fn receive(socket: &UdpSocket, wait: Duration, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    socket.set_read_timeout(Some(wait)).expect("timeout");
    match socket.recv_from(buffer) {
        Ok(got) => Some(got),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        // A refused port shows up as an error of the next receive.
        Err(_) => None,
    }
}

/// Client to server; a new client gets a socket to the server and a thread for the way back.
fn run(socket: UdpSocket, server: SocketAddr, seed: u64, shared: &Arc<Shared>) {
    let mut clients: BTreeMap<SocketAddr, (UdpSocket, Pump)> = BTreeMap::new();
    let mut threads = Vec::new();
    let mut buffer = vec![0; 65_536];
    while !shared.stop.load(Ordering::SeqCst) {
        let waits = clients.values_mut().map(|(out, pump)| pump.flush(out));
        let wait = waits.min().unwrap_or(TICK);
        let Some((len, from)) = receive(&socket, wait, &mut buffer) else { continue };
        let number = clients.len() as u64;
        let (out, pump) = clients.entry(from).or_insert_with(|| {
            let upstream = UdpSocket::bind("127.0.0.1:0").expect("upstream socket");
            let back = (upstream.try_clone().expect("clone"), socket.try_clone().expect("clone"));
            let pump = Pump::new(shared, seed + 2 * number + 1, true);
            threads.push(thread::spawn(move || run_back(&back.0, &back.1, from, pump)));
            (upstream, Pump::new(shared, seed + 2 * number, false))
        });
        pump.accept(&buffer[..len], server);
        pump.flush(out);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Server to one client.
fn run_back(upstream: &UdpSocket, socket: &UdpSocket, client: SocketAddr, mut pump: Pump) {
    let mut buffer = vec![0; 65_536];
    while !pump.shared.stop.load(Ordering::SeqCst) {
        let wait = pump.flush(socket);
        if let Some((len, _)) = receive(upstream, wait, &mut buffer) {
            pump.accept(&buffer[..len], client);
        }
    }
}
