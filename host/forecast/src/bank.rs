//! The feed-forward networks of a set: every series is a lane of the network of its behaviour.
//!
//! They run on the kernel of the LSTM, from zero at every tick, so a lane has no state and may change networks at any time:
//! what is said of a series depends on its features and its kind alone.

use foreshade_accel::lstm_step::{LEVELS, RESET, STEP, TARGETS};
use foreshade_accel::{AccelError, Engine, spec};

use crate::behaviour::{Behaviours, Seen, traits};
use crate::features::{INPUT, STATS};
use crate::group::Group;
use crate::lanes::{LANES, Lane, ZERO};
use crate::lstm::{LstmFleet, Mlps};

/// Outputs of a network.
const OUTPUTS: usize = TARGETS * LEVELS;

/// The networks and who is heard by which.
#[derive(Debug)]
pub(crate) struct Bank {
    behaviours: Behaviours,
    nets: Vec<Net>,
    /// By lane of the set.
    seen: Vec<Seen>,
    /// Has a lane changed networks since they were dealt out?
    moved: bool,
    /// What was said last, [group][target x level].
    said: Vec<[Lane; OUTPUTS]>,
}

/// One network and its lanes.
#[derive(Debug)]
struct Net {
    fleet: LstmFleet,
    /// Lanes of the set, ascending.
    lanes: Vec<u32>,
    /// Lanes that its state has room for.
    room: usize,
}

impl Bank {
    /// Loads the networks, all series with the general one.
    pub(crate) fn new(mlps: &Mlps, engine: &mut Engine, series: usize) -> Result<Self, AccelError> {
        let mut nets = Vec::new();
        for (i, weights) in mlps.nets.iter().enumerate() {
            let room = if i == 0 { series } else { 0 };
            nets.push(Net { fleet: LstmFleet::of(weights, engine, room)?, lanes: Vec::new(), room });
        }
        Ok(Self {
            behaviours: mlps.behaviours.clone(),
            nets,
            seen: vec![Seen::default(); series],
            moved: true,
            said: vec![[ZERO; OUTPUTS]; series.div_ceil(LANES)],
        })
    }

    /// Looks at the behaviour of a lane that has so many samples in its window, and so many of them there.
    pub(crate) fn look(&mut self, lane: usize, samples: [usize; 2], group: &Group) {
        let stat = |i: usize| group.features[INPUT + i][lane % LANES];
        self.moved |= self.seen[lane].look(&self.behaviours, samples, traits(stat));
    }

    /// Sends the tick.
    pub(crate) fn submit(&mut self, engine: &mut Engine, groups: &[Group]) -> Result<(), AccelError> {
        if self.moved {
            self.deal(engine)?;
        }
        for net in self.nets.iter_mut().filter(|n| !n.lanes.is_empty()) {
            let own = &net.lanes;
            // Lane by lane out of their groups, row by row into the arrays, whose rows lie far apart.
            let mut rows = [[0.0; spec::GROUP]; INPUT + STATS];
            net.fleet.submit_rows(engine, |mode, x, stats, lanes| {
                for (own, first) in own.chunks(spec::GROUP).zip((0..).step_by(spec::GROUP)) {
                    for (to, lane) in own.iter().enumerate() {
                        let (group, l) = (&groups[*lane as usize / LANES], *lane as usize % LANES);
                        mode[first + to] = if group.begun[l] { STEP | RESET } else { 0 };
                        rows.iter_mut().zip(group.features.iter()).for_each(|(row, from)| row[to] = from[l]);
                    }
                    for (i, row) in rows.iter().enumerate() {
                        let (to, i) = if i < INPUT { (&mut *x, i) } else { (&mut *stats, i - INPUT) };
                        let first = i * lanes + first;
                        to[first..first + own.len()].copy_from_slice(&row[..own.len()]);
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Waits for it.
    pub(crate) fn collect(&mut self, engine: &mut Engine) -> Result<(), AccelError> {
        for net in self.nets.iter_mut().filter(|n| !n.lanes.is_empty()) {
            let out = net.fleet.collect_rows(engine)?.f32();
            for (from, &lane) in net.lanes.iter().enumerate() {
                let (to, l) = (&mut self.said[lane as usize / LANES], lane as usize % LANES);
                let first = spec::blocked(from, 0, OUTPUTS);
                to.iter_mut().enumerate().for_each(|(o, row)| row[l] = out[first + o * spec::GROUP]);
            }
        }
        Ok(())
    }

    /// What was said last of a group.
    pub(crate) fn row(&self, group: usize, target: usize, level: usize) -> &Lane {
        &self.said[group][target * LEVELS + level]
    }

    /// Deals the lanes out to the networks.
    fn deal(&mut self, engine: &mut Engine) -> Result<(), AccelError> {
        self.nets.iter_mut().for_each(|n| n.lanes.clear());
        for (lane, seen) in self.seen.iter().enumerate() {
            self.nets[seen.kind().map_or(0, |k| k + 1)].lanes.push(lane as u32);
        }
        for net in &mut self.nets {
            if net.lanes.len() > net.room {
                // More than is needed now, so that one more does not move it again.
                net.room = (net.lanes.len() * 5 / 4).next_multiple_of(spec::GROUP);
                net.fleet.resize(engine, net.room)?;
            }
        }
        self.moved = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WINDOW;
    use crate::behaviour::TRAITS;
    use crate::group::Plan;
    use crate::lstm::Profile;
    use foreshade_accel::lstm_step::{Cell, GATES, Head, Weights};
    use foreshade_accel::{OpenOptions, open};

    /// A network that says `says` of everything, plus a little of what its cell remembers.
    fn net(says: f32) -> Weights {
        let cell = Cell {
            input: INPUT,
            hidden: 1,
            w_ih: vec![0.5; GATES * INPUT],
            w_hh: vec![0.0; GATES],
            b_ih: vec![1.0; GATES],
            b_hh: vec![0.0; GATES],
        };
        let mut w1 = vec![0.0; 1 + STATS];
        w1[0] = 1.0;
        let head = Head {
            stats: STATS,
            width: 1,
            w1,
            b1: vec![0.0],
            w2: vec![0.1; OUTPUTS],
            b2: vec![says; OUTPUTS],
        };
        Weights::new(vec![cell], Some(head)).unwrap()
    }

    fn plan() -> Plan {
        Plan { horizons: vec![], places: vec![], targets: vec![], tuning: crate::ensemble::Tuning::default() }
    }

    #[test]
    fn a_series_is_heard_by_the_network_of_its_behaviour_which_remembers_nothing() {
        let mut engine = open("cpu", &OpenOptions::default()).unwrap();
        let mlps = Mlps {
            behaviours: Behaviours { centres: vec![[0.0; TRAITS], [4.0; TRAITS]], unit: [1.0; TRAITS] },
            nets: vec![net(10.0), net(20.0), net(30.0)],
        };
        // More lanes than a network takes at a time.
        let series = 12 * LANES;
        let mut bank = Bank::new(&mlps, &mut engine, series).unwrap();
        let mut groups: Vec<Group> = (0..12).map(|_| Group::new(&plan(), Profile::Cpu)).collect();
        for group in &mut groups {
            group.begun = [true; LANES];
            // Every second lane is of the second kind.
            group.features.iter_mut().for_each(|row| (0..LANES).for_each(|l| row[l] = (l % 2) as f32 * 4.0));
        }
        let mut hear = |bank: &mut Bank| {
            bank.submit(&mut engine, &groups).unwrap();
            bank.collect(&mut engine).unwrap();
            std::array::from_fn::<_, 12, _>(|g| *bank.row(g, 3, 1))
        };
        let young = hear(&mut bank);
        assert!(young.as_flattened().iter().all(|v| (10.0..10.2).contains(v)), "{young:?}");
        assert_eq!(hear(&mut bank), young, "the same features, the same words");
        for lane in 0..series - LANES {
            bank.look(lane, [WINDOW; 2], &groups[lane / LANES]);
        }
        let known = hear(&mut bank);
        for (lane, said) in known.as_flattened().iter().enumerate() {
            let want = if lane >= series - LANES { 10.0 } else { [20.0, 30.0][lane % 2] };
            assert!((want..want + 0.2).contains(said), "lane {lane}: {said}");
        }
        // A lane whose past was forgotten goes back.
        bank.look(5, [20; 2], &groups[0]);
        assert!((10.0..10.2).contains(&hear(&mut bank)[0][5]));
    }
}
