//! Health by probes: so many good ones in a row make an endpoint healthy, so many bad ones in a row unhealthy.
//!
//! ```text
//! Healthy --`fall` bad probes in a row--> Unhealthy --`rise` good probes in a row--> Healthy
//! ```

/// What an endpoint's probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    healthy: bool,
    /// Probes in a row that say otherwise.
    contrary: u32,
}

impl Default for Vitals {
    /// Healthy until probes say otherwise, so that traffic flows from the start.
    fn default() -> Self {
        Vitals { healthy: true, contrary: 0 }
    }
}

impl Vitals {
    /// Whether the endpoint counts as healthy.
    pub const fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Takes a probe's result; whether health has changed with it. A `rise` or `fall` of 0 counts as 1.
    pub fn on_probe(&mut self, ok: bool, rise: u32, fall: u32) -> bool {
        if ok == self.healthy {
            self.contrary = 0;
            return false;
        }
        self.contrary += 1;
        let needed = if self.healthy { fall } else { rise };
        if self.contrary < needed {
            return false;
        }
        *self = Vitals { healthy: ok, contrary: 0 };
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, over all probes so far: the state is what the last run of enough equal probes made it.
    fn naive(probes: &[bool], rise: u32, fall: u32) -> bool {
        let run = |end: usize| probes[..end].iter().rev().take_while(|&&ok| ok == probes[end - 1]).count();
        for end in (1..=probes.len()).rev() {
            let needed = if probes[end - 1] { rise } else { fall };
            if run(end) >= needed.max(1) as usize {
                return probes[end - 1];
            }
        }
        true
    }

    proptest! {
        #[test]
        fn the_last_run_long_enough_decides(
            probes in prop::collection::vec(prop::bool::weighted(0.6), 0..60), rise in 0_u32..5, fall in 0_u32..5,
        ) {
            let mut vitals = Vitals::default();
            for end in 1..=probes.len() {
                let before = vitals.is_healthy();
                let changed = vitals.on_probe(probes[end - 1], rise, fall);
                prop_assert_eq!(vitals.is_healthy(), naive(&probes[..end], rise, fall));
                prop_assert_eq!(changed, before != vitals.is_healthy());
            }
        }
    }
}
