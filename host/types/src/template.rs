//! What a VM is made of, and what its shadow inherits.

use serde::{Deserialize, Serialize};

use crate::{Allocation, VmId, VmSize};

/// Whom a guest may talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Whatever its customer's network allows.
    Customer,
    /// This VM, its primary, and the rack's manager: no other address.
    PrimaryAndManager(VmId),
}

/// How a guest's disks are backed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disks {
    /// Its own, whole.
    Own,
    /// Its primary's image, read only, under a layer that holds what differs.
    Overlay,
}

/// What it takes to boot a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its image, by digest: a name may come to mean another one.
    pub image: String,
    /// Its operating system.
    pub os: String,
    /// The machine it runs on: architecture and chipset.
    pub machine: String,
    /// Features of the CPU that its guest was shown.
    pub cpu_model: String,
    /// The most it may ever be given; cores and memory up to here can be added while it runs.
    pub size: VmSize,
    /// What it boots with.
    pub boot: Allocation,
    /// Its disks.
    pub disks: Disks,
    /// Whom it may talk to.
    pub reach: Reach,
    /// Does its customer see it?
    pub exposed: bool,
}

impl Template {
    /// A VM that its customer uses, given all it was sold.
    pub fn primary(image: &str, os: &str, size: VmSize) -> Self {
        Self {
            image: image.into(),
            os: os.into(),
            machine: "x86_64/q35".into(),
            cpu_model: "host".into(),
            size,
            boot: size.into(),
            disks: Disks::Own,
            reach: Reach::Customer,
            exposed: true,
        }
    }

    /// The shadow of this VM, `vm`: the same guest on the same machine, so that it can take over and grow to the same size;
    /// `boot` is all it starts with, its storage is what differs, and nobody but its primary and the manager reaches it.
    pub fn shadow_of(&self, vm: VmId, boot: Allocation) -> Self {
        let reach = Reach::PrimaryAndManager(vm);
        let boot = Allocation { cpu: boot.cpu.min(self.size.cpu), memory: boot.memory.min(self.size.memory) };
        Self { boot, disks: Disks::Overlay, reach, exposed: false, ..self.clone() }
    }
}
