//! Figures, for people and for programs.

use std::{fmt, time::Duration};

use serde::Serialize;

/// One thing that was measured.
#[derive(Serialize)]
pub struct Row {
    /// What was done.
    what: String,
    /// The median.
    value: f64,
    /// Of the value and of the floor.
    unit: &'static str,
    /// The same without Propeller.
    floor: Option<f64>,
    /// What the floor is.
    floor_is: Option<&'static str>,
    /// Value by floor.
    ratio: Option<f64>,
}

/// What was measured, in order.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub struct Table(Vec<Row>);

impl Table {
    /// A figure that has nothing to be held against.
    pub fn add(&mut self, what: impl Into<String>, unit: &'static str, values: Vec<f64>) {
        self.push(what.into(), unit, median(values), None);
    }

    /// A figure beside its floor.
    pub fn beside(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        values: Vec<f64>,
        floor_is: &'static str,
        floors: Vec<f64>,
    ) {
        self.push(what.into(), unit, median(values), Some((floor_is, median(floors))));
    }

    fn push(&mut self, what: String, unit: &'static str, value: f64, floor: Option<(&'static str, f64)>) {
        self.0.push(Row {
            what,
            value,
            unit,
            floor: floor.map(|(_, floor)| floor),
            floor_is: floor.map(|(what, _)| what),
            ratio: floor.map(|(_, floor)| value / floor),
        });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.0 {
            write!(f, "{:56} {:>12} {:<7}", row.what, number(row.value), row.unit)?;
            if let (Some(floor), Some(what), Some(ratio)) = (row.floor, row.floor_is, row.ratio) {
                write!(f, " {:>12}  {ratio:.2}×  {what}", number(floor))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn number(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// Of an odd number of values, the one in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
