//! What is trained: the LSTM of a weight set, and its feed-forward networks, one for any series and one per behaviour.

use foreshade_forecast::lstm::Profile;

/// Which network of a weight set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Net {
    /// The LSTM.
    Lstm,
    /// A feed-forward one: 0 = of any series, k = of the k-th behaviour.
    Mlp(usize),
}

/// Which kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// The LSTMs.
    Lstm,
    /// The feed-forward ones.
    Mlp,
}

/// One network to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    /// Its weight set.
    pub profile: Profile,
    /// Which of its networks.
    pub net: Net,
}

impl Task {
    /// The networks of the weight sets and kinds that are wanted, in the order in which they are trained: a behaviour's
    /// network begins from that of any series.
    pub fn all(profile: Option<Profile>, member: Option<Member>, behaviours: usize) -> Vec<Self> {
        let profiles = Profile::ALL.into_iter().filter(|p| profile.is_none_or(|wanted| wanted == *p));
        let nets = |_| {
            let lstm = (member != Some(Member::Mlp)).then_some(Net::Lstm);
            let mlps = if member != Some(Member::Lstm) && behaviours > 0 { behaviours + 1 } else { 0 };
            lstm.into_iter().chain((0..mlps).map(Net::Mlp))
        };
        profiles.flat_map(|profile| nets(profile).map(move |net| Self { profile, net })).collect()
    }

    /// Its name in files: `cpu`, `cpu.mlp0`.
    pub fn name(self) -> String {
        match self.net {
            Net::Lstm => self.profile.name().to_owned(),
            Net::Mlp(k) => format!("{}.mlp{k}", self.profile.name()),
        }
    }

    /// The behaviour it is for, counted from 0.
    pub fn kind(self) -> Option<usize> {
        match self.net {
            Net::Lstm | Net::Mlp(0) => None,
            Net::Mlp(k) => Some(k - 1),
        }
    }

    /// Does the network remember earlier ticks?
    pub fn remembers(self) -> bool {
        self.net == Net::Lstm
    }
}
