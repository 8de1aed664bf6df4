//! Argument list of the placement score.

use crate::KernelId;
use crate::spec::{Arg, Extent, GROUP, KernelSpec, ShapeError, limit};

/// Most VMs of a request.
pub const VMS_MAX: usize = 1 << 16;
/// Most hosts of a request, padding included.
pub const HOSTS_MAX: usize = 1 << 16;
/// Most sample paths.
pub const PATHS_MAX: usize = 256;
/// Most steps of a path.
pub const STEPS_MAX: usize = 64;
/// Most resources.
pub const RESOURCES_MAX: usize = 8;
/// Most hosts that are named per VM.
pub const TOP_MAX: usize = 8;
/// VMs that one group of work items scores: they share each load of room.
pub const VMS_PER_GROUP: usize = 8;
/// Words per named host in `score`: overload probability, headroom, cost.
pub const SCORE_WORDS: usize = 3;
/// Cost of a host that is not allowed; it is named only where fewer than `top` are, as host -1.
pub const FORBIDDEN: f32 = 3.0e38;

/// Buffers, `hosts` a multiple of 64:
/// - demand [vms][paths][steps][resources], in the unit of the host's capacity.
/// - room [paths][steps][resources][hosts]: (capacity - load of the host on that path) / capacity; what a VM that is
///   already there uses is in the load.
/// - host [1 + resources][hosts]: cost of using the host, then 1 / capacity per resource.
/// - vm [vms][2]: cost of moving it, index of its present host as a number (-1 = none).
/// - allow [vms][hosts/32]: bit h % 32 of word h / 32 set = allowed. Padding hosts have 0.
/// - best [vms][top]: host indexes, least cost first, lower index first among equals; -1 = no further host.
/// - score [vms][top][3].
///
/// Scalars: risk_cost = cost of certain overload, room_value = what a unit of headroom is worth.
pub const SPEC: KernelSpec = KernelSpec {
    id: KernelId::PlacementScore,
    buffers: &[
        Arg::input("demand"),
        Arg::input("room"),
        Arg::input("host"),
        Arg::input("vm"),
        Arg::input_i32("allow"),
        Arg::output_i32("best"),
        Arg::output("score"),
    ],
    ints: &["vms", "hosts", "paths", "steps", "resources", "top"],
    floats: &["risk_cost", "room_value"],
    extent,
    gpu: include_str!("gpu.cc"),
    cpu_cl: include_str!("cpu.cl"),
    wgsl: include_str!("web.wgsl"),
    ptx: include_str!("../ptx/placement_score.ptx"),
};

fn extent(ints: &[i32]) -> Result<Extent, ShapeError> {
    let vms = limit("vms", ints[0], 0..=VMS_MAX, "0 to 65536")?;
    let want = "a multiple of 64, 64 to 65536";
    let hosts = limit("hosts", ints[1], GROUP..=HOSTS_MAX, want)?;
    if !hosts.is_multiple_of(GROUP) {
        return Err(ShapeError { name: "hosts", got: i64::from(ints[1]), want });
    }
    let paths = limit("paths", ints[2], 1..=PATHS_MAX, "1 to 256")?;
    let steps = limit("steps", ints[3], 1..=STEPS_MAX, "1 to 64")?;
    let resources = limit("resources", ints[4], 1..=RESOURCES_MAX, "1 to 8")?;
    let top = limit("top", ints[5], 1..=TOP_MAX, "1 to 8")?;
    let cells = paths * steps * resources;
    let words = [
        vms * cells,
        cells * hosts,
        (1 + resources) * hosts,
        2 * vms,
        vms * (hosts / 32),
        vms * top,
        vms * top * SCORE_WORDS,
        0,
    ];
    Ok(Extent { words, groups: vms.div_ceil(VMS_PER_GROUP) })
}
