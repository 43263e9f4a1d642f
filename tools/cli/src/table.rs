//! Tables for people: columns as wide as their widest cell.

/// A table that grows row by row. The first column is aligned left, the others right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: Vec<String>) -> Self {
        Self { rows: vec![headings] }
    }

    /// Adds a row. A row with fewer cells than the headings lets its last one run over the rest.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The table as text, one line per row, without trailing spaces.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows[0].len();
        let mut widths = vec![0; columns];
        for row in self.rows.iter().filter(|row| row.len() == columns) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (index, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let last = index + 1 == row.len() && row.len() < columns;
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                match index {
                    0 => line += &format!("{cell}{pad}"),
                    _ if last => line += &format!("  {cell}"),
                    _ => line += &format!("  {pad}{cell}"),
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["dtype", "bytes", "loss"].map(str::to_owned).to_vec());
        table.push(vec!["w4a16_g128".into(), "9.1 MB".into(), "+3.2 %".into()]);
        table.push(vec!["w8a8".into(), "group size 128 does not divide K = 172".into()]);
        let text = table.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "dtype        bytes    loss");
        assert_eq!(lines[1], "w4a16_g128  9.1 MB  +3.2 %");
        assert_eq!(lines[2], "w8a8        group size 128 does not divide K = 172");
    }
}
