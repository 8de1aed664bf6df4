//! Where a host is bound to run over, its VMs get the max-min fair share: everyone who asks for less than the level gets
//! what it asks for, the rest get the level. Without it every VM on the host is cut in proportion.
//! (Max-min fairness: Bertsekas & Gallager, Data Networks, 2nd ed., section 6.5.2.)

use foreshade_types::HostId;

use crate::PlanInput;

/// The level L with `sum(min(need_i, L)) = capacity`; `None` when all needs fit.
pub(crate) fn level(needs: &[u64], capacity: u64) -> Option<u64> {
    if needs.iter().sum::<u64>() <= capacity {
        return None;
    }
    let mut sorted = needs.to_vec();
    sorted.sort_unstable();
    let mut left = capacity;
    for (i, need) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - i) as u64;
        if *need > share {
            return Some(share);
        }
        left -= need;
    }
    None
}

/// The level of a host whose demand already exceeds it; `None` where there is room.
pub(crate) fn host_level(input: &PlanInput<'_>, host: HostId) -> Option<u64> {
    let h = input.host(host)?;
    if h.load <= h.cpu {
        return None;
    }
    let mut needs = Vec::new();
    let mut shadows = 0;
    for v in input.vms {
        let need = v.cpu.step.q90.min(v.size.cpu.0);
        if v.host == host {
            needs.push(need * (100 - v.away_percent()) / 100);
        }
        if v.shadow.is_some_and(|s| s.place.host == host) {
            shadows += need * v.away_percent() / 100;
        }
    }
    level(&needs, h.cpu.0.saturating_sub(shadows))
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn the_small_get_all_and_the_large_share_the_rest() {
        assert_eq!(level(&[1, 2, 10, 20], 15), Some(6)); // 1 + 2 + 6 + 6
        assert_eq!(level(&[1, 2, 10, 20], 33), None);
        assert_eq!(level(&[5, 5, 5], 12), Some(4));
        assert_eq!(level(&[], 0), None);
        assert_eq!(level(&[3], 0), Some(0));
    }
}
