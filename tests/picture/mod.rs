//! What a picture shows: its words, and the boxes of their letters.

use resvg::usvg;

/// The texts of a picture and the boxes of their letters.
fn texts(group: &usvg::Group, found: &mut Vec<(String, usvg::Rect)>) {
    for node in group.children() {
        match node {
            usvg::Node::Group(group) => texts(group, found),
            usvg::Node::Text(text) => {
                let words = text.chunks().iter().map(usvg::TextChunk::text).collect();
                found.push((words, text.abs_bounding_box()));
            }
            usvg::Node::Path(_) | usvg::Node::Image(_) => {}
        }
    }
}

pub fn parsed(svg: &str) -> usvg::Tree {
    let mut options = usvg::Options { font_family: "DejaVu Sans".to_owned(), ..usvg::Options::default() };
    options.fontdb_mut().load_font_data(dejavu::sans::regular().to_vec());
    usvg::Tree::from_str(svg, &options).unwrap()
}

/// What is wrong with the words of a picture: those that leave it, and those that cover others.
pub fn faults(svg: &str) -> Vec<String> {
    let tree = parsed(svg);
    let (wide, high) = (tree.size().width(), tree.size().height());
    let mut found = Vec::new();
    texts(tree.root(), &mut found);
    let mut wrong = Vec::new();
    for (at, (word, rect)) in found.iter().enumerate() {
        let inside = rect.left() >= -1.0
            && rect.top() >= -1.0
            && rect.right() <= wide + 1.0
            && rect.bottom() <= high + 1.0;
        if !inside {
            wrong.push(format!("`{word}` leaves {wide}x{high}: {rect:?}"));
        }
        for (other, beside) in &found[..at] {
            let across = rect.right().min(beside.right()) - rect.left().max(beside.left());
            let down = rect.bottom().min(beside.bottom()) - rect.top().max(beside.top());
            // Boxes of letters have room above and below them, so lines may come near.
            if across >= 1.0 && down >= 0.35 * rect.height().min(beside.height()) {
                wrong.push(format!("`{word}` covers `{other}`"));
            }
        }
    }
    wrong
}

/// The words of a picture, in the order in which they are drawn.
pub fn words(svg: &str) -> Vec<String> {
    let mut found = Vec::new();
    texts(parsed(svg).root(), &mut found);
    found.into_iter().map(|(word, _)| word).collect()
}
