//! The picture of a run: lines for a terminal of any size. Pure, so that it can be looked at without one.

use jiff::tz::TimeZone;

use super::view::{Counts, Point, Row, Stage, View};
use crate::cli::output;
use crate::cli::style::{BAD, FAINT, GOOD, REUSED, STAGE, STALE, beginning, columns_of, padded, paint};
use crate::report::format::{plural, seconds};
use crate::state::{RunState, StageState};

/// The longest bar.
const LONGEST: usize = 40;
/// Rows of running stages that are shown even where little else fits.
const FEW: usize = 2;
/// A bar of fewer columns says nothing.
const SHORTEST: usize = 6;

/// Rows for all else, where a picture is printed once.
const ROOM: usize = 30;

/// Text in a style, cut to a width.
struct Line {
    parts: Vec<(anstyle::Style, String)>,
}

impl Line {
    fn new() -> Self {
        Self { parts: Vec::new() }
    }

    fn put(mut self, style: anstyle::Style, text: impl Into<String>) -> Self {
        self.parts.push((style, output::name(&text.into()).into_owned()));
        self
    }

    fn plain(self, text: impl Into<String>) -> Self {
        self.put(anstyle::Style::new(), text)
    }

    fn length(&self) -> usize {
        self.parts.iter().map(|(_, text)| columns_of(text)).sum()
    }

    /// At most `width` columns; what is cut ends with a mark.
    fn drawn(self, width: usize) -> String {
        let all = self.length();
        let (mut out, mut used) = (String::new(), 0);
        for (style, text) in self.parts {
            let room = if all > width { width.saturating_sub(1) } else { width }.saturating_sub(used);
            let cut = beginning(&text, room);
            used += columns_of(&cut);
            if !cut.is_empty() {
                out += &paint(style, cut);
            }
        }
        if all > width && width > 0 {
            out.push('…');
        }
        out
    }
}

/// The whole picture, as long as it is: for what is printed once.
pub fn whole(view: &View, width: usize) -> String {
    // As many rows as there can be something to say in.
    let lines = frame(view, width, ROOM + view.running.len() + view.stages.len());
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The picture for a terminal of this size. Never longer or wider.
pub fn frame(view: &View, width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![head(view, width), overall(view, width)];
    let mut left = height.saturating_sub(lines.len());
    let sweep = !view.points.is_empty();
    // First of all what runs; then the stages; then the points; what room there is left has the news.
    let mut running: Vec<Line> = view.running.iter().map(|row| bar(row, width)).collect();
    let fixed = 1 + view.stages.len().min(8) + 1;
    let most = left.saturating_sub(fixed).max(FEW);
    if running.len() > most {
        let more = running.len() - most + 1;
        running.truncate(most.saturating_sub(1));
        running.push(Line::new().put(FAINT, format!("  and {more} more")));
    }
    let mut block = |block: Vec<Line>, left: &mut usize| {
        if block.is_empty() || *left < 2 {
            return;
        }
        lines.push(Line::new());
        *left -= 1;
        for line in block.into_iter().take(*left) {
            lines.push(line);
            *left -= 1;
        }
    };
    let working: Vec<Line> = if running.is_empty() && view.status == Some(RunState::Running) {
        vec![Line::new().put(FAINT, "  nothing at this moment: between two stages, or preparing")]
    } else {
        running
    };
    block(working, &mut left);
    block(stages(&view.stages, sweep), &mut left);
    if sweep {
        let rows = (left / 2).saturating_sub(1).max(1);
        block(points(&view.points, width, rows), &mut left);
    }
    let room = left.saturating_sub(1);
    let news = view.news.len().saturating_sub(room);
    block(view.news[news..].iter().map(told).collect(), &mut left);
    lines.into_iter().take(height).map(|line| line.drawn(width)).collect()
}

fn head(view: &View, width: usize) -> Line {
    let style = view.status.map_or(STALE, crate::cli::runs::style);
    let status = view.status.map_or("never run", RunState::word);
    let what = match view.points.len() {
        0 => plural(view.counts.all(), "stage"),
        many => format!("{}, {}", plural(many, "point"), plural(view.counts.all(), "stage")),
    };
    let mut line = Line::new().put(STAGE, &view.pipeline).plain(format!(": {what}  ")).put(style, status);
    if view.started.is_some() {
        let since = if view.status == Some(RunState::Running) { "for" } else { "after" };
        line = line.plain(format!(" {since} {}", seconds(view.seconds)));
    }
    match &view.run {
        Some(run) if line.length() + run.len() + 2 <= width => {
            let blanks = " ".repeat(width - line.length() - run.len());
            line.plain(blanks).put(FAINT, run)
        }
        _ => line,
    }
}

/// One bar over all work.
fn overall(view: &View, width: usize) -> Line {
    let Counts { done, before, failed, .. } = view.counts;
    let all = view.counts.all();
    let mut tail = Line::new().plain(format!("  {done} of {all}"));
    if !view.points.is_empty() {
        let ended = view.points.iter().filter(|point| **point == Point::Done).count();
        tail = tail.plain(format!("  {ended} of {} points", view.points.len()));
    }
    if failed > 0 {
        tail = tail.put(BAD, format!("  {failed} failed"));
    }
    if let Some(left) = view.seconds_left.filter(|_| done < all) {
        tail = tail.plain(format!("  about {} left", seconds(left)));
    }
    let cached = format!("  {before} cached");
    if before > 0 && tail.length() + cached.len() + LONGEST / 2 <= width {
        tail = tail.put(FAINT, cached);
    }
    let length = width.saturating_sub(tail.length() + 2).min(LONGEST);
    let mut line = Line::new().plain("  ");
    line.parts.extend(shares(done as f64 / all.max(1) as f64, length));
    line.parts.extend(tail.parts);
    line
}

/// A bar as parts of a line.
fn shares(share: f64, length: usize) -> Vec<(anstyle::Style, String)> {
    let full = ((share.clamp(0.0, 1.0) * length as f64) as usize).min(length);
    vec![(REUSED, "━".repeat(full)), (FAINT, "─".repeat(length - full))]
}

/// A stage that runs: its name, a bar, its figures, and who runs it where there is room.
fn bar(row: &Row, width: usize) -> Line {
    let name = format!("{} {}", row.stage, row.point).trim_end().to_owned();
    let line = Line::new().plain("  ").put(STAGE, name);
    let left = row.seconds_left.map(|left| format!("  {} left", seconds(left))).unwrap_or_default();
    let Some(progress) = &row.running.progress else {
        let epoch = row.running.epoch.as_ref().map(|record| format!("  epoch {} done", record.epoch));
        return line.plain(epoch.unwrap_or_default()).put(FAINT, format!("  {}", row.running.holder));
    };
    let words = [
        format!("  epoch {}/{}", progress.epoch, progress.epochs),
        format!("  loss {:.2}", progress.loss),
        format!("  {:.1}%", 100.0 * progress.accuracy),
        format!("  {:.0} img/s", progress.images_per_second),
        format!("  step {}/{}", progress.step, progress.steps),
        left,
        format!("  {}", row.running.holder),
    ];
    // What fits beside a short bar, the more telling first; the last may do without a longer bar.
    let mut room = width.saturating_sub(line.length() + 2);
    let mut shown = [false; 7];
    for (at, bar) in
        [(0, 0), (5, SHORTEST), (1, SHORTEST), (2, SHORTEST), (3, SHORTEST), (4, SHORTEST), (6, 12)]
    {
        let length = columns_of(&words[at]);
        if length + bar <= room {
            shown[at] = true;
            room -= length;
        }
    }
    let mut line = line.plain("  ");
    if room >= SHORTEST {
        line.parts.extend(shares(progress.step as f64 / progress.steps.max(1) as f64, room.min(LONGEST)));
    }
    let [holder, figures @ ..] =
        [6, 0, 1, 2, 3, 4, 5].map(|at| if shown[at] { words[at].as_str() } else { "" });
    line.plain(figures.concat()).put(FAINT, holder)
}

/// The stages of the file: of a pipeline with what they found, of a sweep with counts.
fn stages(stages: &[Stage], sweep: bool) -> Vec<Line> {
    let width = stages.iter().map(|stage| columns_of(&output::name(&stage.name))).max().unwrap_or(0);
    let row = |stage: &Stage| {
        let counts = stage.counts;
        let name = padded(&output::name(&stage.name), width);
        let line = Line::new().plain("  ").put(STAGE, name).plain("  ");
        if !sweep {
            let (style, word) = match counts {
                Counts { failed: 1, .. } => (BAD, StageState::Failed.word()),
                Counts { running: 1, .. } => (STALE, StageState::Running.word()),
                Counts { interrupted: 1, .. } => (STALE, StageState::Interrupted.word()),
                Counts { before: 1, .. } => (REUSED, StageState::Cached.word()),
                Counts { done: 1, .. } => (GOOD, "done"),
                _ => (FAINT, "waiting"),
            };
            return line.put(style, format!("{word:11}")).plain(format!("  {}", stage.figure));
        }
        let all = counts.all();
        let style = if counts.done == all { GOOD } else { anstyle::Style::new() };
        let mut line = line.put(style, format!("{:>5} of {all:<5}", counts.done));
        let more = [
            (counts.running, "running", STALE),
            (counts.failed, "failed", BAD),
            (counts.interrupted, "interrupted", STALE),
            (counts.waiting, "waiting", FAINT),
        ];
        for (count, word, style) in more.into_iter().filter(|(count, ..)| *count > 0) {
            line = line.put(style, format!("  {count} {word}"));
        }
        if counts.failed > 0 { line.put(FAINT, format!("  {}", stage.figure)) } else { line }
    };
    stages.iter().map(row).collect()
}

/// A mark for each point; of many, a mark for several next to each other: the worst of them.
fn points(points: &[Point], width: usize, rows: usize) -> Vec<Line> {
    let columns = width.saturating_sub(2).max(1);
    let each = points.len().div_ceil(columns * rows).max(1);
    let mark = |group: &[Point]| {
        let has = |wanted: Point| group.contains(&wanted);
        if has(Point::Failed) {
            (BAD, 'x')
        } else if has(Point::Running) {
            (STALE, '>')
        } else if group.iter().all(|point| *point == Point::Done) {
            (GOOD, '#')
        } else if has(Point::Begun) || has(Point::Done) {
            (REUSED, '+')
        } else {
            (FAINT, '.')
        }
    };
    let marks: Vec<_> = points.chunks(each).map(mark).collect();
    let mut lines: Vec<Line> = marks
        .chunks(columns)
        .map(|marks| {
            let mut line = Line::new().plain("  ");
            for (style, mark) in marks {
                match line.parts.last_mut() {
                    Some((last, text)) if last == style => text.push(*mark),
                    _ => line.parts.push((*style, mark.to_string())),
                }
            }
            line
        })
        .collect();
    let each = if each > 1 { format!(", {each} points each") } else { String::new() };
    let legend = format!("  points: # done  > running  + begun  . waiting  x failed{each}");
    lines.insert(0, Line::new().put(FAINT, legend));
    lines
}

fn told(line: &super::view::Line) -> Line {
    let time = line.time.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string();
    let style = if line.bad { BAD } else { anstyle::Style::new() };
    Line::new().put(FAINT, format!("  {time}  ")).put(style, &line.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::watch::view;
    use crate::report::live::Running;
    use crate::train::Progress;

    fn stripped(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    fn running(stage: &str, point: &str, step: u64) -> Row {
        let progress = Progress {
            epoch: 3,
            epochs: 12,
            step,
            steps: 852,
            loss: 2.25,
            accuracy: 0.125,
            images_per_second: 1234.5,
            lr: 0.1,
        };
        let running = Running {
            holder: "process 4711 on node7".to_owned(),
            progress: Some(progress),
            ..Running::default()
        };
        Row { stage: stage.into(), point: point.into(), running, seconds_left: Some(125.0) }
    }

    fn counts(done: usize, before: usize, running: usize, waiting: usize, failed: usize) -> Counts {
        Counts { done, before, running, waiting, failed, interrupted: 0 }
    }

    fn stage(name: &str, counts: Counts, figure: &str) -> Stage {
        Stage { name: name.into(), counts, figure: figure.into() }
    }

    fn single() -> View {
        View {
            pipeline: "quickstart".into(),
            run: Some("20260102-030405-4711".into()),
            status: Some(RunState::Running),
            started: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            seconds: 725.0,
            counts: counts(1, 1, 1, 2, 0),
            seconds_left: Some(480.0),
            running: vec![running("gate-train", "", 213)],
            stages: vec![
                stage("init", counts(1, 1, 0, 0, 0), "26.21 M FLOPs, 1.15 M parameters"),
                stage("gate-train", counts(0, 0, 1, 0, 0), ""),
                stage("threshold-search", counts(0, 0, 0, 1, 0), ""),
                stage("eval", counts(0, 0, 0, 1, 0), ""),
            ],
            points: vec![],
            news: vec![view::Line {
                time: "2026-01-02T03:04:06Z".parse().unwrap(),
                bad: true,
                text: "gate-train warning: the log\u{1b}[2J cannot be written".into(),
            }],
        }
    }

    fn sweep(count: usize) -> View {
        let mut points = vec![Point::Waiting; count];
        points[..count / 2].fill(Point::Done);
        points[count / 2] = Point::Running;
        points[count / 2 + 1] = Point::Begun;
        points[2] = Point::Failed;
        View {
            counts: counts(count, 3, 2, 2 * count, 1),
            running: vec![
                running("gate-train", "seed=2", 213),
                running("retrain", "seed=1 flops_ratio=0.3", 800),
            ],
            stages: vec![
                stage("init", counts(3, 3, 0, 0, 0), ""),
                stage("gate-train", counts(1, 0, 1, 1, 0), ""),
                stage("retrain", counts(count - 3, 0, 1, count, 1), "the loss is NaN at step 7"),
            ],
            points,
            ..single()
        }
    }

    #[test]
    fn a_run_and_a_sweep_look_like_this() {
        let clock = |lines: Vec<String>| {
            // The clock is that of the place.
            lines
                .into_iter()
                .map(|line| if line.contains(":06  ") { format!("  [time]{}", &line[10..]) } else { line })
        };
        let draw = |view: &View| clock(stripped(&frame(view, 80, 24))).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(format!("{}\n\n---\n\n{}", draw(&single()), draw(&sweep(27))));
    }

    #[test]
    fn no_picture_is_larger_than_its_terminal() {
        for view in [single(), sweep(27), sweep(10_000)] {
            for (width, height) in [(80, 24), (200, 50), (60, 14), (40, 10), (20, 5), (5, 2), (1, 1), (80, 0)]
            {
                let lines = stripped(&frame(&view, width, height));
                assert!(lines.len() <= height, "{width}x{height}: {} lines", lines.len());
                let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(longest <= width, "{width}x{height}: {longest} columns\n{}", lines.join("\n"));
                assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
            }
        }
    }

    #[test]
    fn on_a_narrow_terminal_the_figures_go_before_the_name_and_the_epoch() {
        let lines = stripped(&frame(&single(), 50, 24));
        assert!(lines[3].contains("gate-train") && lines[3].contains("epoch 3/12"), "{}", lines[3]);
        assert!(lines[3].contains("2 min 05 s left") && !lines[3].contains("img/s"), "{}", lines[3]);
    }

    #[test]
    fn printed_once_it_is_as_long_as_it_must() {
        let text = anstream::adapter::strip_str(&whole(&sweep(10_000), 80)).to_string();
        assert!(text.lines().count() < 40, "{text}");
    }

    #[test]
    fn ten_thousand_points_show_every_failure() {
        let lines = stripped(&frame(&sweep(10_000), 80, 24)).join("\n");
        assert!(lines.contains('x') && lines.contains('>') && lines.contains("points each"), "{lines}");
    }
}
