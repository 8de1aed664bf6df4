//! One VM's recent past, the forecast from one origin as a fan, the bound of the peak, and what really came.

use foreshade_forecast::run::{Row, Told};

use super::svg::Svg;

const SIZE: (f32, f32) = (820.0, 360.0);
const LEFT: f32 = 64.0;
const RIGHT: f32 = 24.0;
const TOP: f32 = 40.0;
const BOTTOM: f32 = 44.0;
/// Seconds of the past that are shown.
const PAST_S: i64 = 6 * 3600;
/// Seconds of a peak.
const PEAK_S: i64 = 1800;

/// Seconds from the origin, value.
type Points = Vec<(f32, f32)>;

/// What is drawn.
struct Fan<'a> {
    rows: Vec<Row<'a>>,
    past: Points,
    came: Points,
    /// Largest value of the 30 min after the origin; `None` = the trace ends before.
    peak: Option<f32>,
}

/// A picture of `series` in `column` from its last origin whose next 30 min the trace knows, or from its last.
///
/// # Errors
/// There is no such series or no forecast of it, in one line.
pub(crate) fn fan_chart(told: &Told, series: &str, column: Option<&str>) -> Result<String, String> {
    let columns = &told.trace.columns;
    let c = match column {
        None => 0,
        Some(name) => columns.iter().position(|c| c.name == name).ok_or_else(|| {
            let known: Vec<_> = columns.iter().map(|c| c.name.as_str()).collect();
            format!("no column {name}; there are {}", known.join(", "))
        })?,
    };
    let vm =
        told.trace.vms.iter().position(|v| v.name == series).ok_or_else(|| format!("no series {series}"))?;
    let (vm, name) = (&told.trace.vms[vm], columns[c].name.as_str());
    let rows: Vec<_> = told.rows().filter(|r| r.series == series && r.resource == name).collect();
    let last_ms = told.trace.time_ms(vm, vm.values[c].len().saturating_sub(1));
    let known = |r: &&Row<'_>| r.origin_ms + PEAK_S * 1000 <= last_ms;
    let Some(origin_ms) = rows.iter().rfind(known).or(rows.last()).map(|r| r.origin_ms) else {
        return Err(format!("no forecast of {series}; choose --origins within its samples"));
    };
    let mut rows: Vec<_> = rows.into_iter().filter(|r| r.origin_ms == origin_ms).collect();
    rows.sort_by_key(|r| r.horizon_s);
    let far_s = rows.iter().map(|r| i64::from(r.horizon_s)).max().unwrap_or(0).max(PEAK_S);
    let at = |(i, v): (usize, &f32)| ((told.trace.time_ms(vm, i) - origin_ms) / 1000, *v);
    let samples = || vm.values[c].iter().enumerate().map(at).filter(|(_, v)| v.is_finite());
    let within = |from: i64, to: i64| -> Points {
        samples().filter(|(t, _)| (from..=to).contains(t)).map(|(t, v)| (t as f32, v)).collect()
    };
    let peak = within(1, PEAK_S).into_iter().map(|(_, v)| v).reduce(f32::max);
    let fan = Fan { rows, past: within(-PAST_S, 0), came: within(0, far_s), peak };
    Ok(draw(&fan, &format!("{series}, {name}"), far_s as f32))
}

fn draw(fan: &Fan<'_>, title: &str, far_s: f32) -> String {
    let top = fan.past.iter().chain(&fan.came).map(|p| p.1);
    let top = top.chain(fan.rows.iter().map(|r| r.quantiles.q99())).fold(1e-6, f32::max);
    let x = |t: f32| LEFT + (t + PAST_S as f32) / (PAST_S as f32 + far_s) * (SIZE.0 - LEFT - RIGHT);
    let y = |v: f32| SIZE.1 - BOTTOM - v / (1.05 * top) * (SIZE.1 - TOP - BOTTOM);
    let mut svg = Svg::new(SIZE.0, SIZE.1, &format!("forecast of {title}"));
    svg.text((LEFT, 22.0), "start", "#000000", title);
    axes(&mut svg, top, far_s, &x, &y);
    let steps: Vec<_> = fan.rows.iter().filter(|r| r.horizon_s > 0).collect();
    let now = fan.past.last().map_or(0.0, |p| p.1);
    let mut band = |low: usize, high: usize, fill: &str| {
        let edge = |k: usize| steps.iter().map(move |r| (x(r.horizon_s as f32), y(r.quantiles.0[k])));
        let start = (x(0.0), y(now));
        let upper: Vec<_> = std::iter::once(start).chain(edge(high)).collect();
        let lower: Vec<_> = edge(low).collect();
        svg.area(&upper.into_iter().chain(lower.into_iter().rev()).collect::<Vec<_>>(), fill);
    };
    band(0, 4, "#d6e4f5");
    band(0, 3, "#b3cdeb");
    band(0, 2, "#8db4df");
    let middle = steps.iter().map(|r| (x(r.horizon_s as f32), y(r.quantiles.0[1])));
    svg.line(&std::iter::once((x(0.0), y(now))).chain(middle).collect::<Vec<_>>(), "#1f4e8c", 2.0, "");
    let place = |points: &Points| points.iter().map(|p| (x(p.0), y(p.1))).collect::<Vec<_>>();
    svg.line(&place(&fan.past), "#000000", 1.5, "");
    svg.line(&place(&fan.came), "#c0392b", 1.5, "");
    let bound = fan.rows.iter().find(|r| r.horizon_s == 0).map(|r| r.quantiles.q95());
    let bound = bound.map(|v| (v, "#1f4e8c", "95 % bound of the peak", 16.0));
    for (value, colour, what, at) in
        bound.into_iter().chain(fan.peak.map(|v| (v, "#c0392b", "peak that came", 32.0)))
    {
        svg.line(&[(x(0.0), y(value)), (x(PEAK_S as f32), y(value))], colour, 1.5, "5 3");
        svg.text((SIZE.0 - RIGHT, at), "end", colour, &format!("{what} {value:.1}"));
    }
    legend(&mut svg);
    svg.finish()
}

fn axes(svg: &mut Svg, top: f32, far_s: f32, x: &impl Fn(f32) -> f32, y: &impl Fn(f32) -> f32) {
    for i in 0..=4 {
        let v = top * i as f32 / 4.0;
        svg.line(&[(LEFT, y(v)), (SIZE.0 - RIGHT, y(v))], "#e5e5e5", 1.0, "");
        let digits = usize::from(top < 20.0);
        svg.text((LEFT - 8.0, y(v) + 4.0), "end", "#444444", &format!("{v:.digits$}"));
    }
    let hours = -(PAST_S / 3600)..=(far_s / 3600.0) as i64;
    // At most so many labels side by side; whatever their distance, one of them is now.
    let apart = (hours.clone().count() / 12 + 1) as i64;
    for h in hours.filter(|h| h % apart == 0) {
        let at = x(h as f32 * 3600.0);
        svg.text(
            (at, SIZE.1 - BOTTOM + 18.0),
            "middle",
            "#444444",
            &if h == 0 { "now".into() } else { format!("{h:+} h") },
        );
    }
    svg.line(&[(x(0.0), TOP), (x(0.0), SIZE.1 - BOTTOM)], "#999999", 1.0, "2 3");
}

fn legend(svg: &mut Svg) {
    let y = SIZE.1 - 8.0;
    let items = [
        ("#000000", "samples"),
        ("#c0392b", "what came"),
        ("#1f4e8c", "median"),
        ("#8db4df", "5 to 90 %"),
        ("#b3cdeb", "to 95 %"),
        ("#d6e4f5", "to 99 %"),
    ];
    for (i, (colour, what)) in items.into_iter().enumerate() {
        let x = LEFT + i as f32 * 118.0;
        svg.rect((x, y - 9.0), (18.0, 9.0), colour);
        svg.text((x + 24.0, y), "start", "#444444", what);
    }
}
