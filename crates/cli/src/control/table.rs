//! Tables as kubectl draws them: headings in capitals, columns three spaces apart, no lines.

/// Between two columns.
const GAP: &str = "   ";

/// Columns that are as wide as what they had to hold so far.
#[derive(Debug, Default)]
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// The lines of these rows, each ending with a line break. Rows of a later call fit under those of an earlier one, if they aren't wider.
    pub fn draw(&mut self, rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| clean(cell)).collect())
            .collect();
        for row in &rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for (width, cell) in self.widths.iter().zip(row) {
            let padding = width.saturating_sub(cell.chars().count());
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', padding));
            line.push_str(GAP);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// Text for a terminal. Messages may have what a component wrote, which could move the cursor, or worse.
pub fn clean(text: &str) -> String {
    let shown = |letter: char| match letter {
        letter if letter.is_control() => letter.escape_default().to_string(),
        letter => letter.to_string(),
    };
    text.chars().map(shown).collect()
}

/// The same for text that may have several lines.
pub fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter()
            .map(|row| row.iter().map(ToString::to_string).collect())
            .collect()
    }

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let mut table = Table::default();
        let drawn = table.draw(&rows(&[
            &["NAME", "PHASE", "AGE"],
            &["addition", "", "3s"],
            &["ä", "Running", ""],
        ]));
        assert_eq!(
            drawn,
            "NAME       PHASE     AGE\naddition             3s\nä          Running\n"
        );
        assert_eq!(
            table.draw(&rows(&[&["b", "Pending", "1m"]])),
            "b          Pending   1m\n"
        );
        assert_eq!(Table::default().draw(&[]), "");
    }

    #[test]
    fn what_moves_a_cursor_is_written_out() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean_lines("a\r\u{7}\nb"), "a\\r\\u{7}\nb");
    }
}
