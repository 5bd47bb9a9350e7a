//! A token bucket as one core alone would keep it.

use ringway::clock::Instant;

/// One bucket for all.
pub struct Ideal {
    pub level: f64,
    pub most: f64,
    pub rate: f64,
    pub at: Instant,
}

impl Ideal {
    pub fn level_at(&mut self, now: Instant) {
        self.level = (self.level + self.rate * now.since(self.at).as_secs_f64()).min(self.most);
        self.at = now;
    }

    pub fn take(&mut self, cost: f64, now: Instant) -> bool {
        self.level_at(now);
        let fits = self.level >= cost - 1e-6;
        self.level -= if fits { cost } else { 0.0 };
        fits
    }

    pub fn owe(&mut self, cost: f64, now: Instant) {
        self.level_at(now);
        self.level -= cost;
    }
}
