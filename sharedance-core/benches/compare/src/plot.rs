//! Draws the costs of operations: a row per peer, a panel per operation, a logarithmic scale.
//!
//! The background is transparent. The colours are visible on light and on dark ones.

use std::io;
use std::path::Path;

use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, FontFamily, FontStyle, FontTransform,
};
use plotters_svg::SVGBackend;

use crate::goals::OURS;
use crate::peer;
use crate::rounds::{Column, Size};
use crate::sample::{self, CPU_MICROS, Spread};
use crate::table::number;
use crate::workload::Phase;

const PANELS: [(Phase, &str); 4] = [
    (Phase::SetNew, "set, new key"),
    (Phase::GetAged, "get and copy, aged"),
    (Phase::HalfFlushed, "half and half, flushing"),
    (Phase::Delete, "delete"),
];

const NAMES_WIDTH: i32 = 128;
const PANEL_WIDTH: i32 = 168;
const PANEL_GAP: i32 = 12;
/// Space for the number to the right of a dot.
const NUMBER_WIDTH: i32 = 40;
const HEAD_HEIGHT: i32 = 58;
const ROW_HEIGHT: i32 = 20;
const FOOT_HEIGHT: i32 = 22;
/// In the backend's unit, which is 1/1.24 of a pixel.
const FONT_SIZE: f64 = 11.0 * 1.24;
const DOT_RADIUS: u32 = 4;

const TEXT: BackendColor = BackendColor { alpha: 1.0, rgb: (0x80, 0x86, 0x8e) };
const RULE: BackendColor = BackendColor { alpha: 0.35, rgb: TEXT.rgb };
const OUR_COLOR: BackendColor = BackendColor { alpha: 1.0, rgb: (0xe0, 0x6c, 0x20) };
const THEIR_COLOR: BackendColor = BackendColor { alpha: 1.0, rgb: (0x4a, 0x90, 0xc8) };

/// The smallest and the greatest cost that fit, in CPU µs.
#[derive(Clone, Copy)]
struct Scale {
    least: f64,
    greatest: f64,
}

impl Scale {
    /// Returns whole powers of ten around all costs, or `None` if there are no costs.
    fn of(size: &Size) -> Option<Scale> {
        let names = PANELS.map(|(phase, _)| sample::of(phase, CPU_MICROS));
        let spreads = size.columns.iter().flat_map(|column| names.iter().filter_map(|name| column.spread(name)));
        let (mut least, mut greatest) = (f64::INFINITY, 0.0_f64);
        for spread in spreads.filter(|spread| spread.min > 0.0) {
            least = least.min(spread.min);
            greatest = greatest.max(spread.max);
        }
        let power = |exponent: f64| 10.0_f64.powf(exponent);
        (greatest > 0.0)
            .then(|| Scale { least: power(least.log10().floor()), greatest: power(greatest.log10().ceil()) })
    }

    /// Returns the distance from the left edge of a panel.
    fn x(self, micros: f64) -> i32 {
        let part = (micros / self.least).log10() / (self.greatest / self.least).log10();
        (part * f64::from(PANEL_WIDTH - NUMBER_WIDTH)).round() as i32
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        std::iter::successors(Some(self.least), |tick| Some(tick * 10.0))
            .take_while(move |tick| *tick <= self.greatest * 1.001)
    }
}

/// Draws the costs for values of `MEDIUM` bytes, or for the first length if that was not measured.
pub(crate) fn write(sizes: &[Size], path: &Path) -> peer::Result<()> {
    const MEDIUM: usize = 2048;
    let size = sizes.iter().find(|size| size.value_len == MEDIUM).or(sizes.first());
    let Some((size, scale)) = size.and_then(|size| Some((size, Scale::of(size)?))) else {
        return Err("there is nothing to draw".into());
    };
    let panels = PANELS.len() as i32;
    let width = NAMES_WIDTH + panels * (PANEL_WIDTH + PANEL_GAP);
    let height = HEAD_HEIGHT + size.columns.len() as i32 * ROW_HEIGHT + FOOT_HEIGHT;
    let mut canvas = Canvas(SVGBackend::new(path, (width as u32, height as u32)));
    let what = format!("CPU µs per operation, {} keys, values of {} bytes (logarithmic)", size.keys, size.value_len);
    canvas.text(&what, (0, 12), HPos::Left, FontStyle::Normal)?;
    for (i, (phase, title)) in (0..).zip(PANELS) {
        let left = NAMES_WIDTH + i * (PANEL_WIDTH + PANEL_GAP);
        canvas.text(title, (left, 38), HPos::Left, FontStyle::Bold)?;
        canvas.axis(scale, left, height - FOOT_HEIGHT)?;
        for (row, column) in (0..).zip(&size.columns) {
            let y = HEAD_HEIGHT + row * ROW_HEIGHT + ROW_HEIGHT / 2;
            if i == 0 {
                canvas.text(column.kind.title, (NAMES_WIDTH - 12, y), HPos::Right, font_of(column))?;
            }
            if let Some(spread) = column.spread(&sample::of(phase, CPU_MICROS)) {
                canvas.dot(scale, left, y, spread, column)?;
            }
        }
    }
    Ok(canvas.0.present()?)
}

fn font_of(column: &Column) -> FontStyle {
    match column.kind.name == OURS {
        true => FontStyle::Bold,
        false => FontStyle::Normal,
    }
}

struct Canvas<'a>(SVGBackend<'a>);

struct Line {
    color: BackendColor,
    width: u32,
}

impl BackendStyle for Line {
    fn color(&self) -> BackendColor {
        self.color
    }

    fn stroke_width(&self) -> u32 {
        self.width
    }
}

struct Font {
    side: HPos,
    weight: FontStyle,
}

impl BackendTextStyle for Font {
    type FontError = io::Error;

    fn color(&self) -> BackendColor {
        TEXT
    }

    fn size(&self) -> f64 {
        FONT_SIZE
    }

    fn transform(&self) -> FontTransform {
        FontTransform::None
    }

    fn style(&self) -> FontStyle {
        self.weight
    }

    fn anchor(&self) -> Pos {
        Pos::new(self.side, VPos::Center)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::SansSerif
    }

    /// Not needed: the SVG backend does not lay out text.
    fn layout_box(&self, _: &str) -> io::Result<((i32, i32), (i32, i32))> {
        Ok(((0, 0), (0, 0)))
    }

    fn draw<E, D: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _: &str,
        _: BackendCoord,
        _: D,
    ) -> io::Result<Result<(), E>> {
        Ok(Ok(()))
    }
}

impl Canvas<'_> {
    fn text(&mut self, text: &str, at: BackendCoord, side: HPos, weight: FontStyle) -> peer::Result<()> {
        Ok(self.0.draw_text(text, &Font { side, weight }, at)?)
    }

    /// Draws the powers of ten, from the header down to `bottom`.
    fn axis(&mut self, scale: Scale, left: i32, bottom: i32) -> peer::Result<()> {
        for tick in scale.ticks() {
            let x = left + scale.x(tick);
            let rule = Line { color: RULE, width: 1 };
            self.0.draw_line((x, HEAD_HEIGHT), (x, bottom), &rule)?;
            self.text(&format!("{tick}"), (x, bottom + FOOT_HEIGHT / 2), HPos::Center, FontStyle::Normal)?;
        }
        Ok(())
    }

    /// Draws the median, between the minimum and the maximum, and its number.
    fn dot(&mut self, scale: Scale, left: i32, y: i32, spread: Spread, column: &Column) -> peer::Result<()> {
        let color = if column.kind.name == OURS { OUR_COLOR } else { THEIR_COLOR };
        let x = |micros| left + scale.x(micros);
        let line = Line { color, width: 2 };
        self.0.draw_line((x(spread.min), y), (x(spread.max), y), &line)?;
        self.0.draw_circle((x(spread.median), y), DOT_RADIUS, &line, true)?;
        let beside = (x(spread.max) + 8, y);
        self.text(&number(spread.median), beside, HPos::Left, font_of(column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_spans_its_panel() {
        let scale = Scale { least: 0.1, greatest: 100.0 };
        assert_eq!((scale.x(0.1), scale.x(100.0)), (0, PANEL_WIDTH - NUMBER_WIDTH));
        assert_eq!(scale.ticks().count(), 4);
    }
}
