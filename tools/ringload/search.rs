//! Which rate to ask next in search of the highest that holds: doubled until one doesn't, then halfway between.

/// A search among rates, in requests a second.
#[derive(Debug)]
pub struct Search {
    lowest: f64,
    highest: f64,
    /// How far apart the highest that holds and the lowest that doesn't may be in the end, as a part of the former.
    precision: f64,
    held: Option<f64>,
    broken: Option<f64>,
    /// The lowest at which this program itself was the bottleneck.
    own: Option<f64>,
    /// At this one it was once, which chance may have done.
    doubted: Option<f64>,
}

/// What a step has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The objectives hold.
    Held,
    /// They don't, by the target's fault.
    Broken,
    /// They don't, but this program was itself the bottleneck: nothing is known of the target.
    Own,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// The highest rate that holds, and one little above it that doesn't.
    Knee(f64, f64),
    /// The highest rate that was to be asked holds.
    Highest(f64),
    /// This rate holds; at the other this program was itself the bottleneck.
    Own(Option<f64>, f64),
    /// Not even the lowest holds.
    None(f64),
}

impl Search {
    /// From the lowest rate to the highest, which has to be no less.
    pub fn new(lowest: f64, highest: f64, precision: f64) -> Search {
        Search { lowest, highest, precision, held: None, broken: None, own: None, doubted: None }
    }

    /// The rate to ask next, or how the search ended.
    pub fn next(&self) -> Result<f64, Found> {
        if let Some(doubted) = self.doubted {
            return Ok(doubted);
        }
        let ceiling = self.ceiling();
        match (self.held, ceiling) {
            (None, None) => Ok(self.lowest),
            (None, Some(_)) => Err(self.broken.map_or(Found::Own(None, self.lowest), Found::None)),
            (Some(held), None) if held < self.highest => Ok((2.0 * held).min(self.highest)),
            (Some(held), None) => Err(Found::Highest(held)),
            (Some(held), Some(ceiling)) => {
                let middle = round((held + ceiling) / 2.0);
                if ceiling <= held * (1.0 + self.precision) || middle <= held || middle >= ceiling {
                    return Err(if self.broken == Some(ceiling) { Found::Knee(held, ceiling) } else { Found::Own(Some(held), ceiling) });
                }
                Ok(middle)
            }
        }
    }

    /// Takes what a step at this rate has shown.
    pub fn on_step(&mut self, rate: f64, shown: Shown) {
        let again = self.doubted.take().is_some();
        match shown {
            Shown::Held => self.held = Some(rate),
            Shown::Broken => self.broken = Some(rate),
            Shown::Own if again => self.own = Some(rate),
            Shown::Own => self.doubted = Some(rate),
        }
    }

    /// What is above isn't asked any more.
    fn ceiling(&self) -> Option<f64> {
        self.broken.into_iter().chain(self.own).min_by(f64::total_cmp)
    }
}

/// A rate without more digits than a person wants to read.
fn round(rate: f64) -> f64 {
    if rate >= 100.0 { rate.round() } else { (rate * 100.0).round() / 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches where the target breaks above one rate and this program is the bottleneck above another.
    fn search((lowest, highest): (f64, f64), target: f64, own: f64) -> (Vec<f64>, Found) {
        let (mut search, mut asked) = (Search::new(lowest, highest, 0.05), Vec::new());
        loop {
            match search.next() {
                Ok(rate) => {
                    asked.push(rate);
                    let shown = if rate > own {
                        Shown::Own
                    } else if rate > target {
                        Shown::Broken
                    } else {
                        Shown::Held
                    };
                    search.on_step(rate, shown);
                }
                Err(found) => return (asked, found),
            }
        }
    }

    #[test]
    fn it_doubles_and_then_halves_until_it_knows() {
        let (asked, found) = search((100.0, 1e6), 1_000.0, 1e9);
        assert_eq!(asked, [100.0, 200.0, 400.0, 800.0, 1600.0, 1200.0, 1000.0, 1100.0, 1050.0]);
        assert_eq!(found, Found::Knee(1000.0, 1050.0));
    }

    #[test]
    fn it_finds_any_knee_to_within_the_precision() {
        for target in (0..400).map(|step| 1.0 * 1.04f64.powi(step)) {
            let (asked, found) = search((1.0, 1e8), target, 1e9);
            let Found::Knee(held, broken) = found else { panic!("{target}: {found:?}") };
            assert!(held <= target && target < broken && broken <= held * 1.05 + 0.02, "{target}: {found:?}");
            assert!(asked.len() < 40, "{asked:?}");
        }
    }

    #[test]
    fn its_own_limit_is_no_evidence() {
        let (asked, found) = search((100.0, 1e6), 1e6, 500.0);
        assert_eq!(asked[..7], [100.0, 200.0, 400.0, 800.0, 800.0, 600.0, 600.0], "each is asked twice");
        assert!(matches!(found, Found::Own(Some(held), own) if held <= 500.0 && own > 500.0), "{found:?}");
        assert_eq!(search((100.0, 1e6), 1e6, 50.0), (vec![100.0, 100.0], Found::Own(None, 100.0)));
        // The target's knee below is found all the same.
        assert!(matches!(search((100.0, 1e6), 450.0, 500.0).1, Found::Knee(..)));
    }

    #[test]
    fn it_ends_at_both_ends() {
        assert_eq!(search((100.0, 300.0), 1e6, 1e9), (vec![100.0, 200.0, 300.0], Found::Highest(300.0)));
        assert_eq!(search((100.0, 300.0), 50.0, 1e9), (vec![100.0], Found::None(100.0)));
    }
}
