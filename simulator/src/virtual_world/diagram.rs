//! A trace as a time-space diagram in text: a column for each place, an arrow for each thing that goes from one to another.

use std::fmt::Write as _;

use super::trace::{Lane, Line};

/// Between two columns.
const WIDTH: usize = 9;

/// Draws it. `instances` are the ids of the instances.
pub fn draw(lines: &[Line], instances: &[String]) -> String {
    let names = std::iter::once("back end").chain(instances.iter().map(String::as_str));
    let names: Vec<&str> = names.chain(["broker", "device"]).collect();
    let mut text = format!("{:>11}  ", "ms");
    for name in &names {
        let _ = write!(text, "{name:<WIDTH$}");
    }
    text = text.trim_end().to_owned() + "\n";
    for line in lines {
        let (from, to) = (column(line.from, names.len()), column(line.to, names.len()));
        let ms = line.at.as_micros() as f64 / 1000.0;
        let _ = writeln!(
            text,
            "{ms:>11.3}  {}  {}",
            arrow(from, to, names.len()),
            line.text
        );
    }
    text
}

fn column(lane: Lane, columns: usize) -> usize {
    match lane {
        Lane::BackEnd => 0,
        Lane::Instance(index) => (index + 1).min(columns - 3),
        Lane::Broker => columns - 2,
        Lane::Device => columns - 1,
    }
}

fn arrow(from: usize, to: usize, columns: usize) -> String {
    let place = |column: usize| column * WIDTH;
    let mut row = vec![' '; place(columns - 1) + 1];
    (0..columns).for_each(|column| row[place(column)] = '|');
    let (left, right) = (place(from.min(to)), place(from.max(to)));
    row[left..right].fill('-');
    row[place(from)] = 'o';
    if from != to {
        row[place(to)] = if to > from { '>' } else { '<' };
    } else {
        row[place(from)] = '*';
    }
    row.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lwm2m::time::Time;

    #[test]
    fn each_place_has_a_column_and_what_goes_between_them_is_an_arrow() {
        let line = |ms, from, to, text: &str| Line {
            at: Time::from_millis(ms),
            from,
            to,
            text: text.to_owned(),
        };
        let lines = [
            line(1, Lane::BackEnd, Lane::Broker, "publishes"),
            line(2, Lane::Broker, Lane::Instance(1), "reads"),
            line(3, Lane::Instance(1), Lane::Instance(1), "*** kill"),
        ];
        let drawn = draw(&lines, &["A".to_owned(), "B".to_owned()]);
        let expected = "         ms  back end A        B        broker   device\n\
                        \x20     1.000  o-------------------------->        |  publishes\n\
                        \x20     2.000  |        |        <--------o        |  reads\n\
                        \x20     3.000  |        |        *        |        |  *** kill\n";
        assert_eq!(drawn, expected);
    }
}
