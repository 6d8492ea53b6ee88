//! A picture on a canvas, and how it is written.

use std::fmt::Write;

use kuva::backend::svg::SvgBackend;
use kuva::render::render::{Primitive, Scene};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::theme::TEXT;

/// The fonts of SVG files, the first that there is.
const FONTS: &str = "DejaVu Sans, Verdana, Helvetica Neue, Arial, sans-serif";

/// How many pixels of a PNG file a pixel of the picture has on a side.
const PNG_SCALE: f32 = 2.0;

/// One picture of a figure.
#[derive(Debug)]
pub struct Panel {
    /// What it shows, in words.
    pub title: String,
    scene: Scene,
}

/// What the width of an SVG file is given in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unit {
    /// In pixels, as drawn.
    Pixels,
    /// In millimetres: so many the picture is wide, whatever it was drawn at.
    Millimetres(f64),
}

/// An empty canvas.
pub fn canvas(width: f64, height: f64) -> Scene {
    Scene::new(width.ceil(), height.ceil())
}

impl Panel {
    /// A picture of what `title` says. Its ground, its fonts and the colour of its words are those of all pictures.
    pub fn new(title: impl Into<String>, mut scene: Scene) -> Self {
        scene.background_color = None;
        for element in &mut scene.elements {
            // The library would read what stands between two dollars as mathematics.
            if let Primitive::Text { content, .. } = element {
                if content.contains('$') {
                    *content = content.replace('$', "\\$");
                }
            }
        }
        Self { title: title.into(), scene }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.scene.width, self.scene.height)
    }

    /// As SVG for a page: without a ground, as wide as the page makes it.
    pub fn inline_svg(&self) -> String {
        self.svg(&format!("class=\"figure\" style=\"max-width:{}px\"", (self.size().0 * 1.6).round()))
    }

    /// As an SVG file on white.
    pub fn file_svg(&self, unit: Unit) -> String {
        let (width, height) = self.size();
        let (shown, high, unit) = match unit {
            Unit::Pixels => (width, height, ""),
            Unit::Millimetres(wide) => (wide, height * wide / width, "mm"),
        };
        let svg = self.svg(&format!("width=\"{shown}{unit}\" height=\"{high:.3}{unit}\""));
        let ground = "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>";
        let end = svg.find('>').map_or(0, |at| at + 1);
        format!("{}{ground}{}\n", &svg[..end], &svg[end..])
    }

    /// The library's SVG with another head: its size is that of its canvas, and other attributes are asked for.
    fn svg(&self, attributes: &str) -> String {
        let drawn = SvgBackend::new().render_scene(&self.scene);
        let body = drawn.find('>').map_or(drawn.as_str(), |at| &drawn[at + 1..]);
        let (width, height) = self.size();
        let mut svg = String::from("<svg xmlns=\"http://www.w3.org/2000/svg\"");
        let title = escaped(&self.title);
        let _ = write!(
            svg,
            " {attributes} viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\" font-family=\"{FONTS}\" fill=\"{}\">{body}",
            TEXT.light
        );
        svg
    }

    /// As a PNG file on white, of two pixels for each one of the picture. It has a font of its own, so that it is the same on
    /// every machine.
    ///
    /// # Errors
    /// A picture that is too large, in words.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let mut options = Options { font_family: "DejaVu Sans".to_owned(), ..Options::default() };
        options.fontdb_mut().load_font_data(dejavu::sans::regular().to_vec());
        let tree =
            Tree::from_str(&self.file_svg(Unit::Pixels), &options).map_err(|error| error.to_string())?;
        let size = tree.size().to_int_size().scale_by(PNG_SCALE).ok_or("it is too large")?;
        let mut image = Pixmap::new(size.width(), size.height()).ok_or("it is too large")?;
        resvg::render(&tree, Transform::from_scale(PNG_SCALE, PNG_SCALE), &mut image.as_mut());
        image.encode_png().map_err(|error| error.to_string())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Panels side by side in rows of `columns`, as one.
pub fn grid(title: &str, panels: Vec<Panel>, columns: usize) -> Panel {
    const GAP: f64 = 16.0;
    let columns = columns.clamp(1, panels.len().max(1));
    let across = panels.iter().map(|panel| panel.size().0).fold(0.0, f64::max);
    let rows: Vec<f64> = panels
        .chunks(columns)
        .map(|row| row.iter().map(|panel| panel.size().1).fold(0.0, f64::max))
        .collect();
    let width = (across + GAP) * columns as f64 - GAP;
    let mut scene = canvas(width, rows.iter().map(|height| height + GAP).sum::<f64>() - GAP);
    let tops: Vec<f64> =
        rows.iter().scan(0.0, |top, height| Some(std::mem::replace(top, *top + height + GAP))).collect();
    for (at, panel) in panels.into_iter().enumerate() {
        let (x, y) = ((across + GAP) * (at % columns) as f64, tops[at / columns]);
        let transform = Some(format!("translate({x},{y})"));
        scene.add(Primitive::GroupStart { transform, title: None, extra_attrs: None });
        scene.has_tooltips |= panel.scene.has_tooltips;
        scene.elements.extend(panel.scene.elements);
        scene.add(Primitive::GroupEnd);
    }
    Panel { title: title.to_owned(), scene }
}
