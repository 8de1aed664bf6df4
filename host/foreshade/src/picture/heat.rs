//! VM x horizon, one block per column of the input: how high the 95 % bound stands.

use std::collections::BTreeMap;

use foreshade_forecast::run::Told;
use foreshade_types::Transform;

use super::ahead;
use super::svg::Svg;

/// VMs shown per column: those with the highest bounds.
const ROWS_MAX: usize = 60;
const CELL: (f32, f32) = (64.0, 16.0);
const NAMES: f32 = 190.0;
const GAP: f32 = 24.0;
const TOP: f32 = 58.0;

/// One VM's bounds in points, by horizon.
type Bounds<'a> = BTreeMap<&'a str, Vec<f32>>;

/// The newest origin of every series. A cell's number is the 95 % bound in points: percent of the VM, or 20 log10(1 + x).
pub(crate) fn heat_map(told: &Told) -> String {
    let mut newest: BTreeMap<(usize, &str), i64> = BTreeMap::new();
    let column = |name: &str| told.trace.columns.iter().position(|c| c.name == name);
    for row in told.rows() {
        let at = newest.entry((column(row.resource).unwrap_or(0), row.series)).or_insert(row.origin_ms);
        *at = row.origin_ms.max(*at);
    }
    let vm_of: BTreeMap<&str, usize> =
        told.trace.vms.iter().enumerate().map(|(i, v)| (v.name.as_str(), i)).collect();
    let mut horizons: Vec<i32> = vec![];
    let mut blocks: BTreeMap<usize, Bounds<'_>> = BTreeMap::new();
    for row in told.rows() {
        let (c, vm) = (column(row.resource).unwrap_or(0), vm_of.get(row.series).copied().unwrap_or(0));
        if newest.get(&(c, row.series)) != Some(&row.origin_ms) {
            continue;
        }
        if !horizons.contains(&row.horizon_s) {
            horizons.push(row.horizon_s);
        }
        let points = told.trace.scale(vm, c).to_points(row.quantiles.q95());
        blocks.entry(c).or_default().entry(row.series).or_default().push(points);
    }
    draw(told, &horizons, &blocks)
}

fn draw(told: &Told, horizons: &[i32], blocks: &BTreeMap<usize, Bounds<'_>>) -> String {
    let shown = blocks.values().map(|b| b.len().min(ROWS_MAX)).max().unwrap_or(0);
    let block_width = NAMES + CELL.0 * horizons.len() as f32 + GAP;
    let size = (block_width * blocks.len().max(1) as f32 + GAP, TOP + CELL.1 * shown as f32 + GAP);
    let mut svg = Svg::new(size.0, size.1, "95 % bounds by VM and horizon");
    for (i, (&c, bounds)) in blocks.iter().enumerate() {
        let x0 = GAP + i as f32 * block_width;
        let column = &told.trace.columns[c];
        let unit = if column.transform == Transform::Log { "20 log10(1 + x)" } else { "% of the VM" };
        let most = format!("{}, 95 % bound, {unit}", column.name);
        svg.text((x0, 20.0), "start", "#000000", &most);
        for (k, h) in horizons.iter().enumerate() {
            let x = x0 + NAMES + (k as f32 + 0.5) * CELL.0;
            svg.text((x, TOP - 8.0), "middle", "#444444", &ahead(*h));
        }
        let mut rows: Vec<_> = bounds.iter().collect();
        let top = |v: &[f32]| v.iter().copied().fold(0.0, f32::max);
        rows.sort_by(|a, b| top(b.1).total_cmp(&top(a.1)).then(a.0.cmp(b.0)));
        for (r, (name, values)) in rows.into_iter().take(ROWS_MAX).enumerate() {
            let y = TOP + r as f32 * CELL.1;
            svg.text((x0 + NAMES - 8.0, y + 12.0), "end", "#000000", &short(name));
            for (k, v) in values.iter().enumerate() {
                let at = (x0 + NAMES + k as f32 * CELL.0, y);
                svg.rect(at, (CELL.0 - 1.0, CELL.1 - 1.0), &colour(*v));
                let ink = if *v > 55.0 { "#ffffff" } else { "#000000" };
                svg.text((at.0 + CELL.0 / 2.0, y + 12.0), "middle", ink, &format!("{v:.0}"));
            }
        }
    }
    svg.finish()
}

fn short(name: &str) -> String {
    const MOST: usize = 26;
    if name.chars().count() <= MOST {
        name.to_owned()
    } else {
        name.chars().take(MOST - 2).chain("..".chars()).collect()
    }
}

/// Pale yellow at 0 to dark red at 100 points, readable without red-green vision: it grows darker all the way.
fn colour(points: f32) -> String {
    let t = (points / 100.0).clamp(0.0, 1.0);
    let mix = |from: f32, to: f32| (from + t * (to - from)) as u8;
    format!("#{:02x}{:02x}{:02x}", mix(255.0, 120.0), mix(247.0, 10.0), mix(214.0, 30.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_darker() {
        let light = |p: f32| {
            u32::from_str_radix(&colour(p)[1..], 16).map(|c| (c >> 16) + (c >> 8 & 255) + (c & 255)).unwrap()
        };
        assert!((0..20).all(|i| light(i as f32 * 5.0) > light(i as f32 * 5.0 + 5.0)));
        assert_eq!((colour(-3.0), colour(1e9)), (colour(0.0), colour(100.0)));
    }
}
