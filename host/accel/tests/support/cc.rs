//! `gpu.cc` as plain C on this machine's processor, with the compiler's address and undefined-behaviour checks: a read or
//! write beside a buffer, or a signed overflow, ends the run with a message. Each launch is a process of its own.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use foreshade_accel::Slab;
use foreshade_accel::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Launch, Ticket, Timing};
use foreshade_kernels::{KernelId, Word, dialect};

/// Why there is none, where there is none.
pub fn missing() -> Option<&'static str> {
    let found = Command::new("cc").arg("--version").output().is_ok_and(|o| o.status.success());
    (!found).then_some("no C compiler (cc)")
}

#[derive(Debug)]
pub struct PlainC {
    info: DeviceInfo,
    dir: tempfile::TempDir,
    built: BTreeMap<KernelId, PathBuf>,
    buffers: BTreeMap<BufferId, Slab>,
    next: u32,
    done: VecDeque<(Ticket, Job)>,
}

impl PlainC {
    pub fn new() -> Self {
        Self {
            info: DeviceInfo { driver: "cc", simd: "gpu.cc".into(), software: true, ..Default::default() },
            dir: tempfile::tempdir().unwrap(),
            built: BTreeMap::new(),
            buffers: BTreeMap::new(),
            next: 1,
            done: VecDeque::new(),
        }
    }

    fn build(&mut self, kernel: KernelId) -> Result<PathBuf, BackendError> {
        if let Some(program) = self.built.get(&kernel) {
            return Ok(program.clone());
        }
        let source = self.dir.path().join(format!("{kernel}.c"));
        let program = self.dir.path().join(kernel.name());
        let text = format!("{}\n{}\n{}", dialect::NATIVE, kernel.spec().gpu, main_of(kernel));
        std::fs::write(&source, text).unwrap();
        let flags = "-std=c11 -O1 -g -Wall -Wno-unused-function -Werror -ffp-contract=off \
                     -fsanitize=address,undefined -fno-sanitize-recover=all";
        let mut cc = Command::new("cc");
        cc.args(flags.split_whitespace()).arg(&source).arg("-o").arg(&program).arg("-lm");
        let made = cc.output().unwrap();
        if !made.status.success() {
            let log = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(BackendError::Build { kernel, log });
        }
        self.built.insert(kernel, program.clone());
        Ok(program)
    }

    fn launch(&mut self, launch: &Launch) -> Result<(), BackendError> {
        let program = self.build(launch.kernel)?;
        let (input, output) = (self.dir.path().join("in"), self.dir.path().join("out"));
        let mut bytes = Vec::new();
        for id in launch.buffers() {
            self.buffers[id].i32().iter().for_each(|w| bytes.extend(w.to_le_bytes()));
        }
        std::fs::write(&input, bytes).unwrap();
        let groups = (launch.kernel.spec().extent)(launch.ints()).unwrap().groups;
        let mut run = Command::new(program);
        run.arg(&input).arg(&output).arg(groups.to_string());
        run.args(launch.ints().iter().map(i32::to_string));
        run.args(launch.floats().iter().map(|f| f.to_bits().to_string()));
        run.args(launch.buffers().iter().map(|id| self.buffers[id].len().to_string()));
        let ran = run.output().unwrap();
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            return Err(BackendError::Lost(said.lines().take(12).collect::<Vec<_>>().join("\n")));
        }
        let bytes = std::fs::read(&output).unwrap();
        let mut words = bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b));
        for id in launch.buffers() {
            let slab = self.buffers.get_mut(id).unwrap();
            slab.i32_mut().fill_with(|| words.next().unwrap());
        }
        Ok(())
    }
}

/// Reads the buffers, each into memory of its own length, runs all groups, writes the buffers.
fn main_of(kernel: KernelId) -> String {
    let spec = kernel.spec();
    let mut args = Vec::new();
    let mut text = String::from(
        "#include <stdio.h>\n#include <stdlib.h>\n\
         static void* take(FILE* f, long n) {\n  void* p = malloc((size_t)n * 4);\n  \
         if (fread(p, 4, (size_t)n, f) != (size_t)n) exit(3);\n  return p;\n}\n\
         int main(int argc, char** argv) {\n  FILE* f = fopen(argv[1], \"rb\");\n  int at = 4;\n",
    );
    for name in spec.ints {
        let _ = writeln!(text, "  int s_{name} = atoi(argv[at++]);");
    }
    for name in spec.floats {
        let _ = writeln!(text, "  float s_{name} = AS_FLOAT((int)strtoul(argv[at++], 0, 10));");
    }
    for arg in spec.buffers {
        let word = if arg.word == Word::F32 { "float" } else { "int" };
        let _ = writeln!(text, "  long n_{0} = atol(argv[at++]);", arg.name);
        let _ = writeln!(text, "  {word}* b_{0} = take(f, n_{0});", arg.name);
        args.push(format!("b_{}", arg.name));
    }
    args.extend(spec.ints.iter().chain(spec.floats).map(|name| format!("s_{name}")));
    let _ = writeln!(text, "  if (argc != at) exit(4);\n  fclose(f);");
    let _ = writeln!(text, "  RUN_GROUPS(atoi(argv[3]), {kernel}({}));", args.join(", "));
    let _ = writeln!(text, "  f = fopen(argv[2], \"wb\");");
    for arg in spec.buffers {
        let _ = writeln!(text, "  fwrite(b_{0}, 4, (size_t)n_{0}, f);\n  free(b_{0});", arg.name);
    }
    text + "  return fclose(f);\n}\n"
}

impl Backend for PlainC {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, kernel: KernelId) -> bool {
        !kernel.spec().gpu.trim().is_empty()
    }

    fn alloc(&mut self, words: usize) -> Result<BufferId, BackendError> {
        let id = BufferId(self.next);
        self.next += 1;
        self.buffers.insert(id, Slab::zeroed(words));
        Ok(id)
    }

    fn free(&mut self, buffer: BufferId) {
        self.buffers.remove(&buffer);
    }

    fn warm_up(&mut self, kernel: KernelId) -> Result<(), BackendError> {
        self.build(kernel).map(|_| ())
    }

    fn submit(&mut self, mut job: Job) -> Result<Ticket, BackendError> {
        job.check(|id| self.buffers.get(&id).map(Slab::len))?;
        for write in &job.writes {
            self.buffers.insert(write.to, Slab::clone(&write.from));
        }
        for launch in &job.launches {
            self.launch(launch)?;
        }
        for read in &mut job.reads {
            read.into.i32_mut().copy_from_slice(self.buffers[&read.from].i32());
        }
        let ticket = Ticket(u64::from(self.next));
        self.next += 1;
        self.done.push_back((ticket, job));
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket) -> Result<(Job, Timing), BackendError> {
        let start = Instant::now();
        match self.done.pop_front() {
            Some((first, job)) if first == ticket => {
                Ok((job, Timing { kernel: start.elapsed(), total: start.elapsed() }))
            }
            _ => Err(BackendError::Ticket(ticket)),
        }
    }
}
