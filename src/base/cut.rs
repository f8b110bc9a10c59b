//! The cheapest split of things in two, where some cost more on one side and some cost where they are parted: a minimum cut,
//! by augmenting shortest paths (Edmonds and Karp).

use std::collections::VecDeque;

/// What never is paid.
pub const NEVER: u64 = u64::MAX / 4;

/// Things on two sides, left and right, and what is paid for where they are.
#[derive(Clone, Debug)]
pub struct Cut {
    /// For each thing its arcs: numbers in `arcs`. Things 0 and 1 stand for the sides themselves.
    from: Vec<Vec<usize>>,
    /// Where an arc leads, and what may still flow. Arc `i ^ 1` is the way back.
    arcs: Vec<(usize, u64)>,
}

const LEFT: usize = 0;
const RIGHT: usize = 1;

impl Cut {
    /// Things numbered from 0, so many.
    pub fn of(things: usize) -> Self {
        Cut { from: vec![Vec::new(); things + 2], arcs: Vec::new() }
    }

    /// One more thing; its number.
    pub fn add(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 3
    }

    fn arc(&mut self, a: usize, b: usize, cost: u64) {
        for (from, to, flow) in [(a, b, cost), (b, a, 0)] {
            self.from[from].push(self.arcs.len());
            self.arcs.push((to, flow));
        }
    }

    /// What thing `a` costs on the left, and on the right.
    pub fn costs(&mut self, a: usize, left: u64, right: u64) {
        self.arc(a + 2, RIGHT, left);
        self.arc(LEFT, a + 2, right);
    }

    /// What is paid if `a` is on the left and `b` on the right.
    pub fn parted(&mut self, a: usize, b: usize, cost: u64) {
        self.arc(a + 2, b + 2, cost);
    }

    /// Is each thing on the left in a cheapest split? What costs the same is on the left.
    pub fn left(mut self) -> Vec<bool> {
        while self.augment() {}
        // what cannot reach the right any more
        let mut reaches = vec![false; self.from.len()];
        let mut next = vec![RIGHT];
        reaches[RIGHT] = true;
        while let Some(b) = next.pop() {
            for &back in &self.from[b] {
                let a = self.arcs[back].0;
                if self.arcs[back ^ 1].1 > 0 && !reaches[a] {
                    reaches[a] = true;
                    next.push(a);
                }
            }
        }
        reaches[2..].iter().map(|r| !r).collect()
    }

    /// Lets as much flow along a shortest path from left to right as it takes; false if there is no path.
    fn augment(&mut self) -> bool {
        let mut by = vec![usize::MAX; self.from.len()];
        let mut next = VecDeque::from([LEFT]);
        while let Some(a) = next.pop_front() {
            for &arc in &self.from[a] {
                let (b, flow) = self.arcs[arc];
                if flow > 0 && by[b] == usize::MAX && b != LEFT {
                    by[b] = arc;
                    next.push_back(b);
                }
            }
        }
        if by[RIGHT] == usize::MAX {
            return false;
        }
        let before = |arc: &usize| Some(by[self.arcs[arc ^ 1].0]).filter(|arc| *arc != usize::MAX);
        let path: Vec<usize> = std::iter::successors(Some(by[RIGHT]), before).collect();
        let flow = path.iter().map(|arc| self.arcs[*arc].1).min().unwrap_or(0);
        for arc in path {
            self.arcs[arc].1 -= flow;
            self.arcs[arc ^ 1].1 += flow;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::SplitMix64;

    /// Against every split of a few things.
    #[test]
    fn no_split_is_cheaper() {
        let mut random = SplitMix64::new(7);
        for _ in 0..200 {
            let n = 1 + random.below(6);
            let costs: Vec<[u64; 2]> = (0..n).map(|_| [0; 2].map(|_: u64| random.below(20) as u64)).collect();
            let arcs: Vec<(usize, usize, u64)> = (0..random.below(12))
                .map(|_| (random.below(n), random.below(n), random.below(9) as u64))
                .collect();
            let paid = |left: &[bool]| -> u64 {
                let own: u64 = costs.iter().zip(left).map(|(c, l)| if *l { c[0] } else { c[1] }).sum();
                let parted = arcs.iter().filter(|(a, b, _)| left[*a] && !left[*b]);
                own + parted.map(|a| a.2).sum::<u64>()
            };
            let mut cut = Cut::of(n);
            costs.iter().enumerate().for_each(|(a, c)| cut.costs(a, c[0], c[1]));
            arcs.iter().for_each(|&(a, b, cost)| cut.parted(a, b, cost));
            let found = paid(&cut.left());
            let best = (0..1 << n).map(|s| paid(&(0..n).map(|i| s >> i & 1 == 1).collect::<Vec<_>>())).min();
            assert_eq!(Some(found), best);
        }
    }
}
