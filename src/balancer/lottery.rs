//! Drawing slots by weight in constant time: the alias method (Walker 1977, with Vose's construction of 1991).

use super::{Choice, below, mix};

/// One ticket for each slot that has a weight; half a ticket may belong to another slot.
#[derive(Debug, Default)]
pub(super) struct Lottery {
    tickets: Vec<Ticket>,
    /// Slots that weigh less than the mean, or not less, with their weights: kept for the next change of weights.
    light: Vec<(u32, u64)>,
    heavy: Vec<(u32, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    /// Of 2^64: the part that is the owner's.
    part: u64,
    owner: u32,
    alias: u32,
}

impl Lottery {
    /// Takes over changed weights.
    pub fn reweigh(&mut self, weights: &[u32]) {
        self.tickets.clear();
        let count = weights.iter().filter(|&&weight| weight > 0).count() as u64;
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        // In units in which each ticket holds `total`.
        let amounts = weights.iter().zip(0..).filter(|&(&weight, _)| weight > 0).map(|(&weight, slot)| (slot, u64::from(weight) * count));
        let Lottery { tickets, light, heavy } = self;
        light.clear();
        heavy.clear();
        for (slot, amount) in amounts {
            if amount < total { light.push((slot, amount)) } else { heavy.push((slot, amount)) }
        }
        while let Some((owner, amount)) = light.pop() {
            let (alias, rest) = heavy.pop().expect("what is light on one side is heavy on the other");
            tickets.push(Ticket { part: ((u128::from(amount) << 64) / u128::from(total)) as u64, owner, alias });
            let rest = rest - (total - amount);
            if rest < total { light.push((alias, rest)) } else { heavy.push((alias, rest)) }
        }
        tickets.extend(heavy.drain(..).map(|(owner, _)| Ticket { part: u64::MAX, owner, alias: owner }));
    }

    /// One of the slots that may be picked, by weight.
    #[inline]
    pub fn one(&self, choice: &Choice<'_>, draw: u64) -> Option<u32> {
        let mut draw = draw;
        for _ in 0..TRIES {
            if let Some(slot) = self.draw(draw)
                && choice.has(slot)
            {
                return Some(slot);
            }
            draw = mix(draw);
        }
        choice.any_by_weight(draw)
    }

    /// Two of the slots that may be picked, by weight; the same twice only if there is no other.
    #[inline]
    pub fn two(&self, choice: &Choice<'_>) -> Option<(u32, u32)> {
        let first = self.one(choice, choice.draw)?;
        let mut draw = !choice.draw;
        for _ in 0..TRIES {
            draw = mix(draw);
            if let Some(slot) = self.draw(draw)
                && slot != first
                && choice.has(slot)
            {
                return Some((first, slot));
            }
        }
        let somewhere = below(draw, choice.weights.len() as u64) as u32;
        let second = choice.next_from(somewhere).filter(|&slot| slot != first).or_else(|| choice.next_from(first + 1))?;
        Some((first, second))
    }

    #[inline]
    fn draw(&self, draw: u64) -> Option<u32> {
        let place = u128::from(draw) * self.tickets.len() as u128;
        let ticket = self.tickets.get((place >> 64) as usize)?;
        Some(if place as u64 <= ticket.part { ticket.owner } else { ticket.alias })
    }
}

/// Draws before all slots are looked at, as when nearly all of them are busy.
const TRIES: usize = 4;
