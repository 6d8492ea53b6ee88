//! A plane between two axes: the title above, the axes with their names and ticks, the legend below.

use kuva::render::render::{Scene, TextAnchor};

use super::legend::{self, Entry};
use super::panel::{Panel, canvas};
use super::range::{Axis, Range};
use super::shapes::{LABEL, SMALL, base, heading, line, line_height, upwards, words};
use super::text;
use super::theme::{AXIS, GRID, TEXT};

/// What surrounds what is drawn.
pub(super) struct Chart {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The width of the picture, in pixels.
    pub width: f64,
    /// The height between the axes, in pixels.
    pub height: f64,
    /// What stands for what.
    pub legend: Vec<Entry>,
}

/// Where values stand on the canvas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    x: Axis,
    y: Axis,
    /// Left end of the plane, in pixels.
    pub left: f64,
    /// Upper end of the plane, in pixels.
    pub top: f64,
    /// Width of the plane, in pixels.
    pub width: f64,
    /// Height of the plane, in pixels.
    pub height: f64,
}

impl Plane {
    /// A plane with a horizontal axis only.
    pub fn across(x: Axis, left: f64, top: f64, width: f64, height: f64) -> Self {
        let y = Axis { name: "", range: Range::default(), unit: "" };
        Self { x, y, left, top, width, height }
    }

    /// The pixel of a value of the horizontal axis.
    pub fn x(&self, value: f64) -> f64 {
        self.left + self.width * self.x.range.share(value)
    }

    /// The pixel of a value of the vertical axis.
    pub fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - self.y.range.share(value))
    }

    /// The pixels of a pair of values.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x(x), self.y(y))
    }
}

impl Chart {
    /// Draws the chart; `draw` fills its plane.
    pub fn panel(self, draw: impl FnOnce(&Plane, &mut Scene)) -> Panel {
        let mut scene = canvas(self.width, 0.0);
        let top = heading(&mut scene, &self.title, self.width) + 3.0;
        let left = 31.0 + self.y.widest();
        // The last tick is written around the end of the axis.
        let last = self.x.tick(self.x.range.high);
        let right = self.width - (text::width(&last, SMALL) / 2.0 + 4.0).max(12.0);
        let plane = Plane { x: self.x, y: self.y, left, top, width: right - left, height: self.height };
        axes(&plane, &mut scene);
        draw(&plane, &mut scene);
        let mut bottom = top + self.height + BELOW;
        if !self.legend.is_empty() {
            bottom = legend::draw(&self.legend, &mut scene, left.min(24.0), self.width - 8.0, bottom + 4.0);
        }
        scene.height = (bottom + 6.0).ceil();
        Panel::new(self.title, scene)
    }
}

fn axes(plane: &Plane, scene: &mut Scene) {
    let (right, bottom) = (plane.left + plane.width, plane.top + plane.height);
    for value in plane.y.range.ticks() {
        let y = plane.y(value);
        scene.add(line((plane.left, y), (right, y), GRID.light, 1.0, ""));
        scene.add(line((plane.left - 4.0, y), (plane.left, y), AXIS.light, 1.0, ""));
        let tick = plane.y.tick(value);
        scene.add(words(plane.left - 7.0, base(y, SMALL), &tick, SMALL, TextAnchor::End, TEXT.light));
    }
    axis_below(plane, scene);
    scene.add(line((plane.left, plane.top), (plane.left, bottom), AXIS.light, 1.2, ""));
    scene.add(line((plane.left, bottom), (right, bottom), AXIS.light, 1.2, ""));
    let middle = f64::midpoint(plane.top, bottom);
    scene.add(upwards(14.0, middle, plane.y.name, LABEL, TextAnchor::Middle, TEXT.light));
}

/// Room below a plane for the ticks and the name of its horizontal axis.
pub(super) const BELOW: f64 = 44.0;

/// The horizontal axis: its name, and so many of its ticks as do not touch.
pub(super) fn axis_below(plane: &Plane, scene: &mut Scene) {
    let bottom = plane.top + plane.height;
    let ticks = plane.x.range.ticks();
    let apart = plane.width / (ticks.len().max(2) - 1) as f64;
    let each = ((plane.x.widest() + 8.0) / apart).ceil().max(1.0) as usize;
    for value in ticks.into_iter().step_by(each) {
        let x = plane.x(value);
        scene.add(line((x, plane.top), (x, bottom), GRID.light, 1.0, ""));
        scene.add(line((x, bottom), (x, bottom + 4.0), AXIS.light, 1.0, ""));
        scene.add(words(x, bottom + 17.0, &plane.x.tick(value), SMALL, TextAnchor::Middle, TEXT.light));
    }
    let (middle, below) = (plane.left + plane.width / 2.0, bottom + 19.0 + line_height(LABEL));
    // The name may be longer than the axis; it stays in the picture.
    let half = text::width(plane.x.name, LABEL) / 2.0;
    let middle = middle.min(plane.left + plane.width + 8.0 - half).max(half + 2.0);
    scene.add(words(middle, below, plane.x.name, LABEL, TextAnchor::Middle, TEXT.light));
}
