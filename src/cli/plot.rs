//! `runner plot`: the figures of a study as files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use miette::{Result, miette};

use super::args::{CacheArgs, PipelineArgs, SelectionArgs};
use super::open::Opened;
use super::style::{Cell, FAINT, STAGE, columns, paint};
use crate::draw::{Panel, Unit, grid, panels};
use crate::report::figures::{Absent, Content, FigureId, Study};
use crate::written::{self, Place, Replace};

/// Write the figures of a pipeline or a sweep as SVG, PNG and CSV
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  runner plot pipelines/quickstart.toml --list
  runner plot P.toml --over threshold-search.flops_ratio=0.3,0.5,0.7 --over seed=1..3
  runner plot P.toml pareto channels --to paper --format svg,csv --width 85mm

Only what is in the cache is drawn; `runner run` with the same --over computes the rest. A figure
that has nothing to show is left out with a word why. SVG files are as wide as asked for and go into
LaTeX (package svg) and Inkscape; PNG files have two pixels for each of 96 to the inch; CSV files
have what was drawn, unrounded. Earlier figures are replaced; those that were edited, and any other
file, only with --force.")]
pub struct PlotArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// The figures; by default all
    #[arg(value_name = "FIGURE")]
    figures: Vec<FigureId>,
    #[command(flatten)]
    cache: CacheArgs,
    /// The folder that the files are written to
    #[arg(long, value_name = "DIR", default_value = "figures")]
    to: PathBuf,
    /// What is written of each figure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Format::Svg, Format::Png, Format::Csv])]
    format: Vec<Format>,
    /// How wide figures are: millimetres (85mm: a column of a paper) or pixels (600px)
    #[arg(long, value_name = "WIDTH", default_value = "160mm")]
    width: Width,
    /// Replace any files that are there, and not only earlier figures
    #[arg(long)]
    force: bool,
    /// List the figures, and which there are data for
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Svg,
    Png,
    Csv,
}

/// A width of the command line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Width {
    pixels: f64,
    millimetres: bool,
}

const PIXELS_PER_MM: f64 = 96.0 / 25.4;

impl std::str::FromStr for Width {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, millimetres) = match (text.strip_suffix("mm"), text.strip_suffix("px")) {
            (Some(number), _) => (number, true),
            (_, Some(number)) => (number, false),
            (None, None) => return Err("write 85mm or 600px".to_owned()),
        };
        let number: f64 = number.trim().parse().map_err(|_| "write 85mm or 600px".to_owned())?;
        let pixels = if millimetres { number * PIXELS_PER_MM } else { number };
        if (200.0..=4000.0).contains(&pixels) {
            Ok(Self { pixels, millimetres })
        } else {
            Err("it must lie between 200px and 4000px (53mm and 1058mm)".to_owned())
        }
    }
}

/// Panels are about so many pixels wide.
const PANEL: f64 = 300.0;

/// A figure as one picture.
pub fn picture(figure: FigureId, content: &Content, width: f64) -> Panel {
    let alone = panels(content, width);
    if alone.len() == 1 {
        return grid(figure.title(), alone, 1);
    }
    let across = (width / PANEL).floor().max(1.0);
    let each = (width + 16.0) / across - 16.0;
    grid(figure.title(), panels(content, each), across as usize)
}

/// Writes the figures, or lists them.
pub fn run(args: &PlotArgs) -> Result<()> {
    let mut opened = Opened::new(&args.pipeline, &args.cache)?;
    let plan = opened.plan(&SelectionArgs::default())?;
    let study = Study { graph: &opened.graph, plan: &plan, store: &opened.store };
    let asked = if args.figures.is_empty() { FigureId::ALL.to_vec() } else { args.figures.clone() };
    let found: Vec<(FigureId, Result<Content, Absent>)> =
        asked.iter().map(|figure| (*figure, Content::of(*figure, &study))).collect();
    if args.list {
        say_all!("{}", listed(&found));
        return Ok(());
    }
    let mut files = Vec::new();
    for (figure, content) in &found {
        match content {
            Ok(content) => files.extend(drawn(args, *figure, content)?),
            Err(why) => {
                tell!("{}", paint(FAINT, format!("no figure {}: {why}", figure.name())));
            }
        }
    }
    if files.is_empty() {
        return Err(miette!(
            help = "`runner run` computes what the figures show",
            "there is nothing to draw"
        ));
    }
    // All places are looked at before the first file is written.
    let (replace, inputs) = (Replace::by(args.force), opened.inputs());
    let place = |file: File| Ok((Place::of(&file.path, file.format, replace, &inputs)?, file));
    let places: Vec<(Place, File)> = files.into_iter().map(place).collect::<Result<_>>()?;
    for (place, file) in places {
        let is_stream = place.is_stream();
        place.write(file.format, &file.bytes)?;
        if !is_stream {
            say!("{}", file.path.display());
        }
    }
    Ok(())
}

fn listed(found: &[(FigureId, Result<Content, Absent>)]) -> String {
    let row = |(figure, content): &(FigureId, Result<Content, Absent>)| {
        let why = content.as_ref().err().map_or(String::new(), |why| format!("none: {why}"));
        vec![Cell::left(figure.name()).style(STAGE), Cell::left(figure.title()), Cell::left(why).style(FAINT)]
    };
    columns(&found.iter().map(row).collect::<Vec<_>>())
}

/// A file that is to be written.
struct File {
    path: PathBuf,
    format: written::Format,
    bytes: Vec<u8>,
}

/// The files of a figure.
fn drawn(args: &PlotArgs, figure: FigureId, content: &Content) -> Result<Vec<File>> {
    let picture = picture(figure, content, args.width.pixels);
    let file = |format: &Format| {
        let (ending, format, bytes) = match format {
            Format::Svg => {
                // A picture that is smaller than asked for is not blown up.
                let wide = picture.size().0.min(args.width.pixels) / PIXELS_PER_MM;
                let unit = if args.width.millimetres { Unit::Millimetres(wide) } else { Unit::Pixels };
                ("svg", written::Format::Svg, picture.file_svg(unit).into_bytes())
            }
            Format::Png => {
                let png =
                    picture.png().map_err(|error| miette!("{} cannot be drawn: {error}", figure.name()))?;
                ("png", written::Format::Png, png)
            }
            Format::Csv => ("csv", written::Format::Csv, content.csv().into_bytes()),
        };
        let path = args.to.join(format!("{}.{ending}", figure.name()));
        Ok(File { path, format, bytes })
    };
    args.format.iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_is_in_millimetres_or_pixels() {
        let width = |text: &str| text.parse::<Width>();
        assert_eq!(width("600px"), Ok(Width { pixels: 600.0, millimetres: false }));
        assert!((width("85mm").unwrap().pixels - 321.26).abs() < 0.01);
        for wrong in ["85", "mm", "-3mm", "10mm", "5000px", "NaNmm"] {
            assert!(width(wrong).is_err(), "{wrong}");
        }
    }
}
