//! The arrays that a step changes, in packs that a launch takes.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use burn_cubecl::tensor::CubeTensor;

use super::arena::Arena;
use crate::network::{
    Architecture,
    on_burn::kernels::{
        most_buffers, optimizer, sums,
        tiles::{Array, Change, MOST_ARRAYS, Tiles},
    },
    training::settings::Settings,
};

/// The news of a step, by array: gradients, and statistics of the batch.
pub(super) type News = BTreeMap<String, CubeTensor>;

/// The names of the moving statistics of a layer, in the order of those of a batch.
pub(super) const STATISTICS: [&str; 2] = ["moving_mean", "moving_variance"];

/// The arrays of one launch.
pub(super) struct Pack {
    names: Vec<String>,
    pub(super) tiles: Tiles,
}

impl Pack {
    /// Returns the news of its arrays, in their order.
    pub(super) fn of(&self, news: &News) -> Vec<CubeTensor> {
        self.names.iter().map(|name| news[name].clone()).collect()
    }
}

/// Returns packs of all arrays that a step changes: what is trained, and the moving statistics.
pub(super) fn all(settings: &Settings, weights: &Arena, device: &Device) -> Vec<Pack> {
    let reaching = reaching(&settings.architecture);
    let layer_of = |name: &str| name.rsplit_once('.').map_or(String::new(), |(layer, _)| layer.to_owned());
    let trained = settings.trained().map(|array| array.name).filter(|name| reaching.contains(layer_of(name).as_str()));
    let normalising = settings.architecture.layers.iter().filter(|layer| {
        layer.kind.definition().statistics_momentum().is_some()
            && reaching.contains(layer.name.as_str())
            && !settings.frozen.contains(&layer.name)
    });
    let statistics = normalising.flat_map(|layer| STATISTICS.map(|part| format!("{}.{part}", layer.name)));
    let names: Vec<_> = trained.chain(statistics).collect();

    let besides = optimizer::BUFFERS.max(sums::BUFFERS);
    let most = most_buffers(&weights.numbers).saturating_sub(besides).clamp(1, MOST_ARRAYS);
    let pack = |names: &[String]| {
        let arrays: Vec<_> = names.iter().map(|name| array(name, change(settings, name), weights)).collect();
        Pack { names: names.to_vec(), tiles: Tiles::upload(&arrays, device) }
    };
    names.chunks(most).map(pack).collect()
}

/// Returns the layers that a head depends on. The others have no gradients.
fn reaching(architecture: &Architecture) -> BTreeSet<&str> {
    let mut reaching: BTreeSet<&str> = architecture.heads.iter().map(|head| head.name.as_str()).collect();
    for layer in architecture.layers.iter().rev() {
        if reaching.contains(layer.name.as_str()) {
            reaching.extend(layer.inputs.iter().map(String::as_str));
        }
    }
    reaching
}

/// Returns the tiles of all kernels that are trained, each with the factor 1. `None` if there are none, or no penalty.
pub(super) fn kernels(settings: &Settings, weights: &Arena, device: &Device) -> Option<Tiles> {
    let kernels = settings.trained().filter(|array| array.kernel.is_some());
    let kernels: Vec<_> =
        kernels.map(|kernel| array(&kernel.name, Change::Optimizer { decay: 1.0 }, weights)).collect();
    (settings.rule.l2 != 0.0 && !kernels.is_empty()).then(|| Tiles::upload(&kernels, device))
}

fn array(name: &str, change: Change, weights: &Arena) -> Array {
    let place = weights.place(name);
    Array { start: place.start, len: place.len(), change }
}

fn change(settings: &Settings, name: &str) -> Change {
    let (layer, part) = name.rsplit_once('.').expect("an array has the name of its layer");
    if STATISTICS.contains(&part) {
        let layer = settings.architecture.layers.iter().find(|other| other.name == layer);
        let momentum = layer.and_then(|layer| layer.kind.definition().statistics_momentum());
        return Change::Moving { momentum: momentum.expect("a layer with statistics has a momentum") };
    }
    // The gradient of the penalty.
    let decay = if part == "kernel" { (2.0 * settings.rule.l2) as f32 } else { 0.0 };
    Change::Optimizer { decay }
}
