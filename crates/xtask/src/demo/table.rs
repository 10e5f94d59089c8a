//! A table on the terminal: a line of titles, then rows; the first column left, the others right.

/// Prints it, indented.
pub(super) fn print(titles: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(titles.get(column).map(|title| title.chars().count())).max().unwrap_or_default()
    };
    let titles: Vec<_> = titles.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            line += &if column == 0 { format!("  {cell:<width$}") } else { format!("   {cell:>width$}") };
        }
        println!("{}", line.trim_end());
    }
}
