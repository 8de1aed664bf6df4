//! The models in the repository: models/hazard/README.md says what each was fitted on.

use super::model::{Hazard, HazardError};

/// A shipped model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// Hosts that fail of themselves and are repaired by people: LANL.
    Lanl,
    /// Hosts that are rebooted and reinstalled often: Grid'5000.
    Grid5000,
    /// Drives, for ranking: Backblaze.
    Backblaze,
}

impl Shipped {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lanl, Self::Grid5000, Self::Backblaze];

    /// Its name: `models/hazard/<name>.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lanl => "lanl",
            Self::Grid5000 => "grid5000",
            Self::Backblaze => "backblaze",
        }
    }

    /// The file.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lanl => include_bytes!("../../../../models/hazard/lanl.json"),
            Self::Grid5000 => include_bytes!("../../../../models/hazard/grid5000.json"),
            Self::Backblaze => include_bytes!("../../../../models/hazard/backblaze.json"),
        }
    }

    /// The model.
    ///
    /// # Errors
    /// If the file in the repository was damaged.
    pub fn model(self) -> Result<Hazard, HazardError> {
        Hazard::from_json(self.bytes())
    }
}
